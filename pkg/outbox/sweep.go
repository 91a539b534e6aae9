package outbox

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// The sweep's rhythm.
const (
	// youngAge is how old a row must be for the sweep to take it. Events of the
	// reconciler's commits have no fast path: the sweep alone publishes them, and
	// they should be out within a second. A worker's own are long published by then.
	youngAge = 250 * time.Millisecond
	// busyAge counts instead while a fast path, here or in another worker, is
	// behind: most rows are then in somebody's publish, and to publish them
	// twice would put it further behind.
	busyAge = 2 * time.Second
	// busyFor is how long a sweep leaves the fast paths their time after it met
	// an event that one of them had published.
	busyFor = 10 * time.Second
	// An idle sweep slows from the first pause to the second. A look at an empty
	// outbox takes a third of a millisecond, there and back.
	minPause = 100 * time.Millisecond
	maxPause = 250 * time.Millisecond
	// awayPause follows a sweep that failed.
	awayPause = time.Second
	// retryPatience is how long one claimed batch is tried again in memory. It is
	// shorter than the store's lease on claimed rows; past it, whoever claims
	// them next goes on.
	retryPatience = 12 * time.Second
)

// sweepForever takes the rows that the fast path left: after a crash, a full
// hand-over or a broker that was away. There is no last attempt.
func (r *Relay) sweepForever(ctx context.Context) {
	pause, failing := minPause, false
	for {
		n, err := r.sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failing {
				r.log.WarnContext(ctx, "outbox sweep fails; it goes on", "error", err)
			}
			pause, failing = awayPause, true
		case n == maxBatch:
			pause, failing = 0, false
		case n > 0:
			pause, failing = minPause, false
		default:
			pause, failing = min(2*max(pause, minPause), maxPause), false
		}
		if !wait(ctx, pause) {
			return
		}
	}
}

// sweep claims one batch and publishes it, and says how many rows it took.
func (r *Relay) sweep(ctx context.Context) (int, error) {
	batch, err := r.rows.ClaimOutbox(ctx, r.sweepAge(time.Now()), maxBatch)
	if err != nil {
		return 0, fmt.Errorf("claim outbox rows: %w", err)
	}
	if len(batch) == 0 {
		return 0, nil
	}
	giveBack, cancel := context.WithTimeout(ctx, retryPatience)
	defer cancel()
	for pause := minPause; ; pause = min(2*pause, awayPause) {
		err := r.relay(giveBack, batch, pathSweep)
		if err == nil {
			return len(batch), nil
		}
		if !wait(giveBack, pause) {
			return 0, fmt.Errorf("sweep %d events: %w", len(batch), err)
		}
	}
}

// sweepAge is how old a row must be to be taken now.
func (r *Relay) sweepAge(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.publishing > 0 || len(r.handed) > 0 || now.Before(r.busyUntil) {
		return busyAge
	}
	return youngAge
}

// heed looks at what a sweep's events met: one that was there already had a
// fast path, which is behind.
func (r *Relay) heed(receipts []pay.Publication, now time.Time) {
	if !slices.ContainsFunc(receipts, func(p pay.Publication) bool { return p.Duplicate }) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busyUntil = now.Add(busyFor)
}

// wait pauses and says whether the context is still alive.
func wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
