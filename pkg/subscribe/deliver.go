package subscribe

import (
	"context"
	"database/sql"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fenflow/fenflow/pkg/event"
)

// parcel is one message on its way: what to remember it by, and what to do.
type parcel struct {
	id      string
	do      func(context.Context, *sql.Tx) error
	failure Failure // with all that is known of the event
}

// deliver brings one message to an end: acknowledged after its effect is
// committed, or given back for later. It never drops one.
func (i *Inbox) deliver(ctx context.Context, msg jetstream.Msg, alive time.Duration, handle Handler) {
	defer keepAlive(msg, alive)()
	p, err := i.read(msg, handle)
	if err != nil {
		i.giveBack(msg, p.failure, StepRead, err)
		return
	}
	for n := 0; ; n++ {
		step, err := i.try(ctx, p)
		if err == nil {
			// A lost acknowledgement brings the event again, and it is
			// remembered by then.
			_ = msg.Ack()
			i.at(StepAcknowledge)
			return
		}
		again, inPlace := i.inPlace(step, err, n)
		if !inPlace {
			i.giveBack(msg, p.failure, step, err)
			return
		}
		if !isConflict(err) {
			i.report(p.failure.at(step, err, again))
		}
		pause(ctx, again)
		if ctx.Err() != nil {
			_ = msg.Nak() // another instance may take it at once
			return
		}
	}
}

// inPlace decides what is tried again with the event in hand. A transaction
// that lost against another has only to be repeated. Where no transaction can
// be had or the table cannot be written, that is so for every event: taking
// the next would help nobody. All else may be this event's own trouble, and
// the others go on.
func (i *Inbox) inPlace(step Step, err error, n int) (again time.Duration, is bool) {
	switch {
	case isConflict(err) && n < conflictTries:
		return doubled(i.pace.conflict, i.pace.last, n), true
	case isConflict(err):
		return 0, false
	case step == StepBegin || step == StepRemember:
		return i.pace.away(n), true
	}
	return 0, false
}

// giveBack has the broker hand the message out again later. It stays the
// broker's: if this is lost, the message comes again after the broker's patience.
func (i *Inbox) giveBack(msg jetstream.Msg, f Failure, step Step, err error) {
	again := max(i.o.Backoff(f.Attempt), 0)
	i.report(f.at(step, err, again))
	_ = msg.NakWithDelay(again)
}

func (f Failure) at(step Step, err error, again time.Duration) Failure {
	f.Step, f.Err, f.Again = step, err, again
	return f
}

// try makes one attempt; at a stop it has Grace to end.
func (i *Inbox) try(ctx context.Context, p parcel) (Step, error) {
	ctx, done := outlive(ctx, i.o.Grace)
	defer done()
	ctx, cancel := context.WithTimeout(ctx, i.o.Timeout)
	defer cancel()
	return i.apply(ctx, p)
}

// read finds out what a message is.
func (i *Inbox) read(msg jetstream.Msg, handle Handler) (parcel, error) {
	p := parcel{failure: Failure{Attempt: 1}}
	if meta, err := msg.Metadata(); err == nil {
		p.failure.Attempt = int(meta.NumDelivered)
	}
	e, err := event.Parse(msg.Data())
	if err == nil {
		p.failure.EventID, p.failure.Type, p.failure.Subject = e.ID, e.Type, e.Subject
		err = checkID(e.ID)
	}
	switch {
	case err == nil:
		p.id = e.ID
		p.do = func(ctx context.Context, tx *sql.Tx) error { return handle(ctx, tx, e) }
	case i.o.OnUnreadable != nil:
		p.id = idOfBytes(msg.Data())
		p.do = func(ctx context.Context, tx *sql.Tx) error { return i.o.OnUnreadable(ctx, tx, msg.Data()) }
	default:
		return p, err
	}
	return p, nil
}

// keepAlive tells the broker that a message is being worked on.
func keepAlive(msg jetstream.Msg, every time.Duration) (stop func()) {
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_ = msg.InProgress() // while the broker is away there is nobody to tell
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}
