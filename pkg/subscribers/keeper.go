package subscribers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

// The rhythm of the keeper. All workers together look at each subscriber once in
// lookEvery: who claims one, holds it for so long.
const (
	tickEvery = 2 * time.Second
	lookEvery = 4 * time.Second
	perClaim  = 100
	atOnce    = 8
	within    = 10 * time.Second // one subscriber, with all that it takes

	// clocksApart is how far the broker's clock may be from the database's where a
	// consumer must begin at a time: a minute of events is told twice rather than lost.
	clocksApart = time.Minute
)

// Books hold the subscribers and the samples.
type Books interface {
	ClaimSubscribers(ctx context.Context, limit int, lease time.Duration) ([]pay.KeptSubscriber, error)
	KeptSubscriber(ctx context.Context, id string) (pay.KeptSubscriber, bool, error)
	SampleAck(ctx context.Context, id string, sample pay.AckSample) (moved bool, err error)
	SubscriberDropped(ctx context.Context, id string) error
}

// Broker holds the stream of events and the consumers.
type Broker interface {
	EventStream(ctx context.Context) (pay.EventStream, error)
	EventsAt(ctx context.Context, sequences []uint64) ([]pay.EventPosition, error)
	EventsBefore(ctx context.Context, at time.Time) (uint64, error)
	FirstEvent(ctx context.Context, s pay.Subscriber, from uint64) (pay.EventPosition, bool, error)
	KeepSubscriber(ctx context.Context, s pay.Subscriber, start func(context.Context) (pay.ConsumerStart, error)) (state pay.ConsumerState, made bool, err error)
	DropSubscriber(ctx context.Context, s pay.Subscriber) error
	SubscriberState(ctx context.Context, name pay.SubscriberName) (pay.ConsumerState, bool, error)
}

// Keeper looks after the consumers of all subscribers.
type Keeper struct {
	books     Books
	broker    Broker
	known     func(pay.MchID) bool // whether a merchant is configured
	retryable func(error) bool     // whether a call of the books that failed may work later
	log       *slog.Logger
	again     chan struct{} // one pending wish is enough
	failing   bool          // the latest round failed; only Run touches it
}

// Options are what a keeper works with.
type Options struct {
	Books     Books
	Broker    Broker
	Known     func(pay.MchID) bool
	Retryable func(error) bool
	Log       *slog.Logger
}

// New makes a keeper.
func New(o Options) *Keeper {
	return &Keeper{books: o.Books, broker: o.Broker, known: o.Known, retryable: o.Retryable, log: o.Log, again: make(chan struct{}, 1)}
}

// Wake has the keeper look soon: the broker came back, and may have lost something.
func (k *Keeper) Wake() {
	select {
	case k.again <- struct{}{}:
	default:
	}
}

// Run looks at what is due until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		err := k.Sweep(ctx)
		if ctx.Err() != nil {
			return nil
		}
		k.report(ctx, err)
		select {
		case <-ticker.C:
		case <-k.again:
		case <-ctx.Done():
			return nil
		}
	}
}

// report tells once that something fails, and once that it works again.
func (k *Keeper) report(ctx context.Context, err error) {
	switch {
	case err != nil && !k.failing:
		k.log.WarnContext(ctx, "subscribers' consumers are not looked after; tried again in seconds", "error", err)
	case err == nil && k.failing:
		k.log.InfoContext(ctx, "subscribers' consumers are looked after again")
	}
	k.failing = err != nil
}

// Sweep looks at every subscriber that is due.
func (k *Keeper) Sweep(ctx context.Context) error {
	var failed error
	for {
		due, err := k.books.ClaimSubscribers(ctx, perClaim, lookEvery)
		if err != nil {
			return errors.Join(failed, err)
		}
		group := errgroup.Group{}
		group.SetLimit(atOnce)
		for _, s := range due {
			group.Go(func() error {
				ctx, cancel := context.WithTimeout(ctx, within)
				defer cancel()
				return k.Keep(ctx, s)
			})
		}
		failed = errors.Join(failed, group.Wait())
		if len(due) < perClaim || ctx.Err() != nil {
			return failed
		}
	}
}

