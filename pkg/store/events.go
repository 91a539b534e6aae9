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
		Data: wireOrder(e.Order, e.Anomaly),
	}
}

func wireOrder(o pay.Order, a *pay.Anomaly) event.Order {
	wire := event.Order{
		MchID: string(o.MchID), OutTradeNo: string(o.OutTradeNo), AppID: string(o.AppID), Client: string(o.Client),
		Protocol: string(o.Protocol), Description: o.Description, AmountFen: int64(o.Amount), Currency: o.Currency,
		OpenID: string(o.OpenID), Attach: o.Attach, State: string(o.State), Sequence: o.Sequence, Late: o.Late,
		TransactionID: string(o.TransactionID), PaidAt: wireTime(o.PaidAt), ClosedAt: wireTime(o.ClosedAt),
		CreatedAt: o.CreatedAt.UTC(), ExpiresAt: o.ExpiresAt.UTC(), Digest: o.Digest,
	}
	if o.FailureCode != "" {
		wire.Failure = &event.Failure{Code: o.FailureCode, Reason: o.FailureReason}
	}
	if a != nil {
		wire.Anomaly = &event.Anomaly{
			Kind: string(a.Kind), State: string(a.State), Policy: string(a.Policy), TransactionID: string(a.TransactionID),
			ExpectedFen: int64(a.ExpectedFen), ActualFen: int64(a.ActualFen),
		}
	}
	return wire
}

func wireTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
