package command

import (
	"context"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	// renewalsOfMerchant bounds one merchant's pages that wait for a credential:
	// half of what a worker answers at the same time, so that its time-outs leave
	// places to the others.
	renewalsOfMerchant = 32
	// renewGap: after a call that got nothing, the pages of that order hear of it
	// for so long, and WeChat Pay hears nothing of them. A call that got
	// something is followed by none until its credential runs out.
	renewGap = time.Second
	// renewalLease is longer than the call that it is for; a worker that died in it
	// is waited for no longer.
	renewalLease = payTime + 2*time.Second
	// renewalLook is how soon a worker looks again whether another one is done.
	renewalLook = 100 * time.Millisecond
)

// renewals are credentials being made anew for buyers.
type renewals struct {
	checks

	failures map[number]failure
}

type failure struct {
	at  time.Time
	why *problem.Error
}

// failed remembers why a call got nothing, and forgets what is past.
func (r *renewals) failed(o pay.Order, now time.Time, why *problem.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures == nil {
		r.failures = map[number]failure{}
	}
	for n, f := range r.failures {
		if now.Sub(f.at) >= renewGap {
			delete(r.failures, n)
		}
	}
	r.failures[number{o.MchID, o.OutTradeNo}] = failure{now, why}
}

// heard is what the last call got to hear, moments ago.
func (r *renewals) heard(o pay.Order, now time.Time) *problem.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, known := r.failures[number{o.MchID, o.OutTradeNo}]
	if !known || now.Sub(f.at) >= renewGap {
		return nil
	}
	return f.why
}

// renewAlone makes the credential of an order that had one anew, in one worker at a
// time: a second prepay call takes the first one's code_url out of use, and the books
// must end with the last. Whoever waited takes what the other one got.
func (s *Service) renewAlone(ctx context.Context, c call) (ending, error) {
	if until := s.Now().Add(payTime); c.deadline.IsZero() || until.Before(c.deadline) {
		c.deadline = until
	}
	calling, cancel := s.untilDeadline(ctx, c.deadline)
	defer cancel()
	for {
		end, err := s.Books.LeaseRenewal(ctx, c.order.MchID, c.order.OutTradeNo, renewalLease)
		switch {
		case err != nil:
			return ending{}, fmt.Errorf("lease a renewal: %w", err)
		case end != nil:
			defer func() { _ = end(context.WithoutCancel(ctx)) }() // else it ends by itself
			return s.renewLeased(ctx, c)
		case !wait(calling, renewalLook):
			return failed(pay.CommandUnavailable, busy()), nil
		}
	}
}

// renewLeased looks again: another worker may just have been done with it.
func (s *Service) renewLeased(ctx context.Context, c call) (ending, error) {
	now, found, err := s.Books.Order(ctx, c.order.MchID, c.order.OutTradeNo)
	switch {
	case err != nil:
		return ending{}, fmt.Errorf("look up order: %w", err)
	case !found:
		return failed(pay.CommandRefused, noOrderOfTheirs(string(c.order.OutTradeNo))), nil
	case now.State == pay.OrderFailed:
		return *refusedBy(now), nil
	case now.State != pay.OrderAwaitingPayment || s.live(now):
		return *done(now, statusKnown), nil
	}
	c.order = now
	return s.prepay(ctx, c)
}
