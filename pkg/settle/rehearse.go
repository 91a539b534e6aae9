package settle

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Rehearsals is the database as those need it who want to know before they act.
// Both are one transaction, and the first is rolled back.
type Rehearsals interface {
	Rehearse(ctx context.Context, entries []pay.Entry, policies func(pay.MchID) pay.Policies) ([]pay.Effect, error)
	SettleExpected(ctx context.Context, entries []pay.Entry, act pay.ReplayAct, policies func(pay.MchID) pay.Policies) (pay.Settled, []pay.Effect, error)
}

// Rehearse says what Settle would do with arrivals, one chunk: they are decided one
// after the other, so that the second message about an order finds what the first
// did, and messages about different orders do not meet. It asks nobody for keys, and
// hands nothing to the relay, the metrics or the log. Effects are in the order of
// arrivals.
func (s *Service) Rehearse(ctx context.Context, arrivals []wechatpay.Arrival) ([]pay.Effect, error) {
	entries, err := s.readStored(ctx, arrivals)
	if err != nil {
		return nil, err
	}
	_, effects, err := s.rehearse(ctx, entries)
	return effects, err
}

// SettleExpected settles arrivals, one chunk, if each order is as act expects it, and
// else nothing of it. Keys are those that a rehearsal had: what it could read is read.
func (s *Service) SettleExpected(ctx context.Context, arrivals []wechatpay.Arrival, act pay.ReplayAct) ([]pay.Effect, error) {
	entries, err := s.readStored(ctx, arrivals)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	settled, effects, err := s.rehearsed.SettleExpected(ctx, entries, act, s.policiesOf)
	if s.refuses(ctx, err) || unasked(err) {
		// Some row is broken, or was in the rehearsal: it named no order then. Another
		// rehearsal finds it, and writes nothing meanwhile: the chunk goes through as a
		// whole or not at all.
		if entries, _, err = s.rehearse(ctx, entries); err == nil {
			settled, effects, err = s.rehearsed.SettleExpected(ctx, entries, act, s.policiesOf)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("settle %d entries as expected: %w", len(entries), err)
	}
	s.committed(ctx, entries, settled, time.Since(began))
	return effects, nil
}

// readStored reads what is kept, on all cores, with the keys that are there.
func (s *Service) readStored(ctx context.Context, arrivals []wechatpay.Arrival) ([]pay.Entry, error) {
	entries := make([]pay.Entry, len(arrivals))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, a := range arrivals {
		group.Go(func() (err error) {
			entries[i], err = s.readBy(ctx, a, func(_ context.Context, env wechatpay.Envelope) (wechatpay.Notification, error) {
				return s.openWith(env)
			})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("read notifications: %w", err)
	}
	return entries, nil
}

// rehearse gives entries as they would be settled, which is as they are but for
// those that the database refuses: they would become letters, as in commit.
func (s *Service) rehearse(ctx context.Context, entries []pay.Entry) ([]pay.Entry, []pay.Effect, error) {
	entries = slices.Clone(entries)
	for range len(entries) + 1 { // each round but the last makes one more a letter
		effects, err := s.rehearsed.Rehearse(ctx, entries, s.policiesOf)
		switch {
		case err == nil:
			return entries, effects, nil
		case !s.refuses(ctx, err):
			return nil, nil, fmt.Errorf("rehearse %d entries: %w", len(entries), err)
		}
		first, cause, err := s.firstRefused(ctx, entries, err)
		if err != nil {
			return nil, nil, err
		}
		entries[first] = refused(entries[first], cause)
	}
	return nil, nil, errors.New("the database refuses letters, too")
}

// firstRefused finds the entry with which the refusals begin: what stands before it
// goes through. A refusal of all of them is why.
func (s *Service) firstRefused(ctx context.Context, entries []pay.Entry, why error) (first int, cause, err error) {
	good, bad := 0, len(entries) // so many go through, so many do not
	for bad-good > 1 {
		middle := (good + bad) / 2
		_, err := s.rehearsed.Rehearse(ctx, entries[:middle], s.policiesOf)
		switch {
		case err == nil:
			good = middle
		case s.refuses(ctx, err):
			bad, why = middle, err
		default:
			return 0, nil, fmt.Errorf("look for what the database refuses: %w", err)
		}
	}
	return bad - 1, why, nil
}

// unasked says whether an order came up that no message of the rehearsal named.
func unasked(err error) bool {
	var moved *pay.MovedError
	return errors.As(err, &moved) && moved.Unasked
}

// refuses says whether the database turned some row away for good.
func (s *Service) refuses(ctx context.Context, err error) bool {
	var moved *pay.MovedError
	var discarded *pay.DiscardedError
	return err != nil && ctx.Err() == nil && !errors.As(err, &moved) && !errors.As(err, &discarded) && !s.retryable(err)
}
