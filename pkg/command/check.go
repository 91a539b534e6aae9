package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	// checkTime is less than a page waits by default (5 s), so that it gets the
	// order as it stands rather than no answer.
	checkTime = 4 * time.Second
	// checkGap: an eager page must not use up the budget of all the others. The
	// books know when an order was last asked about, whoever asked.
	checkGap = time.Second
)

// ActCheck answers {"mchid","out_trade_no"} of a page whose buyer says "I have
// paid", with the order as it stands after asking WeChat Pay:
//
//   - 200: as WeChat Pay said just now, or nothing was to be asked;
//   - 202: nobody could say in time; the reconciler asks at once.
//
// A paid or closed order needs no question. A failed one does: a refusal may
// have been of a repeat whose first call had worked.
func (s *Service) ActCheck(ctx context.Context, question []byte) ([]byte, error) {
	var q struct {
		MchID      pay.MchID      `json:"mchid"`
		OutTradeNo pay.OutTradeNo `json:"out_trade_no"`
	}
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	order, status, bad := s.check(ctx, q.MchID, q.OutTradeNo)
	if bad != nil {
		return s.refuseAct(ctx, actCheck, bad, "mchid", q.MchID, "out_trade_no", q.OutTradeNo)
	}
	body, err := s.orderJSON(order)
	if err != nil {
		return nil, err
	}
	s.metrics.acted(actCheck, status)
	return answerBody(status, body)
}

func (s *Service) check(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (pay.Order, int, *problem.Error) {
	order, found, err := s.Books.Order(ctx, mchid, no)
	switch {
	case err != nil:
		return order, 0, s.fault(err)
	case !found:
		return order, 0, noOrder(mchid, no)
	case s.fresh(order):
		return order, http.StatusOK, nil
	}
	checking, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	order, certain, err := s.askInTurn(ctx, checking, order)
	switch {
	case err != nil:
		return order, 0, s.fault(err)
	case certain:
		return order, http.StatusOK, nil
	}
	if err := s.Books.DueOrder(ctx, mchid, no); err != nil {
		return order, 0, s.fault(err)
	}
	s.Waker.WakeOrder(ctx, mchid, no)
	return order, http.StatusAccepted, nil
}

// askInTurn asks, one question at a time for each order: whoever waited for a
// twin is answered with what the twin found out.
func (s *Service) askInTurn(ctx, checking context.Context, o pay.Order) (order pay.Order, certain bool, err error) {
	wechat, reachable := s.Merchants.WeChat(o.MchID)
	if !reachable {
		return o, false, nil
	}
	leave, room := s.checks.enter(o.MchID, checksOfMerchant)
	if !room {
		return o, false, nil
	}
	defer leave()
	unlock, err := s.checks.turns.lock(checking, o.MchID, o.OutTradeNo)
	if err != nil {
		return o, false, nil // no turn in time is no fault: the reconciler asks
	}
	defer unlock()
	now, found, err := s.Books.Order(ctx, o.MchID, o.OutTradeNo)
	switch {
	case err != nil || !found:
		return o, false, err
	case s.fresh(now):
		return now, true, nil
	}
	seen, err := s.look(ctx, checking, wechat, now)
	switch {
	case err != nil:
		return now, false, err
	case seen.unclear != nil && (now.State != pay.OrderCreated || !wechatpay.IsNotExist(seen.unclear)):
		return now, false, nil
	}
	return seen.order, true, nil
}

// fresh says whether asking could tell nothing new.
func (s *Service) fresh(o pay.Order) bool {
	if o.State == pay.OrderPaid || o.State == pay.OrderClosed {
		return true
	}
	return s.Now().Sub(o.CheckedAt) < checkGap
}
