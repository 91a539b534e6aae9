package reconcile

import (
	"sync/atomic"
	"time"
)

// clock is the database's clock, as far as this process can tell. What is
// planned here falls due there, and the quarantine of a refund compares when an
// attempt began (there) with when it was asked about (here): a machine whose
// own clock is minutes off, which WeChat Pay tolerates, would ask the same
// question again and again, or give a refund up too soon.
type clock struct {
	own   func() time.Time
	ahead atomic.Int64 // of the database's clock, in nanoseconds
}

// jitter is below what a claim's way from the database takes, so that instants
// of one process keep their order.
const jitter = 250 * time.Millisecond

func (c *clock) now() time.Time {
	return c.own().Add(time.Duration(c.ahead.Load())).UTC()
}

// heard sets the clock by a lease: the database began it when it ran the
// claim, which was just now. A claim that took nothing has none.
func (c *clock) heard(lease time.Time, span time.Duration) {
	if lease.IsZero() {
		return
	}
	began := lease.Add(-span)
	if off := began.Sub(c.now()); off.Abs() > jitter {
		c.ahead.Store(int64(began.Sub(c.own())))
	}
}
