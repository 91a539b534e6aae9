package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// giveUpTime bounds the one question; the call has a time-out of its own.
const giveUpTime = 12 * time.Second

// giveUpRefund is refund.give_up:
//
//  1. find the refund; one that failed already is answered as it stands;
//  2. what the books alone say against it ends here, and nobody is asked;
//  3. ask WeChat Pay: what it has is booked and not given up;
//  4. that it has no such refund, signed or not, goes to the books with the
//     operator's word, and pay.Book holds it against every attempt once more,
//     under the lock of whoever sends refunds.
//
// The instant of the question is the database's: by its clock calls begin, and
// no machine whose own clock is off shortens a quarantine.
func (s *Service) giveUpRefund(ctx context.Context, cmd pay.Command) (ending, error) {
	by, bad := parseGiveUp(cmd)
	if bad != nil {
		return failed(pay.CommandRefused, bad), nil
	}
	refund, found, err := s.Books.RefundMoment(ctx, cmd.MchID, cmd.OutRefundNo)
	switch {
	case err != nil:
		return ending{}, fmt.Errorf("look up refund: %w", err)
	case !found:
		return failed(pay.CommandRefused, noRefund(cmd.MchID, cmd.OutRefundNo)), nil
	case refund.State == pay.RefundFailed:
		return *refunded(refund.Refund, statusKnown), nil
	}
	if why := pay.WhyNotGiveUp(refund.Refund, refund.Attempts, refund.At, s.Quarantine); why != "" {
		end := notGivenUp(why)
		if !refund.State.Unresolved() {
			end.problem.NextStep = "Nothing is left to give up: the refund has ended. `fenflow refund show` tells how."
		}
		return end, nil
	}
	missing, end, err := s.askForRefund(ctx, refund.Refund)
	if end != nil || err != nil {
		return orZero(end), err
	}
	return s.bookGivenUp(ctx, refund, by.act(cmd), missing)
}

