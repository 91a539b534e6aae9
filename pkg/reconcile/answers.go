package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// maxBatch is where a commit stops gaining by being larger (as in settle).
const maxBatch = 500

// bookAnswers commits what calls about orders came to, as many at once as are
// there, and never waits for more. It ends when the channel is closed.
//
// While the database is away answers are dropped: their claims run out, and the
// orders are asked about again. Nothing that WeChat Pay says goes away.
func (s *Service) bookAnswers(ctx context.Context) {
	for first := range s.answers {
		batch := s.gather(first)
		if err := s.book(ctx, batch); err != nil {
			s.Log.WarnContext(ctx, "answers were not booked; the orders are asked about again", "orders", len(batch), "error", err)
		}
	}
}

func (s *Service) gather(first verdict) []verdict {
	batch := []verdict{first}
	for len(batch) < maxBatch {
		select {
		case v, open := <-s.answers:
			if !open {
				return batch
			}
			batch = append(batch, v)
		default:
			return batch
		}
	}
	return batch
}

// book settles what moves something, then plans the next look at each order.
// A plan for an order that was resolved changes nothing.
func (s *Service) book(ctx context.Context, batch []verdict) error {
	var moving []verdict
	for _, v := range batch {
		if v.entry != nil {
			moving = append(moving, v)
		}
	}
	if err := s.settle(ctx, moving); err != nil {
		return err
	}
	plans := make([]pay.OrderPlan, 0, len(batch))
	for _, v := range batch {
		plans = append(plans, v.planned())
	}
	if err := s.Books.PlanOrders(ctx, plans); err != nil {
		return fmt.Errorf("plan %d orders: %w", len(plans), err)
	}
	return nil
}

// settle commits all of them, or halves the batch until what the database
// refuses stands alone: that one is told of and costs the others nothing.
func (s *Service) settle(ctx context.Context, moving []verdict) error {
	if len(moving) == 0 {
		return nil
	}
	err := s.settleOnce(ctx, moving)
	switch {
	case err == nil:
		return nil
	case s.Retryable(err):
		return err
	case len(moving) == 1:
		o := moving[0].order
		s.Log.ErrorContext(ctx, "an answer about an order cannot be booked; it is asked about again in an hour", "mchid", o.MchID, "out_trade_no", o.OutTradeNo, "error", err)
		return nil
	}
	half := len(moving) / 2
	if err := s.settle(ctx, moving[:half]); err != nil {
		return err
	}
	return s.settle(ctx, moving[half:])
}

func (s *Service) settleOnce(ctx context.Context, moving []verdict) error {
	began := time.Now()
	entries := make([]pay.Entry, 0, len(moving))
	for _, v := range moving {
		entries = append(entries, *v.entry)
	}
	settled, err := s.Books.Settle(ctx, entries, s.policiesOf)
	if err != nil {
		return fmt.Errorf("settle %d answers: %w", len(entries), err)
	}
	s.report(ctx, entries, settled, time.Since(began))
	return nil
}

// report writes one line for the commit and one for each answer that does not
// fit its order.
func (s *Service) report(ctx context.Context, entries []pay.Entry, settled pay.Settled, took time.Duration) {
	counts := map[pay.Outcome]int{}
	for i, result := range settled.Results {
		counts[result.Outcome]++
		s.metrics.booked.WithLabelValues(string(result.Outcome)).Inc()
		if result.Letter != nil && i < len(entries) {
			obs := entries[i].Observation
			s.Log.ErrorContext(ctx, "an answer of WeChat Pay does not fit its order and became a letter", "mchid", obs.MchID, "out_trade_no", obs.OutTradeNo, "reason", result.Letter.Reason, "detail", result.Letter.Detail)
		}
	}
	s.Log.InfoContext(ctx, "answers booked", "entries", len(entries), "events", len(settled.Events),
		"applied", counts[pay.OutcomeApplied], "unchanged", counts[pay.OutcomeUnchanged], "lettered", counts[pay.OutcomeLettered], "ms", took.Milliseconds())
}

// deliveryOf is an answer of WeChat Pay for the archive.
func deliveryOf(a wechatpay.Answer, mchid pay.MchID, no pay.OutTradeNo, transaction pay.TransactionID) (pay.Delivery, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return pay.Delivery{}, fmt.Errorf("make delivery id: %w", err)
	}
	return pay.Delivery{
		ID: pay.DeliveryID(id.String()), MchID: mchid, Kind: pay.DeliveryAnswer, ReceivedAt: a.ReceivedAt,
		Headers: a.Headers, Body: a.Body, KeyID: a.KeyID, OutTradeNo: no, TransactionID: transaction,
	}, nil
}
