package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	// closeTime bounds query, close and query together; each call has a time-out
	// of its own. Past it the reconciler goes on.
	closeTime = 25 * time.Second
	// After a close, WeChat Pay may say NOTPAY for moments more: it is asked
	// closeLooks times within about three seconds.
	closeLooks = 5
	closePause = 700 * time.Millisecond
)

// errStillOpen: a close was accepted, and the order is said to be open.
var errStillOpen = errors.New("WeChat Pay accepted the close and does not say yet that the order is closed")

// closeOrder is order.close:
//
//  1. find the order; what is paid, closed or failed is answered as it stands;
//     where an operator asks, the audit is told before anything is called;
//  2. query: what is paid cannot be closed;
//  3. close, and query until WeChat Pay says CLOSED: only that closes;
//  4. where nothing is certain, the reconciler is told to go on.
//
// A number that WeChat Pay does not know is closed all the same: its prepay call
// may still be on the way there, and closes of unknown numbers are accepted.
//
// A failed order is answered with 200 and its state: WeChat Pay refused it, so
// that nobody can pay it, which is what the shop wants; and it has no step to
// closed. It is asked about once more by itself.
func (s *Service) closeOrder(ctx context.Context, cmd pay.Command) (ending, error) {
	by, bad := closing(cmd)
	if bad != nil {
		return failed(pay.CommandRefused, bad), nil
	}
	wechat, reachable := s.Merchants.WeChat(cmd.MchID)
	if !reachable {
		return failed(pay.CommandRefused, notConfigured(cmd.MchID)), nil
	}
	unlock, err := s.numbers.lock(ctx, cmd.MchID, cmd.OutTradeNo)
	if err != nil {
		return ending{}, err
	}
	defer unlock()
	order, found, err := s.Books.Order(ctx, cmd.MchID, cmd.OutTradeNo)
	switch {
	case err != nil:
		return ending{}, fmt.Errorf("look up order: %w", err)
	case !found:
		return failed(pay.CommandRefused, noOrder(cmd.MchID, cmd.OutTradeNo)), nil
	case !order.State.Open():
		return decided(order), nil
	}
	if err := s.auditClose(ctx, by.act(cmd), order); err != nil {
		return ending{}, err
	}
	calling, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	return s.queryCloseQuery(ctx, calling, wechat, order)
}

func (s *Service) auditClose(ctx context.Context, act *pay.Act, o pay.Order) error {
	if act == nil {
		return nil
	}
	err := s.Books.WriteAudit(ctx, pay.AuditEntry{
		ID: act.ID, MchID: o.MchID, Actor: act.Actor, Action: "order.close", Subject: string(o.OutTradeNo),
		Detail: map[string]any{"reason": act.Reason, "state": string(o.State)},
	})
	if err != nil {
		return fmt.Errorf("tell the audit who closes an order: %w", err)
	}
	return nil
}

func (s *Service) queryCloseQuery(ctx, calling context.Context, wechat WeChat, o pay.Order) (ending, error) {
	before, err := s.look(ctx, calling, wechat, o)
	switch {
	case err != nil:
		return ending{}, err
	case before.unclear != nil && !wechatpay.IsNotExist(before.unclear):
		return s.goOnClosing(ctx, o, before.unclear)
	case before.decided():
		return decided(before.order), nil
	}
	refusal := s.callClose(calling, wechat, o)
	if errors.Is(refusal, errNoToken) {
		return s.goOnClosing(ctx, o, refusal)
	}
	// Whatever the answer was, only a query says what became of the order: an
	// error may hide a close that worked, or say that the order is paid.
	for try := 1; ; try++ {
		after, err := s.look(ctx, calling, wechat, o)
		switch {
		case err != nil:
			return ending{}, err
		case after.decided():
			return decided(after.order), nil
		case refusal != nil, after.unclear != nil, try == closeLooks, !wait(calling, closePause):
			return s.goOnClosing(ctx, o, cmp.Or(refusal, after.unclear, errStillOpen))
		}
	}
}

// decided: by WeChat Pay's word, nobody can pay the order any more.
func (l look) decided() bool { return l.said == pay.ObservedPaid || l.said == pay.ObservedClosed }

// decided answers an order that nobody can pay any more.
func decided(o pay.Order) ending {
	switch o.State {
	case pay.OrderClosed, pay.OrderFailed:
		return *done(o, statusKnown)
	case pay.OrderPaid:
		return failed(pay.CommandConflict, problem.Newf(problem.OrderPaid, "order %s is paid, by payment %s", o.OutTradeNo, o.TransactionID))
	case pay.OrderCreated, pay.OrderAwaitingPayment:
	}
	// WeChat Pay took money that the order is not paid with.
	return failed(pay.CommandConflict, problem.Newf(problem.OrderPaid, "order %s was paid with money that does not fit it, which WeChat Pay takes for its payment, so it cannot be closed; GET /v1/orders/{out_trade_no}/history tells what became of that money", o.OutTradeNo))
}

// goOnClosing leaves the order to the reconciler, which has no last attempt.
func (s *Service) goOnClosing(ctx context.Context, o pay.Order, why error) (ending, error) {
	if err := s.Books.RequestClose(ctx, o.MchID, o.OutTradeNo); err != nil {
		return ending{}, fmt.Errorf("request close: %w", err)
	}
	s.Waker.WakeOrder(ctx, o.MchID, o.OutTradeNo)
	detail, next := "WeChat Pay has not said yet that the order is closed: it may still be paid", "Repeat the same request; fenflow goes on closing by itself."
	switch {
	case wechatpay.IsNotExist(why):
		detail, next = unknownThere(o, why)
	case wechatpay.ClassOf(why) == wechatpay.ClassConfig:
		detail = "WeChat Pay refuses this merchant's calls until an operator has put something right: " + nameOf(why)
	}
	p := problem.Wrap(problem.Unavailable, why, detail)
	p.NextStep = next
	return failed(pay.CommandUnavailable, p), nil
}

// unknownThere tells of an order that WeChat Pay does not know. To repeat the
// close does not end it: the reconciler does, a while after its expiry, because
// its prepay call may still be on the way.
func unknownThere(o pay.Order, why error) (detail, next string) {
	detail = "WeChat Pay does not know the order (" + nameOf(why) + ")"
	if o.State != pay.OrderCreated {
		return detail + ", though it gave a credential to pay it with: it may still be paid", "Look for the order in the merchant platform; fenflow goes on closing by itself."
	}
	expiry := "its expiry"
	if !o.ExpiresAt.IsZero() {
		expiry += " at " + o.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return detail + ": it is not closed before its prepay call can no longer be on the way there",
		"Nothing to do: if WeChat Pay still does not know the order ten minutes after " + expiry + ", it fails by itself."
}

func notConfigured(mchid pay.MchID) *problem.Error {
	return problem.Newf(problem.Refused, "merchant %s is not configured here, or has no keys to call WeChat Pay with", clip(string(mchid)))
}

func noOrder(mchid pay.MchID, no pay.OutTradeNo) *problem.Error {
	return problem.Newf(problem.NotFound, "there is no order %s of merchant %s", clip(string(no)), clip(string(mchid)))
}
