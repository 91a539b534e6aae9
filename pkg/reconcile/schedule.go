package reconcile

import (
	"hash/fnv"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// The rhythm of questions about orders.
const (
	youngFor   = 15 * time.Minute // a buyer pays soon or never
	youngEvery = 10 * time.Second
	oldEvery   = time.Minute

	// probeOneIn orders stays tight in the relaxed gear, so that notifications
	// which stop arriving are noticed.
	probeOneIn = 50

	// closeNotBefore is the rule of v2, where an order can be closed 5 minutes
	// after it was made; v3 is silent about it (WeChat Pay docs 4012556398,
	// 4013634995). A shop that asks for a close is not held to it.
	closeNotBefore = 5 * time.Minute
	afterClose     = time.Second // a close was accepted: is it closed?
	closeAgain     = time.Minute // doubled with each close that was accepted and closed nothing
	closeAtMost    = time.Hour

	// missingFor: an order that WeChat Pay does not know is not given up before
	// nobody can have paid it for so long.
	missingFor = 10 * time.Minute
	// slowly is for what only a person can put right.
	slowly = time.Hour
	// afterExpiry: a payment of the last moment gets this long to be booked there.
	afterExpiry = time.Minute

	firstRetry = 2 * time.Second // after a call that led nowhere, doubled up to
	lastRetry  = time.Minute

	// unpaidFor: without an expiry WeChat Pay's own holds (doc 4012525167).
	unpaidFor = 7 * 24 * time.Hour
)

// relaxedAt are the ages at which orders are asked about while notifications
// arrive: WeChat Pay's own advice (doc 4012075249, plan 1), without its first two.
func relaxedAt() []time.Duration {
	return []time.Duration{time.Minute, 3 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute}
}

// look is the next call about an order. The zero look is none, for ever.
type look struct {
	api pay.API
	at  time.Time
}

// next plans the look after WeChat Pay has said, at now, that the order is
// still open.
func next(o pay.Order, gear pay.Gear, now time.Time) look {
	switch {
	case o.State == pay.OrderFailed:
		return failedLook(o, now)
	case !o.CloseRequestedAt.IsZero(), !now.Before(expiryOf(o)):
		return closing(o, now)
	}
	return look{pay.APIOrderQuery, earlier(regular(o, gear, now), expiryOf(o))}
}

// regular is when an open order is asked about again, counted from the last look.
func regular(o pay.Order, gear pay.Gear, last time.Time) time.Time {
	if gear != pay.GearRelaxed || probe(o) {
		return tight(o, last)
	}
	for _, age := range relaxedAt() {
		if at := o.CreatedAt.Add(age); at.After(last) {
			return at
		}
	}
	return expiryOf(o)
}

func tight(o pay.Order, last time.Time) time.Time {
	if last.Sub(o.CreatedAt) < youngFor {
		return last.Add(youngEvery)
	}
	return last.Add(oldEvery)
}

// probe: the number decides, so that every reconciler picks the same orders.
func probe(o pay.Order) bool {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(o.MchID))
	_, _ = sum.Write([]byte{0})
	_, _ = sum.Write([]byte(o.OutTradeNo))
	return sum.Sum32()%probeOneIn == 0
}

// closing: a verified "not paid" was just heard, so a close may follow.
func closing(o pay.Order, now time.Time) look {
	if o.CloseCount > 0 {
		return look{pay.APIOrderClose, now.Add(doubled(closeAgain, o.CloseCount, closeAtMost))}
	}
	at := now
	if soonest := o.CreatedAt.Add(closeNotBefore); o.CloseRequestedAt.IsZero() && soonest.After(at) {
		at = soonest
	}
	return look{pay.APIOrderClose, at}
}

// failedLook: a refused order is asked about once soon after (pay.Book plans
// that) and once when nobody can pay it any more.
func failedLook(o pay.Order, now time.Time) look {
	last := expiryOf(o).Add(afterExpiry)
	if now.Before(last) {
		return look{pay.APIOrderQuery, last}
	}
	return look{}
}

// tooEarly says whether a claimed order came due only because it was planned
// for the tight gear (as every new order is) and its merchant is in the relaxed
// one: it is claimed just when the tight gear would have it, counted from its
// last look. Whatever made it due at another moment wants a call.
func tooEarly(o pay.Order, gear pay.Gear, now time.Time) (look, bool) {
	last := o.CheckedAt
	if last.IsZero() {
		last = o.CreatedAt
	}
	due, late := regular(o, gear, last), now.Sub(tight(o, last))
	switch {
	case gear != pay.GearRelaxed, !o.State.Open(), !o.CloseRequestedAt.IsZero(), !now.Before(expiryOf(o)),
		late < 0, late >= claimedWithin, !due.After(now.Add(claimedWithin)):
		return look{}, false
	}
	return look{pay.APIOrderQuery, earlier(due, expiryOf(o))}, true
}

// claimedWithin is how soon a sweep finds what came due, within its budget.
const claimedWithin = 2 * time.Second

func expiryOf(o pay.Order) time.Time {
	if o.ExpiresAt.IsZero() {
		return o.CreatedAt.Add(unpaidFor)
	}
	return o.ExpiresAt
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// doubled is the n-th of a row of waits (from 1), each twice the one before.
func doubled(first time.Duration, n int, most time.Duration) time.Duration {
	for ; n > 1 && first < most; n-- {
		first *= 2
	}
	return min(first, most)
}
