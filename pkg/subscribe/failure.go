package subscribe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Step is a point on the way of an event, and what went wrong there.
type Step string

// The steps of an event in their order.
const (
	StepReceive     Step = "receive"     // from the broker
	StepRead        Step = "read"        // the bytes as an event
	StepBegin       Step = "begin"       // the transaction
	StepRemember    Step = "remember"    // the event's id, in the table
	StepHandle      Step = "handle"      // the caller's handler
	StepCommit      Step = "commit"      // both at once
	StepAcknowledge Step = "acknowledge" // to the broker
)

// What goes on beside the events.
const (
	StepConnect Step = "connect"
	StepTable   Step = "table"
	StepPrune   Step = "prune"
)

// Failure is something that went wrong and will be tried again.
type Failure struct {
	Step  Step
	Err   error
	Again time.Duration // until the next try; 0 where there is none to wait for

	// Of the event, where it is one's.
	EventID string
	Type    string
	Subject string // out_trade_no
	Attempt int    // how often the broker handed it out, from 1
}

// String says it in one line.
func (f Failure) String() string {
	if f.EventID == "" {
		return fmt.Sprintf("%s: %v", f.Step, f.Err)
	}
	return fmt.Sprintf("%s event %s (%s of %s), attempt %d: %v", f.Step, f.EventID, f.Type, f.Subject, f.Attempt, f.Err)
}

func (i *Inbox) report(f Failure) {
	if i.o.OnError != nil {
		i.o.OnError(f)
		return
	}
	i.o.Logger.Warn("inbox: tried again", "inbox", i.o.Name, "step", string(f.Step), "error", f.Err, "again", f.Again,
		"event_id", f.EventID, "type", f.Type, "out_trade_no", f.Subject, "attempt", f.Attempt)
}

// isConflict finds what PostgreSQL asks to be repeated as it is:
// serialization_failure and deadlock_detected. Both lib/pq and pgx tell the
// SQLSTATE by this method.
func isConflict(err error) bool {
	var state interface{ SQLState() string }
	if !errors.As(err, &state) {
		return false
	}
	return state.SQLState() == "40001" || state.SQLState() == "40P01"
}

const (
	firstBackoff = time.Second
	lastBackoff  = time.Minute
	// conflictTries in place; an event that loses each of them is given back.
	conflictTries = 10
)

// backoff gives the pause after the given attempt, from 1.
func backoff(attempt int) time.Duration { return doubled(firstBackoff, lastBackoff, attempt-1) }

// doubled gives first, doubled n times and never more than last, with a
// quarter of jitter so that many do not return in step.
func doubled(first, last time.Duration, n int) time.Duration {
	d := last
	if n = max(n, 0); n < 20 { // twenty doublings of a millisecond are past every last
		d = min(first<<n, last)
	}
	return d*3/4 + rand.N(d/2+1) //nolint:gosec // jitter is no secret
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// outlive gives a context that ends d after ctx does, so that what is in hand
// at a stop is finished.
func outlive(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(d, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(own, func() { timer.Stop() })
	})
	return own, func() { stop(); cancel(nil) }
}