// Keep makes one subscriber's consumer what it must be and notes how far it is; a
// removed one's is deleted.
func (k *Keeper) Keep(ctx context.Context, s pay.KeptSubscriber) error {
	if !s.RemovedAt.IsZero() {
		return k.drop(ctx, s)
	}
	// Before the consumer is looked at and again after: a floor must not be noted as
	// one of another stream.
	stream, err := k.broker.EventStream(ctx)
	if err != nil {
		return fmt.Errorf("subscriber %s: %w", s.Name, err)
	}
	state, made, err := k.broker.KeepSubscriber(ctx, s.Subscriber, func(ctx context.Context) (pay.ConsumerStart, error) { return k.start(ctx, s) })
	if err != nil {
		return fmt.Errorf("subscriber %s: %w", s.Name, err)
	}
	if made {
		k.log.InfoContext(ctx, "a subscriber's consumer was made", "subscriber", s.Name, "mchid", s.MchID, "after", state.Floor)
		if err := k.unlessRemoved(ctx, s); err != nil {
			return err
		}
	}
	if stream.CreatedAt.Equal(s.Last.StreamAt) && state.Floor == s.Last.Floor {
		return nil
	}
	return k.sample(ctx, s, stream, state.Floor)
}

// unlessRemoved deletes a consumer that was made while its subscriber was removed: who
// removed it found none to delete.
func (k *Keeper) unlessRemoved(ctx context.Context, s pay.KeptSubscriber) error {
	now, there, err := k.books.KeptSubscriber(ctx, s.ID)
	if err != nil {
		return fmt.Errorf("subscriber %s: %w", s.Name, err)
	}
	if there && now.RemovedAt.IsZero() {
		return nil
	}
	return k.drop(ctx, s)
}

func (k *Keeper) drop(ctx context.Context, s pay.KeptSubscriber) error {
	if err := k.broker.DropSubscriber(ctx, s.Subscriber); err != nil {
		return fmt.Errorf("subscriber %s: %w", s.Name, err)
	}
	if err := k.books.SubscriberDropped(ctx, s.ID); err != nil {
		return fmt.Errorf("subscriber %s: %w", s.Name, err)
	}
	k.log.InfoContext(ctx, "a removed subscriber's consumer is gone", "subscriber", s.Name, "mchid", s.MchID)
	return nil
}

// start is where a consumer that is missing begins: after what was seen to be
// acknowledged last, if the stream holds the same message there as it did then, or
// nothing any more up to there. Else the stream is another, or was restored, and
// everything that the subscriber ever wanted is told again.
func (k *Keeper) start(ctx context.Context, s pay.KeptSubscriber) (pay.ConsumerStart, error) {
	again := pay.ConsumerStart{}
	if !s.From.IsZero() {
		again.From = s.From.Add(-clocksApart)
	}
	stream, err := k.broker.EventStream(ctx)
	if err != nil {
		return again, fmt.Errorf("look at the stream: %w", err)
	}
	switch {
	case !stream.CreatedAt.Equal(s.Last.StreamAt):
		return again, nil
	case s.Last.Floor < max(stream.First, 1): // whatever there is comes after it: no clock must say so
		return pay.ConsumerStart{After: s.Last.Floor}, nil
	case s.Last.StoredAt.IsZero():
		return again, nil
	}
	at, err := k.broker.EventsAt(ctx, []uint64{s.Last.Floor})
	if err != nil {
		return again, fmt.Errorf("look at event %d: %w", s.Last.Floor, err)
	}
	if at[0].StoredAt.Equal(s.Last.StoredAt) {
		return pay.ConsumerStart{After: s.Last.Floor}, nil
	}
	return again, nil
}

// sample notes a floor with the instant of the message there.
func (k *Keeper) sample(ctx context.Context, s pay.KeptSubscriber, stream pay.EventStream, floor uint64) error {
	at, err := k.broker.EventsAt(ctx, []uint64{floor})
	if err != nil {
		return fmt.Errorf("subscriber %s: %w", s.Name, err)
	}
	now, err := k.broker.EventStream(ctx)
	if err != nil {
		return fmt.Errorf("subscriber %s: %w", s.Name, err)
	}
	if !now.CreatedAt.Equal(stream.CreatedAt) {
		return nil // the next look sees the new one
	}
	if _, err := k.books.SampleAck(ctx, s.ID, pay.AckSample{StreamAt: stream.CreatedAt, Floor: floor, StoredAt: at[0].StoredAt}); err != nil {
		return fmt.Errorf("subscriber %s: %w", s.Name, err)
	}
	return nil
}
