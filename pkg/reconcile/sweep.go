package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// The kinds of sweep, as the database and the queue name them.
const (
	SweepOrders  = "sweep.orders"
	SweepRefunds = "sweep.refunds"
)

const (
	// sweepFor is just below the second after which the next sweep begins.
	sweepFor = 900 * time.Millisecond
	// claimEvery is well below the fifth of a second that a bucket holds: so
	// all of a budget can be used.
	claimEvery = 50 * time.Millisecond
)

// claim takes what is due for one API and starts the calls. It says whether
// more is due than it could take.
type claim func(ctx context.Context, mchid pay.MchID) (more bool, err error)

// sweep looks once at every merchant, all at the same time, and claims until
// nothing more is due or the next sweep is near. The calls go on behind it.
// Two sweeps of a kind in one process would only wait for each other's buckets.
func (s *Service) sweep(ctx context.Context, kind string, before func(context.Context, pay.MchID) error, claims ...claim) error {
	if !s.sweeping[kind].TryLock() {
		return nil
	}
	defer s.sweeping[kind].Unlock()
	err := s.Books.BeginSweep(ctx, kind)
	if err == nil {
		err = s.sweepAll(ctx, before, claims)
	}
	s.troubles[kind].note(ctx, s.Log, kind, err, s.now())
	if err != nil && s.Retryable(err) {
		return nil // told, and not by every caller once more
	}
	return err
}

func (s *Service) sweepAll(ctx context.Context, before func(context.Context, pay.MchID) error, claims []claim) error {
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		failures []error
	)
	for _, mchid := range s.Merchants.All() {
		wg.Go(func() {
			if err := s.sweepOne(ctx, mchid, before, claims); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, fmt.Errorf("merchant %s: %w", mchid, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

func (s *Service) sweepOne(ctx context.Context, mchid pay.MchID, before func(context.Context, pay.MchID) error, claims []claim) error {
	if before != nil {
		if err := before(ctx, mchid); err != nil {
			return err
		}
	}
	if _, reachable := s.Merchants.WeChat(mchid); !reachable {
		s.sayOnce(ctx, mchid, "the merchant has no key to sign calls with; its orders and refunds are not asked about")
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	end := time.Now().Add(sweepFor)
	ticker := time.NewTicker(claimEvery)
	defer ticker.Stop()
	for {
		var left []claim
		for _, one := range claims {
			more, err := one(ctx, mchid)
			if err != nil {
				return err
			}
			if more {
				left = append(left, one)
			}
		}
		if claims = left; len(claims) == 0 || !time.Now().Before(end) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// stepTimeout bounds one sweep of a merchant and one step of a refund, database
// included; both are far below their task's time-out.
const stepTimeout = 20 * time.Second

func (s *Service) sayOnce(ctx context.Context, mchid pay.MchID, line string, args ...any) {
	if s.said.again(string(mchid)+line, s.now()) {
		s.Log.ErrorContext(ctx, line, append([]any{"mchid", mchid}, args...)...)
	}
}
