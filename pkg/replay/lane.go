package replay

import (
	"context"
	"fmt"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// published is what went on the lane, and where it ends.
type published struct {
	DeliveryIDs []pay.DeliveryID `json:"delivery_ids"`
	Position    uint64           `json:"position"` // 0: nothing did
}

type lane struct {
	Acknowledged uint64 `json:"acknowledged"`
	Waiting      int    `json:"waiting"`
}

// Republish answers {"delivery_ids", "actor", "reason"}: the notifications among
// them go on the replay lane, with the bytes and the ids that they came with. What
// a person discarded, and what is no notification, is passed over. The lane counts
// the tries of what may end the worker, as every lane does.
//
// Who asked and why is written down first: a notification on the lane is settled
// whether or not anybody waits for it.
func (s *Service) Republish(ctx context.Context, question []byte) ([]byte, error) {
	return s.answer(ctx, "republish", func(ctx context.Context) (any, error) {
		var q struct {
			DeliveryIDs []pay.DeliveryID `json:"delivery_ids"`
			Actor       string           `json:"actor"`
			Reason      string           `json:"reason"`
		}
		if err := read(question, &q); err != nil {
			return nil, err
		}
		return s.republish(ctx, q.DeliveryIDs, q.Actor, q.Reason)
	})
}

func (s *Service) republish(ctx context.Context, ids []pay.DeliveryID, actor, why string) (published, error) {
	done := published{DeliveryIDs: []pay.DeliveryID{}}
	stored, err := s.find(ctx, ids, maxPublished)
	if err != nil {
		return done, err
	}
	var deliveries []pay.Delivery
	var envelopes []wechatpay.Envelope
	for _, one := range stored {
		if !one.Delivery.Kind.Notification() || one.LetterState == pay.LetterDiscarded {
			continue
		}
		done.DeliveryIDs = append(done.DeliveryIDs, one.Delivery.ID)
		deliveries, envelopes = append(deliveries, one.Delivery), append(envelopes, envelopeOf(one.Delivery))
	}
	if len(deliveries) == 0 {
		return done, nil
	}
	if err := s.Archive.RecordReplay(ctx, deliveries, actor, why); err != nil {
		return done, fmt.Errorf("write down who replays: %w", err)
	}
	if done.Position, err = s.Lane.PublishReplays(ctx, envelopes); err != nil {
		return done, fmt.Errorf("%w: %w", errBroker, err)
	}
	return done, nil
}

// Follow answers how far the replay lane has come.
func (s *Service) Follow(ctx context.Context, _ []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	now, err := s.Lane.ReplayLane(ctx)
	if err != nil {
		p := s.problemOf(fmt.Errorf("%w: %w", errBroker, err))
		p.Detail = ""
		s.Log.WarnContext(ctx, "the replay lane does not answer", "error", err)
		return refuse(p)
	}
	return write(lane{now.Acknowledged, now.Waiting})
}
