package settle

import (
	"context"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// commit settles entries in one commit. If the database refuses it for good,
// it splits the batch until the broken row stands alone; that one becomes a
// letter and its neighbours settle.
func (s *Service) commit(ctx context.Context, entries []pay.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	err := s.commitOnce(ctx, entries)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || s.retryable(err):
		return err
	case len(entries) == 1:
		return s.commitOnce(ctx, []pay.Entry{s.broken(ctx, entries[0], err)})
	}
	half := len(entries) / 2
	if err := s.commit(ctx, entries[:half]); err != nil {
		return err
	}
	return s.commit(ctx, entries[half:])
}

func (s *Service) commitOnce(ctx context.Context, entries []pay.Entry) error {
	began := time.Now()
	settled, err := s.books.Settle(ctx, entries, s.policiesOf)
	if err != nil {
		return fmt.Errorf("settle %d entries: %w", len(entries), err)
	}
	s.committed(ctx, entries, settled, time.Since(began))
	return nil
}

// committed does what follows from a commit, and only from one.
func (s *Service) committed(ctx context.Context, entries []pay.Entry, settled pay.Settled, took time.Duration) {
	s.relay.Hand(settled.Events)
	s.metrics.settled(settled, took)
	s.report(ctx, entries, settled)
	s.retryEarly(ctx, entries, settled)
}

// policiesOf are the merchant's rules for money that does not fit; a policy that
// refunds takes it from where the merchant's other refunds do.
func (s *Service) policiesOf(mchid pay.MchID) pay.Policies {
	credentials, known := s.merchants.Credentials(mchid)
	if !known {
		return pay.Policies{}
	}
	return credentials.Merchant.Rules()
}

// broken is the letter for an entry that the database refuses. Only what we
// made ourselves and the raw bytes go along: any text that was read in it may
// be what the database choked on.
func (s *Service) broken(ctx context.Context, entry pay.Entry, cause error) pay.Entry {
	instead := refused(entry, cause)
	s.log.ErrorContext(ctx, "a notification cannot be stored; it becomes a letter", "mchid", instead.Delivery.MchID, "delivery_id", instead.Delivery.ID, "error", cause)
	return instead
}

func refused(entry pay.Entry, cause error) pay.Entry {
	bare := pay.Delivery{}
	if d := entry.Delivery; d != nil {
		bare = pay.Delivery{
			ID: d.ID, MchID: pay.MchID(clean(string(d.MchID))), Kind: d.Kind, ReceivedAt: d.ReceivedAt,
			Headers: d.Headers, Body: d.Body, Position: d.Position,
		}
	}
	detail := "the database refuses it: " + cause.Error()
	if entry.Letter != nil {
		detail = string(entry.Letter.Reason) + "; " + detail
	}
	return letter(bare, pay.LetterInternal, detail)
}

// report writes one line for the commit and one for each letter.
func (s *Service) report(ctx context.Context, entries []pay.Entry, settled pay.Settled) {
	counts := map[pay.Outcome]int{}
	for i, result := range settled.Results {
		counts[result.Outcome]++
		if result.Letter == nil || i >= len(entries) || entries[i].Delivery == nil {
			continue
		}
		d := entries[i].Delivery
		s.log.WarnContext(ctx, "notification became a letter", "mchid", d.MchID, "delivery_id", d.ID, "out_trade_no", d.OutTradeNo, "reason", result.Letter.Reason, "detail", result.Letter.Detail)
	}
	s.log.InfoContext(ctx, "settled", "entries", len(entries), "events", len(settled.Events),
		"applied", counts[pay.OutcomeApplied], "unchanged", counts[pay.OutcomeUnchanged],
		"lettered", counts[pay.OutcomeLettered], "archived", counts[pay.OutcomeArchived])
}
