package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Recover brings the books to where a command had brought them before they were
// restored, and records an outcome if they know none. It repeats what is known
// to have happened, by what subscribers were told or by WeChat Pay's word, and
// never carries out for the first time what was refused, or came too late, then:
//
//   - an order that WeChat Pay does not know stays unplaced;
//   - a refund goes into the books, and is asked about before it is sent; one that
//     somebody wanted ended is ended where that was told of;
//   - an order that shall be closed, and is open, is left to the reconciler.
//
// The caller has placed the order, and settled what was told before the command. An
// error of kind problem.Unavailable says that WeChat Pay must be asked and cannot.
func (s *Service) Recover(ctx context.Context, c pay.RecoveredCommand) (pay.CommandRecovery, error) {
	if _, err := uuid.Parse(string(c.ID)); err != nil {
		return pay.CommandRecovery{Trouble: "its id is no UUID"}, nil //nolint:nilerr // it is what was found out
	}
	known, found, err := s.Books.Command(ctx, c.MchID, c.ID)
	switch {
	case err != nil:
		return pay.CommandRecovery{}, fmt.Errorf("look up command: %w", err)
	case found:
		return pay.CommandRecovery{Result: known, Known: true}, nil
	}
	// Whoever waited has been told, or has given up: no call is made for them.
	c.Deadline = s.Now().Add(-time.Second)
	switch c.Kind {
	case pay.CommandOrderCreate:
		return s.recoverOrder(ctx, c)
	case pay.CommandOrderClose:
		return s.recoverClose(ctx, c)
	case pay.CommandRefundCreate:
		return s.recoverRefund(ctx, c)
	default:
		// Calls that had sent a refund are lost with the books: nothing but what was
		// told can say that it might be ended.
		if c.OutRefundNo != "" && c.ToldAt.IsZero() {
			return s.finish(ctx, c, failed(pay.CommandUnavailable, repeatAfterRestore()))
		}
	}
	return s.executed(ctx, c)
}

// executed has the command carried out as any other: it was before, or is
// answered as the books stand.
func (s *Service) executed(ctx context.Context, c pay.RecoveredCommand) (pay.CommandRecovery, error) {
	result, err := s.Execute(ctx, c.Command)
	return pay.CommandRecovery{Result: result}, err
}

// recoverOrder is order.create. Whether a number that nobody told of was placed
// with WeChat Pay only WeChat Pay knows.
func (s *Service) recoverOrder(ctx context.Context, c pay.RecoveredCommand) (pay.CommandRecovery, error) {
	credentials, known := s.Merchants.Credentials(c.MchID)
	wechat, reachable := s.Merchants.WeChat(c.MchID)
	if !known || !reachable {
		return s.executed(ctx, c)
	}
	asked, bad := parse(c.Command, credentials.Merchant)
	if bad != nil {
		return s.executed(ctx, c)
	}
	_, placed, err := s.Books.Order(ctx, c.MchID, c.OutTradeNo)
	if err != nil {
		return pay.CommandRecovery{}, fmt.Errorf("look up order: %w", err)
	}
	if placed {
		return s.executed(ctx, c)
	}
	there, err := s.query(ctx, wechat, asked)
	switch {
	case err != nil && !wechatpay.IsNotExist(err):
		return pay.CommandRecovery{}, problem.Wrap(problem.Unavailable, err, "WeChat Pay gives no clear answer about order "+string(c.OutTradeNo))
	case err != nil, there.Transaction.AppID != asked.AppID: // another system's, with the same number
		r, err := s.executed(ctx, c)
		r.Asked = 1
		return r, err
	}
	asked.PrepayRequest, err = wechat.PrepayBody(asked, s.NotifyURL(c.MchID, asked.Protocol))
	if err != nil {
		return pay.CommandRecovery{}, fmt.Errorf("make prepay request: %w", err)
	}
	asked.CreatedAt, asked.UpdatedAt, asked.NextCheckAt = c.ReceivedAt, c.ReceivedAt, s.Now().UTC()
	if _, _, events, err := s.Books.CreateOrder(ctx, asked); err != nil {
		return pay.CommandRecovery{}, fmt.Errorf("create order: %w", err)
	} else {
		s.Relay.Hand(events)
	}
	r, err := s.finish(ctx, c, failed(pay.CommandUnavailable, repeatAfterRestore()))
	r.Asked = 1
	return r, err
}

// recoverClose is order.close. An order that is open by all that was told was
// left to the reconciler then, and is again.
func (s *Service) recoverClose(ctx context.Context, c pay.RecoveredCommand) (pay.CommandRecovery, error) {
	order, found, err := s.Books.Order(ctx, c.MchID, c.OutTradeNo)
	switch {
	case err != nil:
		return pay.CommandRecovery{}, fmt.Errorf("look up order: %w", err)
	case !found || !order.State.Open():
		return s.executed(ctx, c)
	}
	end, err := s.goOnClosing(ctx, order, errors.New("the books were restored meanwhile"))
	if err != nil {
		return pay.CommandRecovery{}, err
	}
	return s.finish(ctx, c, end)
}

