package subscribe

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
)

// A stop finishes what is in hand, and leaves nothing that has to time out.
func TestInbox_finishes_what_it_holds_at_a_stop(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"context", "close"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.consumer(t, "business", 10*time.Minute) // what is left waits longer than this test
			i, seen := w.open(t)
			facts := storyOf(4)
			w.publish(t, facts...)
			began, goOn := make(chan struct{}, 20), make(chan struct{})
			stop := run(t, i, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
				began <- struct{}{}
				<-goOn
				return errors.Join(shop(ctx, tx, e), ctx.Err())
			})
			for range defaultConcurrency {
				<-began
			}
			if way == "close" {
				stop = i.Close
			}
			var wg sync.WaitGroup
			wg.Go(stop)
			close(goOn)
			wg.Wait()
			require.Empty(t, seen.of(StepHandle))
			done := w.remembered(t)
			require.GreaterOrEqual(t, done, defaultConcurrency)
			consumer, err := w.js.Consumer(t.Context(), stream, "business")
			require.NoError(t, err)
			require.Zero(t, consumer.CachedInfo().NumAckPending, "nothing may be left in nobody's hands")
			if way == "close" {
				require.ErrorIs(t, i.Run(t.Context(), shop), ErrClosed)
			}
			again, _ := w.open(t)
			run(t, again, shop)
			w.drained(t)
			w.requireOneEffect(t, facts)
		})
	}
}

// What the broker is just sending at a stop is taken: it would otherwise wait
// for the broker's patience to end.
func TestInbox_takes_what_is_on_its_way_at_a_stop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.consumer(t, "business", 10*time.Minute)
	i, _ := w.open(t)
	i.pace.linger = soon
	facts := storyOf(1)
	began := make(chan struct{}, 9)
	w.publish(t, facts[:2]...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1) // Run returns once
	go func() {
		ended <- i.Run(ctx, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
			began <- struct{}{}
			return shop(ctx, tx, e)
		})
	}()
	<-began
	w.drained(t) // and two hands more than there are events have been stretched out
	cancel()
	w.publish(t, facts[2])
	<-began
	w.awaitRemembered(t, 3)
	w.drained(t)
	i.mu.Lock()
	i.renew() // it would linger on for the rest
	i.mu.Unlock()
	require.NoError(t, <-ended)
	w.requireOneEffect(t, facts)
}

// A handler that does not end in time is undone.
func TestInbox_ends_a_handler_when_the_grace_is_over(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, seen := w.open(t, func(o *Options) { o.Grace = 50 * time.Millisecond })
	w.publish(t, storyOf(1)...)
	began := make(chan struct{}, 9)
	stop := run(t, i, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
		if err := shop(ctx, tx, e); err != nil {
			return err
		}
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	<-began
	stop()
	require.Zero(t, w.remembered(t))
	require.NotEmpty(t, seen.of(StepHandle))
}

func TestInbox_runs_once_at_a_time(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, _ := w.open(t)
	began := make(chan struct{}, 9)
	w.publish(t, storyOf(1)...)
	stop := run(t, i, func(context.Context, *sql.Tx, event.Event) error { began <- struct{}{}; return nil })
	<-began
	require.ErrorContains(t, i.Run(t.Context(), shop), "running already")
	stop()
	require.ErrorContains(t, i.Run(t.Context(), nil), "handler is missing")
	w.publish(t, fact{"NEXT", "order.paid", 3})
	run(t, i, func(context.Context, *sql.Tx, event.Event) error { began <- struct{}{}; return nil })
	w.drained(t)
}
