package command

import (
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
