package cli

import (
	"context"
	"time"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// How letters are followed. A worker tries what is due once a second.
const (
	followFor   = time.Minute
	firstLookIn = 250 * time.Millisecond
	maxLookIn   = 2 * time.Second
)

// followed is a letter on its way.
type followed struct {
	id       operatorapi.DeliveryID
	letter   operatorapi.Letter // as it was seen last
	before   int                // its attempts before the replay
	replayed bool               // by this command; else somebody was faster
	ended    bool
}

// follower watches letters until each is at an end, or for a minute.
type follower struct {
	look func(context.Context, []operatorapi.DeliveryID) ([]operatorapi.Letter, error)
	told func([]followed)
}

// follow marks what ended. An error is a console that will not answer; one that
// is away for a moment is asked again.
func (f follower) follow(ctx context.Context, letters []followed) error {
	over := time.NewTimer(followFor)
	defer over.Stop()
	for pause := firstLookIn; ; pause = min(2*pause, maxLookIn) {
		left := open(letters)
		if len(left) == 0 {
			return nil
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-over.C:
			again.Stop()
			for i := range letters { // opened, and by nobody's try: it waits no more
				letters[i].ended = letters[i].ended || letters[i].letter.State == operatorapi.LetterState(pay.LetterOpen)
			}
			return nil
		case <-ctx.Done():
			again.Stop()
			return nil
		}
		seen, err := f.look(ctx, left)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !passing(err):
			return err
		}
		for i := range letters {
			letters[i].see(seen)
		}
		f.told(letters)
	}
}

func open(letters []followed) []operatorapi.DeliveryID {
	var ids []operatorapi.DeliveryID
	for _, l := range letters {
		if !l.ended {
			ids = append(ids, l.id)
		}
	}
	return ids
}

// see takes a letter's state. Open with no attempt more means that it was not
// tried since.
func (l *followed) see(seen []operatorapi.Letter) {
	for _, now := range seen {
		if now.DeliveryID != l.letter.DeliveryID {
			continue
		}
		l.letter = now
		switch pay.LetterState(now.State) {
		case pay.LetterResolved, pay.LetterDiscarded:
			l.ended = true
		case pay.LetterOpen:
			l.ended = now.Attempts > l.before || !l.replayed
		default:
		}
	}
}

// passing says whether an error may pass by itself while somebody waits: the console,
// or what it leans on, is away.
func passing(err error) bool {
	switch problem.KindOf(err) {
	case problem.Unhealthy, problem.TooManyRequests, problem.DatabaseUnavailable, problem.NoWorker, problem.BrokerUnavailable, problem.Unavailable:
		return true
	default:
		return false
	}
}

// rested waits and says whether to go on.
func rested(ctx context.Context, gap time.Duration) bool {
	if gap == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(gap)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
