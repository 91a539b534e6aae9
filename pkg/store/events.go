package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
)

// eventSpace is the UUIDv5 namespace of event ids (itself made from the name
// "fenflow/event" in the URL namespace). It must never change: subscribers
// remember ids for ever.
const eventSpace = "dace991c-e153-5e24-8221-f43223f988b8"

// eventID derives the id that a fact has for ever.
func eventID(e pay.Event) string {
	return uuid.NewSHA1(uuid.MustParse(eventSpace), []byte(e.Key())).String()
}

// encodeEvents turns facts into CloudEvents for the outbox.
func encodeEvents(events []pay.Event) ([]pay.Outgoing, error) {
	out := make([]pay.Outgoing, 0, len(events))
	for _, e := range events {
		id := eventID(e)
		payload, err := json.Marshal(wireEvent(id, e))
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", e.Fact, err)
		}
		out = append(out, pay.Outgoing{
			EventID: id, MchID: e.Order.MchID, OutTradeNo: e.Order.OutTradeNo, Fact: e.Fact,
			Payload: payload, CreatedAt: e.At,
		})
	}
	return out, nil
}

func wireEvent(id string, e pay.Event) event.Event {
	return event.Event{
		SpecVersion: event.SpecVersion, ID: id, Source: event.Source(string(e.Order.MchID)), Type: event.TypeOf(string(e.Fact)),
		Subject: string(e.Order.OutTradeNo), Time: e.At.UTC(), DataContentType: event.ContentType,
		Data: wireOrder(e),
	}
}

// wireOrder is the whole order as of the event, with what the event is about.
func wireOrder(e pay.Event) event.Order {
	o := e.Order
	return event.Order{
		MchID: string(o.MchID), OutTradeNo: string(o.OutTradeNo), AppID: string(o.AppID), Client: string(o.Client),
		Protocol: string(o.Protocol), Description: o.Description, AmountFen: int64(o.Amount), Currency: o.Currency,
		OpenID: string(o.OpenID), Attach: o.Attach, State: string(o.State), Sequence: o.Sequence, Late: o.Late,
		TransactionID: string(o.TransactionID), PaidAt: wireTime(o.PaidAt), ClosedAt: wireTime(o.ClosedAt),
		CreatedAt: o.CreatedAt.UTC(), ExpiresAt: o.ExpiresAt.UTC(), Digest: o.Digest,
		Failure: wireFailure(o.FailureCode, o.FailureReason), Anomaly: wireAnomaly(e.Anomaly), Refund: wireRefund(e.Refund),
	}
}

func wireAnomaly(a *pay.Anomaly) *event.Anomaly {
	if a == nil {
		return nil
	}
	return &event.Anomaly{
		Kind: string(a.Kind), State: string(a.State), Policy: string(a.Policy), TransactionID: string(a.TransactionID),
		OutRefundNo: string(a.OutRefundNo), ExpectedFen: int64(a.ExpectedFen), ActualFen: int64(a.ActualFen),
		Decision: string(a.Decision), DecidedAt: wireTime(a.DecidedAt),
	}
}

func wireRefund(r *pay.Refund) *event.Refund {
	if r == nil {
		return nil
	}
	return &event.Refund{
		OutRefundNo: string(r.OutRefundNo), RefundID: r.RefundID, TransactionID: string(r.TransactionID),
		AmountFen: int64(r.Amount), Currency: r.Currency, Reason: r.Reason, Origin: string(r.Origin), State: string(r.State),
		CreatedAt: r.CreatedAt.UTC(), SucceededAt: wireTime(r.SucceededAt), ReceivedAccount: r.ReceivedAccount,
		Failure: wireFailure(r.FailureCode, r.FailureReason),
	}
}

func wireFailure(code, reason string) *event.Failure {
	if code == "" {
		return nil
	}
	return &event.Failure{Code: code, Reason: reason}
}

func wireTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
