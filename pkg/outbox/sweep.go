package outbox

import (
	"context"
	"fmt"
	"time"
)

// The sweep's rhythm.
const (
	// sweepAge leaves the fast path its time: a row younger than this is most
	// likely in a publish right now.
	sweepAge = 2 * time.Second
	// An idle sweep slows from the first pause to the second.
	minPause = 200 * time.Millisecond
	maxPause = time.Second
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
			pause, failing = maxPause, true
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
	batch, err := r.rows.ClaimOutbox(ctx, sweepAge, maxBatch)
	if err != nil {
		return 0, fmt.Errorf("claim outbox rows: %w", err)
	}
	if len(batch) == 0 {
		return 0, nil
	}
	giveBack, cancel := context.WithTimeout(ctx, retryPatience)
	defer cancel()
	for pause := minPause / 2; ; pause = min(2*pause, maxPause) {
		err := r.relay(giveBack, batch, pathSweep)
		if err == nil {
			return len(batch), nil
		}
		if !wait(giveBack, pause) {
			return 0, fmt.Errorf("sweep %d events: %w", len(batch), err)
		}
	}
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
