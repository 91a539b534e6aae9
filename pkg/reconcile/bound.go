package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	watchEvery = 5 * time.Second
	watchBound = "measure backlogs"

	// boundSlack is what a sweep, a call and a commit add to the interval.
	boundSlack = 5 * time.Second
	// promised is within how long a payment without notification is found.
	promised = 15 * time.Second
)

// boundOf is how often an open order of a merchant is asked about in the tight
// gear, and within how long a payment without notification is found then. When
// the budget is short, all orders wait longer; and one that was just placed is
// not due before its first interval, and then is behind all the others.
func boundOf(b pay.Backlog, perSecond int) (every, bound time.Duration) {
	needed := float64(b.Young)/youngEvery.Seconds() + float64(b.Old)/oldEvery.Seconds()
	stretched := time.Duration(needed / float64(perSecond) * float64(youngEvery))
	if stretched <= youngEvery {
		return youngEvery, youngEvery + boundSlack
	}
	return stretched, youngEvery + stretched + boundSlack
}

// watch publishes the bounds until ctx ends.
func (s *Service) watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	over := map[pay.MchID]bool{}
	for {
		var failed error
		for _, mchid := range s.Merchants.All() {
			if err := s.measure(ctx, mchid, over); err != nil {
				failed = err
			}
		}
		s.troubles[watchBound].note(ctx, s.Log, watchBound, failed, s.now())
		s.metrics.money.Reset()
		for mchid, n := range s.money.count(s.now()) {
			s.metrics.money.WithLabelValues(string(mchid)).Set(float64(n))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// measure publishes one merchant's bound, and says once when it passes what is
// promised and once when it is back.
func (s *Service) measure(ctx context.Context, mchid pay.MchID, over map[pay.MchID]bool) error {
	if s.gears.get(mchid) != pay.GearTight {
		s.metrics.bound.DeleteLabelValues(string(mchid))
		over[mchid] = false
		return nil
	}
	backlog, err := s.Books.Backlog(ctx, mchid)
	if err != nil {
		return fmt.Errorf("measure backlog of merchant %s: %w", mchid, err)
	}
	every, bound := boundOf(backlog, s.Budget.OrderQuery)
	s.metrics.bound.WithLabelValues(string(mchid)).Set(bound.Seconds())
	line := []any{"mchid", mchid, "bound_s", int(bound.Seconds()), "young", backlog.Young, "old", backlog.Old, "due", backlog.Due, "budget", s.Budget.OrderQuery}
	switch is := bound > promised; {
	case is && !over[mchid]:
		s.Log.WarnContext(ctx, fmt.Sprintf("over budget: open orders are asked about every %.0f s, and a payment without notification is found within %.0f s; raise budgets.order_query, or give orders an earlier time_expire", every.Seconds(), bound.Seconds()), line...)
		over[mchid] = true
	case !is && over[mchid]:
		s.Log.InfoContext(ctx, "within budget again: open orders are asked about every 10 s", line...)
		over[mchid] = false
	}
	return nil
}
