package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// maxNumberBytes bounds what names a decision's payment, as the operators' API does.
const maxNumberBytes = 128

// decisionRequest is the body of anomaly.accept and anomaly.refund on the wire;
// package operator writes it.
type decisionRequest struct {
	TransactionID pay.TransactionID `json:"transaction_id"`
	Kind          pay.AnomalyKind   `json:"kind"`
	OutRefundNo   pay.OutRefundNo   `json:"out_refund_no"` // of refund_overrun: the refund that went over
	Actor         string            `json:"actor"`
	Reason        string            `json:"reason"`
}

// decideAnomaly is anomaly.accept and anomaly.refund:
//
//  1. read the command, and find the order whose payment it names;
//  2. settle the decision, under the order's lock, like all that moves an order;
//  3. where money goes back, wake the reconciler, which alone sends refunds.
//
// A command that comes again finds its decision taken and is answered alike.
func (s *Service) decideAnomaly(ctx context.Context, cmd pay.Command) (ending, error) {
	var r decisionRequest
	if bad := decode(cmd, &r); bad != nil {
		return failed(pay.CommandRefused, bad), nil
	}
	if fields := r.check(); len(fields) > 0 {
		return failed(pay.CommandRefused, problem.InvalidFields(fields...)), nil
	}
	if _, known := s.Merchants.Credentials(cmd.MchID); !known {
		return failed(pay.CommandRefused, notConfigured(cmd.MchID)), nil
	}
	payment, found, err := s.Books.Payment(ctx, cmd.MchID, r.TransactionID)
	switch {
	case err != nil:
		return ending{}, fmt.Errorf("look up payment: %w", err)
	case !found:
		return failed(pay.CommandRefused, problem.Newf(problem.UnknownAnomaly, "there is no payment %s of merchant %s", clip(string(r.TransactionID)), cmd.MchID)), nil
	}
	return s.settleDecision(ctx, cmd, r, payment)
}

func (s *Service) settleDecision(ctx context.Context, cmd pay.Command, r decisionRequest, p pay.Payment) (ending, error) {
	settled, err := s.Books.Settle(ctx, []pay.Entry{{Observation: &pay.Observation{
		Kind: pay.ObservedDecision, Source: pay.SourceOperator, ObservedAt: s.Now().UTC(), MchID: cmd.MchID, OutTradeNo: p.OutTradeNo,
		TransactionID: p.TransactionID, AnomalyKind: r.Kind, OutRefundNo: r.OutRefundNo, Decision: decisionOf(cmd.Kind), Actor: r.Actor, Reason: r.Reason,
	}}}, s.policiesOf)
	if err != nil {
		return ending{}, fmt.Errorf("settle decision: %w", err)
	}
	s.Relay.Hand(settled.Events)
	if len(settled.Results) != 1 {
		return ending{}, errors.New("settle decision: the store gave no result")
	}
	result := settled.Results[0]
	switch {
	case result.Refusal != nil:
		return notGranted(*result.Refusal), nil
	case result.Anomaly == nil || result.Order == nil:
		return ending{}, errors.New("settle decision: the store gave no anomaly")
	case result.Refund != nil && result.Outcome == pay.OutcomeApplied:
		s.Waker.WakeRefund(ctx, cmd.MchID, result.Refund.OutRefundNo)
	}
	return ending{outcome: pay.CommandDone, status: statusKnown, order: *result.Order, refund: result.Refund, anomaly: result.Anomaly}, nil
}

func decisionOf(kind pay.CommandKind) pay.Decision {
	if kind == pay.CommandAnomalyAccept {
		return pay.DecideAccept
	}
	return pay.DecideRefund
}

// check is for our sake; the console has checked for the operator's.
func (r decisionRequest) check() []problem.Field {
	var fields []problem.Field
	text := func(field, value string, most int) {
		if value == "" || len(value) > most || !storable(value) {
			fields = append(fields, problem.Field{Field: field, Message: fmt.Sprintf("must be 1 to %d bytes of UTF-8 without NUL", most)})
		}
	}
	text("transaction_id", string(r.TransactionID), maxNumberBytes)
	text("actor", r.Actor, maxActor)
	text("reason", r.Reason, maxReason)
	switch r.Kind {
	case pay.AnomalyLatePayment, pay.AnomalyDoublePayment, pay.AnomalyAmountMismatch:
		if r.OutRefundNo != "" {
			fields = append(fields, problem.Field{Field: "out_refund_no", Message: "has no meaning for kind " + string(r.Kind)})
		}
	case pay.AnomalyRefundOverrun:
		text("out_refund_no", string(r.OutRefundNo), maxNumberBytes)
	default:
		fields = append(fields, problem.Field{Field: "kind", Message: "is no kind of anomaly"})
	}
	return fields
}