// recoverRefund is refund.create. That it was granted is known by what
// subscribers were told, or by WeChat Pay, which may have been asked before
// anybody was told. Whatever else can have become of it is no reason to give
// money back: it may have been refused, and another have been asked for.
func (s *Service) recoverRefund(ctx context.Context, c pay.RecoveredCommand) (pay.CommandRecovery, error) {
	wish, bad := parseRefund(c.Command)
	if bad != nil {
		return s.executed(ctx, c)
	}
	_, inBooks, err := s.Books.Refund(ctx, c.MchID, c.OutRefundNo)
	if err != nil {
		return pay.CommandRecovery{}, fmt.Errorf("look up refund: %w", err)
	}
	wechat, reachable := s.Merchants.WeChat(c.MchID)
	if inBooks || !reachable {
		return s.executed(ctx, c)
	}
	payment, bad, err := s.findPayment(ctx, c.MchID, wish)
	switch {
	case err != nil:
		return pay.CommandRecovery{}, err
	case bad != nil && c.ToldAt.IsZero():
		return s.executed(ctx, c)
	case bad != nil:
		return pay.CommandRecovery{Trouble: "it had been granted, and its payment is not in the books: " + bad.Detail}, nil //nolint:nilerr // it is what was found out
	case c.ToldAt.IsZero() && wish.Amount > payment.Amount-payment.Refunded-payment.Reserved:
		return s.executed(ctx, c) // refused, as then
	}
	known := evidence{c.ToldAt, c.ToldTransaction, c.ToldAmount, 0}
	if known.at.IsZero() {
		if known, err = s.sent(ctx, wechat, payment, c); err != nil {
			return pay.CommandRecovery{}, err
		}
	}
	switch {
	case known.at.IsZero():
		return s.notRepeated(ctx, c, known, repeatAfterRestore(), "nothing tells that it was granted: the shop repeats the same request if it wants it")
	case known.amount != wish.Amount || known.transaction != payment.TransactionID:
		return s.notRepeated(ctx, c, known, problem.Newf(problem.RefundNumberTaken, "out_refund_no %s is taken by another refund", c.OutRefundNo), "")
	}
	end, err := s.recordRefund(ctx, c.Command, wish, payment, granted{at: known.at, again: true})
	if err != nil {
		return pay.CommandRecovery{}, err
	}
	r, err := s.finish(ctx, c, end)
	r.Asked = known.asked
	if end.problem != nil {
		r.Trouble = "it had been granted, and the books refuse it: " + end.problem.Detail
	}
	return r, err
}

// evidence is what tells that a refund was granted under a number, and which.
type evidence struct {
	at          time.Time // zero: nothing does
	transaction pay.TransactionID
	amount      pay.Fen
	asked       int
}

// notRepeated records an outcome for a refund that is not granted again.
func (s *Service) notRepeated(ctx context.Context, c pay.RecoveredCommand, known evidence, why *problem.Error, trouble string) (pay.CommandRecovery, error) {
	outcome := pay.CommandUnavailable
	if why.Kind == problem.RefundNumberTaken {
		outcome = pay.CommandConflict
	}
	r, err := s.finish(ctx, c, failed(outcome, why))
	r.Asked, r.Trouble = known.asked, trouble
	return r, err
}

// sent asks WeChat Pay about a refund that nobody was told of.
func (s *Service) sent(ctx context.Context, wechat WeChat, p pay.Payment, c pay.RecoveredCommand) (evidence, error) {
	order, _, err := s.Books.Order(ctx, c.MchID, p.OutTradeNo) // a payment has its order
	if err != nil {
		return evidence{}, fmt.Errorf("look up order: %w", err)
	}
	var answer wechatpay.RefundAnswer
	err = s.spend(ctx, c.MchID, pay.APIRefundQuery, "refund_query", func() (err error) {
		answer, err = wechat.QueryRefund(ctx, wechatpay.RefundQuery{Protocol: order.Protocol, AppID: order.AppID, OutRefundNo: c.OutRefundNo})
		return err
	})
	switch {
	case wechatpay.IsNotExist(err):
		return evidence{asked: 1}, nil
	case err != nil:
		return evidence{}, problem.Wrap(problem.Unavailable, err, "WeChat Pay gives no clear answer about refund "+string(c.OutRefundNo))
	}
	return evidence{c.ReceivedAt, answer.TransactionID, answer.Amount, 1}, nil
}

// finish records how it ended.
func (s *Service) finish(ctx context.Context, c pay.RecoveredCommand, end ending) (pay.CommandRecovery, error) {
	result, err := s.resultOf(c.Command, end)
	if err != nil {
		return pay.CommandRecovery{}, err
	}
	if err := s.Books.FinishCommand(ctx, result); err != nil {
		return pay.CommandRecovery{}, fmt.Errorf("record command: %w", err)
	}
	s.report(ctx, result, end)
	return pay.CommandRecovery{Result: result}, nil
}

// repeatAfterRestore is the outcome of what cannot be told any more.
func repeatAfterRestore() *problem.Error {
	return problem.New(problem.Unavailable, "fenflow's books were restored from a backup, and how this request ended is not known any more; repeat the same request with the same number")
}