// askForRefund asks WeChat Pay about the refund. nil, nil: it has no such refund;
// missing is how it said so.
func (s *Service) askForRefund(ctx context.Context, r pay.Refund) (missing error, end *ending, err error) {
	wechat, reachable := s.Merchants.WeChat(r.MchID)
	if !reachable {
		refused := failed(pay.CommandRefused, notConfigured(r.MchID))
		return nil, &refused, nil
	}
	order, found, err := s.Books.Order(ctx, r.MchID, r.OutTradeNo)
	if err != nil || !found {
		return nil, nil, errors.Join(fmt.Errorf("look up order %s of a refund", r.OutTradeNo), err)
	}
	asking, cancel := context.WithTimeout(ctx, giveUpTime)
	defer cancel()
	var answer wechatpay.RefundAnswer
	said := s.spend(asking, r.MchID, pay.APIRefundQuery, "refund_query", func() (err error) {
		answer, err = wechat.QueryRefund(asking, wechatpay.RefundQuery{Protocol: order.Protocol, AppID: order.AppID, OutRefundNo: r.OutRefundNo})
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, nil, fmt.Errorf("query refund: %w", ctx.Err())
	case said == nil:
		return nil, s.bookFound(ctx, r, answer), nil
	case wechatpay.IsNotExist(said):
		return said, nil, nil
	}
	p := problem.Wrap(problem.Unavailable, said, "WeChat Pay did not say whether it has the refund: "+nameOf(said))
	p.NextStep = "Run the same command again: nothing is given up unless WeChat Pay says that it has no such refund."
	unknown := failed(pay.CommandUnavailable, p)
	return nil, &unknown, nil
}

// bookFound books a refund that WeChat Pay has after all, and says so. What does
// not fit the books becomes a letter in the same commit.
func (s *Service) bookFound(ctx context.Context, r pay.Refund, answer wechatpay.RefundAnswer) *ending {
	why := "WeChat Pay has it: it is " + string(answer.State()) + " there"
	settled, err := s.settleFound(ctx, r, answer)
	switch {
	case err != nil: // the reconciler asks again by itself
		s.Log.WarnContext(ctx, "a refund that was to be given up is at WeChat Pay, and that was not booked", "mchid", r.MchID, "out_refund_no", r.OutRefundNo, "error", err)
	case settled.Letter != nil:
		why += ", and does not fit ours: " + settled.Letter.Detail
	}
	end := notGivenUp(why)
	return &end
}

// bookGivenUp takes the operator's word to the books.
func (s *Service) bookGivenUp(ctx context.Context, r pay.RefundMoment, act *pay.Act, missing error) (ending, error) {
	latest := r.Attempts[len(r.Attempts)-1]
	settled, err := s.Books.Settle(ctx, []pay.Entry{{Observation: &pay.Observation{
		Kind: pay.ObservedRefundMissing, Source: pay.SourceOperator, ObservedAt: s.Now().UTC(), Act: act,
		MchID: r.MchID, OutTradeNo: r.OutTradeNo, TransactionID: r.TransactionID, OutRefundNo: r.OutRefundNo,
		AskedAt: r.At, Quarantine: s.Quarantine, Code: latest.Code,
	}}}, s.policiesOf)
	if err != nil {
		return ending{}, fmt.Errorf("settle a refund that is given up: %w", err)
	}
	s.Relay.Hand(settled.Events)
	if len(settled.Results) != 1 {
		return ending{}, errors.New("settle a refund that is given up: the store gave no result")
	}
	result := settled.Results[0]
	switch {
	case result.Refusal != nil:
		return notGranted(*result.Refusal), nil
	case result.Refund == nil:
		return ending{}, errors.New("settle a refund that is given up: the store gave no refund")
	}
	s.Log.WarnContext(ctx, "a refund is given up on an operator's word", "mchid", r.MchID, "out_refund_no", r.OutRefundNo, "amount_fen", int64(r.Amount),
		"actor", act.Actor, "signed", wechatpay.IsVerifiedNotExist(missing))
	return *refunded(*result.Refund, statusKnown), nil
}

func (s *Service) settleFound(ctx context.Context, r pay.Refund, answer wechatpay.RefundAnswer) (pay.Result, error) {
	delivery, err := deliveryOf(answer.Answer, pay.Order{MchID: r.MchID, OutTradeNo: r.OutTradeNo})
	if err != nil {
		return pay.Result{}, err
	}
	delivery.TransactionID = r.TransactionID
	obs := answer.Observation(r.MchID, pay.SourceQuery)
	obs.DeliveryID = delivery.ID
	settled, err := s.Books.Settle(ctx, []pay.Entry{{Delivery: &delivery, Observation: &obs}}, s.policiesOf)
	if err != nil || len(settled.Results) != 1 {
		return pay.Result{}, errors.Join(errors.New("settle a refund that was found"), err)
	}
	s.Relay.Hand(settled.Events)
	return settled.Results[0], nil
}

func notGivenUp(why string) ending {
	return failed(pay.CommandConflict, problem.New(problem.GiveUpRefused, why))
}

// parseGiveUp reads who gives up and why.
func parseGiveUp(cmd pay.Command) (*operator, *problem.Error) {
	var r struct {
		OutRefundNo string    `json:"out_refund_no"`
		Operator    *operator `json:"operator"`
	}
	if bad := decode(cmd, &r); bad != nil {
		return nil, bad
	}
	var fields []problem.Field
	bad := func(field, format string, args ...any) {
		fields = append(fields, problem.Field{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if r.OutRefundNo == "" || r.OutRefundNo != string(cmd.OutRefundNo) {
		bad("out_refund_no", "is not the command's")
	}
	if r.Operator == nil {
		bad("operator", "is missing: only a person gives a refund up")
	}
	r.Operator.check(bad)
	if len(fields) > 0 {
		return nil, problem.InvalidFields(fields...)
	}
	return r.Operator, nil
}
