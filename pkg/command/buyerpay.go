package command

import (
	"context"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// payTime bounds what is done while a buyer's page waits to be able to pay.
const payTime = 4 * time.Second

// WeChatPay answers {"session","out_trade_no","redirect_url"} with what the client
// of the buyer's order pays with:
//
//  1. find the order, if it is the buyer's;
//  2. an order that nobody can pay is refused by name;
//  3. a credential that has run out, or is about to, is made anew with the stored
//     bytes;
//  4. its parameters are signed for this moment.
//
// It says nothing about money: that an order is paid is known from WeChat Pay alone.
func (s *Service) WeChatPay(ctx context.Context, question []byte) ([]byte, error) {
	q, order, err := s.ofBuyer(ctx, question)
	if err != nil {
		return s.refuseBuyer(ctx, actBuyersPay, order, err)
	}
	params, err := s.payableNow(ctx, order, q.RedirectURL)
	if err != nil {
		return s.refuseBuyer(ctx, actBuyersPay, order, err)
	}
	s.metrics.acted(actBuyersPay, http.StatusOK)
	return answerJSON(http.StatusOK, params)
}

func (s *Service) payableNow(ctx context.Context, o pay.Order, backTo string) (*wechatpay.ClientPay, error) {
	if bad := s.unpayable(o); bad != nil {
		return nil, bad
	}
	if err := s.mayLeadBack(o, backTo); err != nil {
		return nil, err
	}
	if !s.live(o) {
		renewed, bad := s.renew(ctx, o)
		if bad != nil {
			return nil, bad
		}
		o = renewed
	}
	params, err := s.payParams(o)
	switch {
	case err != nil:
		return nil, err
	case params.ClientPay == nil:
		return nil, notConfigured(o.MchID)
	}
	if params.H5 != nil && backTo != "" {
		led := params.H5.BackTo(backTo)
		params.H5 = &led
	}
	return params.ClientPay, nil
}

// renew makes a credential that has run out anew, one buyer's page at a time for
// each order: whoever waited for a twin takes what the twin got, or hears what it
// heard.
func (s *Service) renew(ctx context.Context, o pay.Order) (pay.Order, *problem.Error) {
	wechat, reachable := s.Merchants.WeChat(o.MchID)
	if !reachable {
		return o, notConfigured(o.MchID)
	}
	leave, room := s.renewed.enter(o.MchID, renewalsOfMerchant)
	if !room {
		return o, busy()
	}
	defer leave()
	renewing, cancel := context.WithTimeout(ctx, payTime)
	defer cancel()
	unlock, err := s.renewed.turns.lock(renewing, o.MchID, o.OutTradeNo)
	if err != nil {
		return o, busy()
	}
	defer unlock()
	if heard := s.renewed.heard(o, s.Now()); heard != nil {
		return o, heard
	}
	return s.renewInTurn(ctx, renewing, wechat, o)
}

// renewInTurn holds the number against a command of the shop's.
func (s *Service) renewInTurn(ctx, renewing context.Context, wechat WeChat, o pay.Order) (pay.Order, *problem.Error) {
	unlock, err := s.numbers.lock(renewing, o.MchID, o.OutTradeNo)
	if err != nil {
		return o, busy()
	}
	defer unlock()
	end, err := s.renewAlone(ctx, call{wechat: wechat, order: o})
	switch {
	case err != nil:
		return o, s.fault(err)
	case end.problem != nil:
		s.renewed.failed(o, s.Now(), end.problem)
		return o, end.problem
	}
	return end.order, s.unpayable(end.order)
}

func busy() *problem.Error {
	p := problem.New(problem.Unavailable, "the order's payment is being prepared for others, and it was not done in time")
	p.NextStep = "Send the same request again in a moment."
	return p
}
