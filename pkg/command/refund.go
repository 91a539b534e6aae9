package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// createRefund is refund.create:
//
//  1. read the command;
//  2. a number that is known is the same refund, or a conflict;
//  3. find the payment that is to be given back;
//  4. put the wish into the books, where what is left of the payment is guarded
//     under its order's lock;
//  5. wake the reconciler, which alone sends refunds.
//
// WeChat Pay is not called here: what is answered is that the refund is on disk
// and its money set aside.
func (s *Service) createRefund(ctx context.Context, cmd pay.Command) (ending, error) {
	wish, bad := parseRefund(cmd)
	if bad != nil {
		return failed(pay.CommandRefused, bad), nil
	}
	if _, known := s.Merchants.Credentials(cmd.MchID); !known {
		return failed(pay.CommandRefused, notConfigured(cmd.MchID)), nil
	}
	if end, err := s.knownRefund(ctx, cmd); end != nil || err != nil {
		return orZero(end), err
	}
	payment, bad, err := s.findPayment(ctx, cmd.MchID, wish)
	switch {
	case err != nil:
		return ending{}, err
	case bad != nil:
		return failed(pay.CommandRefused, bad), nil
	}
	return s.recordRefund(ctx, cmd, wish, payment, granted{at: s.Now().UTC()})
}

// granted says when a refund was granted, and whether that was before a restore.
type granted struct {
	at    time.Time
	again bool // WeChat Pay may have it already, and is asked first
}

// knownRefund answers a number that is in the books: the same refund, or
// another one. nil: it is free.
func (s *Service) knownRefund(ctx context.Context, cmd pay.Command) (*ending, error) {
	refund, found, err := s.Books.Refund(ctx, cmd.MchID, cmd.OutRefundNo)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look up refund: %w", err)
	case !found:
		return nil, nil //nolint:nilnil // no end yet is what most commands find
	case refund.Digest != cmd.Digest || refund.Origin == pay.RefundByPlatform:
		end := failed(pay.CommandConflict, problem.Newf(problem.RefundNumberTaken, "out_refund_no %s is taken by another refund", cmd.OutRefundNo))
		return &end, nil
	}
	return refunded(refund, statusKnown), nil
}

// findPayment finds what is to be given back: the payment that paid the order,
// unless another one is named. Doubled and held money is only found by its own
// number, so that nobody gives it back by mistake.
func (s *Service) findPayment(ctx context.Context, mchid pay.MchID, w refundWish) (pay.Payment, *problem.Error, error) {
	id := w.TransactionID
	if id == "" {
		order, found, err := s.Books.Order(ctx, mchid, w.OutTradeNo)
		switch {
		case err != nil:
			return pay.Payment{}, nil, fmt.Errorf("look up order: %w", err)
		case !found:
			return pay.Payment{}, noOrder(mchid, w.OutTradeNo), nil
		case order.TransactionID == "":
			return pay.Payment{}, problem.Newf(problem.NotPaid, "order %s is %s, not paid", order.OutTradeNo, order.State), nil
		}
		id = order.TransactionID
	}
	payment, found, err := s.Books.Payment(ctx, mchid, id)
	switch {
	case err != nil:
		return pay.Payment{}, nil, fmt.Errorf("look up payment: %w", err)
	case !found:
		return pay.Payment{}, problem.Newf(problem.NotFound, "there is no payment %s of merchant %s", clip(string(id)), mchid), nil
	case w.OutTradeNo != "" && payment.OutTradeNo != w.OutTradeNo:
		return pay.Payment{}, problem.InvalidFields(problem.Field{Field: "transaction_id", Message: fmt.Sprintf("is a payment of order %s, and out_trade_no is %s", payment.OutTradeNo, w.OutTradeNo)}), nil
	}
	return payment, nil, nil
}

// recordRefund puts the wish into the books and wakes the reconciler.
func (s *Service) recordRefund(ctx context.Context, cmd pay.Command, w refundWish, p pay.Payment, g granted) (ending, error) {
	source, origin := w.Operator.asker()
	settled, err := s.Books.Settle(ctx, []pay.Entry{{Observation: &pay.Observation{
		Kind: pay.ObservedRefundRequested, Source: source, ObservedAt: g.at, Origin: origin, Act: w.Operator.act(cmd), AskFirst: g.again,
		MchID: cmd.MchID, OutTradeNo: p.OutTradeNo, TransactionID: p.TransactionID, Currency: p.Currency,
		OutRefundNo: cmd.OutRefundNo, RefundAmount: w.Amount, Reason: w.Reason, Digest: cmd.Digest,
	}}}, s.policiesOf)
	if err != nil {
		return ending{}, fmt.Errorf("settle refund request: %w", err)
	}
	s.Relay.Hand(settled.Events)
	if len(settled.Results) != 1 {
		return ending{}, errors.New("settle refund request: the store gave no result")
	}
	result := settled.Results[0]
	switch {
	case result.Refusal != nil:
		return notGranted(*result.Refusal), nil
	case result.Refund == nil:
		return ending{}, errors.New("settle refund request: the store gave no refund")
	case result.Outcome != pay.OutcomeApplied: // a twin was faster
		return *refunded(*result.Refund, statusKnown), nil
	}
	s.Waker.WakeRefund(ctx, cmd.MchID, cmd.OutRefundNo)
	return *refunded(*result.Refund, statusPlaced), nil
}

// notGranted is why the books did not take a wish. Nothing was recorded, so that
// the number stays free.
func notGranted(r pay.Refusal) ending {
	switch r.Reason {
	case pay.RefusedNumberTaken:
		return failed(pay.CommandConflict, problem.New(problem.RefundNumberTaken, r.Detail))
	case pay.RefusedUnknownPayment:
		return failed(pay.CommandRefused, problem.New(problem.NotFound, r.Detail))
	case pay.RefusedTooMuch:
		return failed(pay.CommandRefused, problem.New(problem.RefundExceeds, r.Detail))
	case pay.RefusedUnknownAnomaly:
		return failed(pay.CommandRefused, problem.New(problem.UnknownAnomaly, r.Detail))
	case pay.RefusedDecided:
		return failed(pay.CommandConflict, problem.New(problem.AnomalyDecided, r.Detail))
	case pay.RefusedMoneyLeaves:
		return failed(pay.CommandConflict, problem.New(problem.MoneyLeaves, r.Detail))
	case pay.RefusedGiveUp:
		return notGivenUp(r.Detail)
	case pay.RefusedTooMany, pay.RefusedTooLate, pay.RefusedNoRefund:
	}
	return failed(pay.CommandRefused, problem.New(problem.Refused, r.Detail))
}
