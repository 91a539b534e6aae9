package reconcile

import (
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// slotsOf is how many calls of one API may be under way for one merchant. A
// call takes about 100 ms, so the default budgets need a tenth of a second's
// worth; the rest is for a platform that answers slowly.
func slotsOf(api pay.API) int {
	switch api {
	case pay.APIOrderQuery:
		return 64
	case pay.APIRefund, pay.APIRefundQuery:
		return 32
	case pay.APIOrderClose:
		return 16
	case pay.APIRefundAbnormal:
		return 4
	}
	return 0
}

// crew runs calls in the background, each merchant and API in slots of its own,
// so that calls which hang cost nobody else anything.
type crew struct {
	mu      sync.Mutex
	free    map[post]int
	stopped bool
	idle    sync.WaitGroup
}

type post struct {
	mchid pay.MchID
	api   pay.API
}

func newCrew() *crew { return &crew{free: map[post]int{}} }

// reserve takes all free slots, so that whatever is claimed can start at once;
// give back what is not needed.
func (c *crew) reserve(p post, most int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return 0
	}
	left, known := c.free[p]
	if !known {
		left = slotsOf(p.api)
	}
	n := min(left, most)
	c.free[p] = left - n
	c.idle.Add(n)
	return n
}

// release gives reserved slots back.
func (c *crew) release(p post, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free[p] += n
	c.idle.Add(-n)
}

// run does work in a slot that was reserved, and gives it back.
func (c *crew) run(p post, work func()) {
	go func() {
		defer c.release(p, 1)
		work()
	}()
}

// stop lets nothing new begin and waits for what is under way. It says whether
// all of it came to its end in time.
func (c *crew) stop(within time.Duration) bool {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	done := make(chan struct{})
	go func() {
		c.idle.Wait()
		close(done)
	}()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
