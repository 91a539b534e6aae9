package replay

import (
	"context"
	"fmt"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Rehearse answers {"delivery_ids"} of one chunk with what settling its messages
// would change, each after the ones before it.
func (s *Service) Rehearse(ctx context.Context, question []byte) ([]byte, error) {
	return s.answer(ctx, "rehearse", func(ctx context.Context) (any, error) {
		var q struct {
			DeliveryIDs []pay.DeliveryID `json:"delivery_ids"`
		}
		if err := read(question, &q); err != nil {
			return nil, err
		}
		effects, err := s.rehearse(ctx, q.DeliveryIDs)
		if err != nil {
			return nil, err
		}
		return rehearsalOf(effects), nil
	})
}

func (s *Service) rehearse(ctx context.Context, ids []pay.DeliveryID) ([]pay.Effect, error) {
	stored, err := s.find(ctx, ids, maxChunk)
	if err != nil {
		return nil, err
	}
	effects := make([]pay.Effect, len(stored))
	var arrivals []wechatpay.Arrival
	var at []int // where the effect of each arrival belongs
	for i, one := range stored {
		if why := refusal(one); why != "" {
			effects[i] = refused(one, why)
			continue
		}
		arrivals, at = append(arrivals, arrivalOf(one.Delivery)), append(at, i)
	}
	if len(arrivals) == 0 {
		return effects, nil
	}
	its, err := s.Settler.Rehearse(ctx, arrivals)
	if err != nil {
		return nil, fmt.Errorf("rehearse: %w", err)
	}
	for k, i := range at {
		effects[i] = its[k]
	}
	return effects, nil
}

func refused(s pay.Stored, why string) pay.Effect {
	effect := pay.Effect{
		Delivery: s.Delivery.ID, MchID: s.Delivery.MchID, Kind: s.Delivery.Kind, Outcome: pay.OutcomeRefused, Cause: &pay.LetterCause{Detail: why},
	}
	if s.LetterState != "" {
		effect.Letter = &pay.LetterEffect{StateWas: s.LetterState, StateIsNow: s.LetterState}
	}
	return effect
}
