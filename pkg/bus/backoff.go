package bus

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff of a handler that fails: our own database is waited for without
// end, so it starts short and stays bounded.
const (
	firstBackoff = time.Second
	lastBackoff  = 30 * time.Second
)

// backoff gives the pause after the nth failure in a row, from 0, with a
// quarter of jitter so that workers do not return in step.
func backoff(n int) time.Duration {
	d := lastBackoff
	if n < 5 { // 1 s doubled five times is past the last
		d = min(firstBackoff<<n, lastBackoff)
	}
	return d*3/4 + rand.N(d/2) //nolint:gosec // jitter is no secret
}

// pause waits for d, or until ctx ends; then it is false.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
