package subscribe

import (
	"context"
	"sync"
)

// hands are the places for events in work.
type hands struct {
	free chan struct{} // capacity: how many there are
	wg   sync.WaitGroup
}

func newHands(n int) *hands {
	h := &hands{free: make(chan struct{}, n)}
	h.giveBack(n)
	return h
}

// take waits for one free hand and takes what others are free; none once ctx
// has ended.
func (h *hands) take(ctx context.Context) (n int) {
	select {
	case <-h.free:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return 0 // a hand that was free as well is nobody's loss: nothing is taken any more
	}
	for n = 1; ; n++ {
		select {
		case <-h.free:
		default:
			return n
		}
	}
}

func (h *hands) giveBack(n int) {
	for range n {
		h.free <- struct{}{}
	}
}

// run uses a hand that was taken.
func (h *hands) run(work func()) {
	h.wg.Go(func() {
		defer h.giveBack(1)
		work()
	})
}

func (h *hands) wait() { h.wg.Wait() }
