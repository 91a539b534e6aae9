package replay

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// find reads the messages of ids, each once, in the order given.
func (s *Service) find(ctx context.Context, ids []pay.DeliveryID, most int) ([]pay.Stored, error) {
	if len(ids) < 1 || len(ids) > most {
		return nil, problem.InvalidFields(problem.Field{Field: "delivery_ids", Message: fmt.Sprintf("has %d ids; it must have 1 to %d", len(ids), most)})
	}
	var wanted []pay.DeliveryID
	for _, text := range ids {
		id, err := uuid.Parse(string(text))
		if err != nil {
			return nil, problem.InvalidFields(problem.Field{Field: "delivery_ids", Message: "must hold UUIDs"})
		}
		if usual := pay.DeliveryID(id.String()); !slices.Contains(wanted, usual) {
			wanted = append(wanted, usual)
		}
	}
	found, err := s.Archive.FindStored(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("find messages: %w", err)
	}
	stored := make([]pay.Stored, len(wanted))
	for i, id := range wanted {
		one, there := found[id]
		if !there {
			return nil, problem.New(problem.UnknownDelivery, string(id))
		}
		stored[i] = one
	}
	return stored, nil
}

// refusal says why a message must not be settled again; empty: it may be.
func refusal(s pay.Stored) string {
	switch {
	case !s.Delivery.Kind.Notification():
		return "it is of kind " + string(s.Delivery.Kind) + ", which means nothing without the call that it answers"
	case s.LetterState == pay.LetterDiscarded:
		return "a person discarded it"
	case s.Attempts > 0:
		return fmt.Sprintf("%d readings of it ended with no result: it may end the worker that reads it; `fenflow dead-letter replay` without --dry-run and --expect counts each try", s.Attempts)
	}
	return ""
}

func arrivalOf(d pay.Delivery) wechatpay.Arrival {
	return wechatpay.Arrival{Envelope: envelopeOf(d), Position: d.Position, Deliveries: 1}
}

// envelopeOf is the message as it first arrived.
func envelopeOf(d pay.Delivery) wechatpay.Envelope {
	return wechatpay.Envelope{
		DeliveryID: d.ID, MchID: d.MchID, Kind: d.Kind, ReceivedAt: d.ReceivedAt, Headers: d.Headers, Body: d.Body, TraceParent: d.TraceParent,
	}
}
