package subscribe

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/testkit"
)

// whenOf lets one order's paid event end in its own way until healed.
func whenOf(number string, healed *atomic.Bool, otherwise Handler) Handler {
	return func(ctx context.Context, tx *sql.Tx, e event.Event) error {
		if err := shop(ctx, tx, e); err != nil || e.Subject != number || e.Type != event.TypeOrderPaid || healed.Load() {
			return err
		}
		return otherwise(ctx, tx, e)
	}
}

// What a handler may do wrong with one event: nothing of it stays, the others
// go on, it is reported with its id and attempt each time, and it has its one
// effect once the handler is mended.
func TestInbox_keeps_what_fails_and_goes_on(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]struct {
		step   Step
		says   string
		handle Handler
	}{
		"error": {StepHandle, "no tea left", func(context.Context, *sql.Tx, event.Event) error { return errors.New("no tea left") }},
		"panic": {StepHandle, "the handler panics: boiling over", func(context.Context, *sql.Tx, event.Event) error { panic("boiling over") }},
		"goexit": {StepHandle, "Goexit", func(context.Context, *sql.Tx, event.Event) error {
			runtime.Goexit()
			return nil
		}},
		"refused statement": {StepHandle, "23502", func(ctx context.Context, tx *sql.Tx, _ event.Event) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO deliveries VALUES (NULL, NULL)`)
			return err
		}},
		"refused statement whose error is dropped": {StepCommit, "", func(ctx context.Context, tx *sql.Tx, _ event.Event) error {
			_, _ = tx.ExecContext(ctx, `INSERT INTO deliveries VALUES (NULL, NULL)`)
			return nil
		}},
		"constraint that is checked at the commit": {StepCommit, "23503", func(ctx context.Context, tx *sql.Tx, _ event.Event) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO parcels VALUES ('nobody')`)
			return err
		}},
		"rollback of its own": {StepCommit, "already been committed or rolled back", func(_ context.Context, tx *sql.Tx, _ event.Event) error {
			return tx.Rollback()
		}},
		"too slow": {StepHandle, "canceling statement", func(ctx context.Context, tx *sql.Tx, _ event.Event) error {
			_, err := tx.ExecContext(ctx, `SELECT pg_sleep(60)`)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, err := w.db.ExecContext(t.Context(), `CREATE TABLE people (name text PRIMARY KEY);
				CREATE TABLE parcels (name text REFERENCES people DEFERRABLE INITIALLY DEFERRED)`)
			require.NoError(t, err)
			i, seen := w.open(t, func(o *Options) {
				if name == "too slow" {
					o.Timeout = time.Second
				}
			})
			wrong := fact{"BAD1", "order.paid", 3}
			facts := append(storyOf(30), wrong)
			w.publish(t, wrong) // it comes first, and again among the others
			w.publish(t, disordered(facts)...)
			healed := &atomic.Bool{}
			run(t, i, whenOf("BAD1", healed, bad.handle))
			require.Eventually(t, func() bool { return w.remembered(t) == distinct(facts)-1 }, soon, often, "the others go on")
			require.Eventually(t, func() bool {
				return slices.ContainsFunc(seen.of(bad.step), func(f Failure) bool { return f.Attempt >= 3 })
			}, soon, often)
			require.NotContains(t, counts[int](t, w.db, `SELECT out_trade_no, count(*) FROM deliveries GROUP BY 1`), "BAD1")
			for _, f := range seen.of(bad.step) {
				require.Equal(t, wrong.id(), f.EventID)
				require.Equal(t, event.TypeOrderPaid, f.Type)
				require.Equal(t, "BAD1", f.Subject)
				require.ErrorContains(t, f.Err, bad.says)
				require.Positive(t, f.Again)
			}
			healed.Store(true)
			w.drained(t)
			w.requireOneEffect(t, facts)
		})
	}
}

// A handler that commits by itself has also committed the memory.
func TestInbox_has_one_effect_when_the_handler_commits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, seen := w.open(t)
	facts := []fact{{"T1", "order.paid", 3}}
	w.publish(t, facts...)
	run(t, i, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
		return errors.Join(shop(ctx, tx, e), tx.Commit())
	})
	w.drained(t)
	w.requireOneEffect(t, facts)
	require.NotEmpty(t, seen.of(StepCommit), "that it must not is reported")
}

// Many events that always fail leave hands for those that do not.
func TestInbox_is_not_blocked_by_more_bad_events_than_hands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, _ := w.open(t, func(o *Options) { o.Concurrency = 2 })
	facts := storyOf(60)
	w.publish(t, facts...)
	healed := &atomic.Bool{}
	run(t, i, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
		if e.Type != event.TypeOrderPaid && !healed.Load() {
			return errors.New("only paid orders, please")
		}
		return shop(ctx, tx, e)
	})
	require.Eventually(t, func() bool { return w.remembered(t) == 60 }, soon, often)
	healed.Store(true)
	w.drained(t)
	w.requireOneEffect(t, facts)
}

// A handler may take longer than the broker's patience.
func TestInbox_keeps_a_slow_event_from_coming_again(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, testkit.Database(t, "", nil), admin(t))
	const patience = 500 * time.Millisecond
	w.consumer(t, "business", patience)
	w.consumer(t, "clock", patience)
	i, _ := w.open(t)
	facts := []fact{{"SLOW1", "order.paid", 3}}
	w.publish(t, facts...)
	enough, began := make(chan struct{}), make(chan struct{}, 9)
	run(t, i, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
		began <- struct{}{}
		<-enough
		return shop(ctx, tx, e)
	})
	goOn := sync.OnceFunc(func() { close(enough) })
	t.Cleanup(goOn)
	<-began
	w.awaitPatience(t, "clock", 5)
	require.Empty(t, began, "the event came again while it was in work")
	consumer, err := w.js.Consumer(t.Context(), stream, "business")
	require.NoError(t, err)
	require.Zero(t, consumer.CachedInfo().NumRedelivered)
	goOn()
	w.drained(t)
	w.requireOneEffect(t, facts)
}

// awaitPatience waits until a consumer that acknowledges nothing has been
// handed one event again so many times.
func (w *world) awaitPatience(t *testing.T, name string, times uint64) {
	t.Helper()
	consumer, err := w.connect(t, "admin").Consumer(t.Context(), stream, name)
	require.NoError(t, err)
	for n := uint64(0); n < 1+times; {
		msg, err := consumer.Next()
		require.NoError(t, err)
		meta, err := msg.Metadata()
		require.NoError(t, err)
		n = meta.NumDelivered
	}
}

// The types of a later version reach the handler, with their bytes.
func TestInbox_hands_on_types_that_it_does_not_know(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, seen := w.open(t)
	w.publishRaw(t, `{"specversion":"1.0","id":"5f0c6a9e-0000-5000-8000-000000000001","type":"fenflow.bill.reconciled.v1","data":{"date":"2026-01-02"}}`)
	got := make(chan event.Event, 9)
	run(t, i, func(_ context.Context, _ *sql.Tx, e event.Event) error { got <- e; return nil })
	e := <-got
	require.Equal(t, "fenflow.bill.reconciled.v1", e.Type)
	require.JSONEq(t, `{"date":"2026-01-02"}`, string(e.RawData))
	w.drained(t)
	require.Equal(t, 1, w.remembered(t))
	require.Empty(t, seen.of(""))
}

func unreadable() []string {
	return []string{`no json`, `{"specversion":"1.0"}`, `{"specversion":"1.0","id":"id-1","type":"fenflow.later.v1","data":{}}`}
}

func TestInbox_keeps_what_it_cannot_read(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, seen := w.open(t)
	for _, raw := range unreadable() {
		w.publishRaw(t, raw)
	}
	facts := storyOf(5)
	w.publish(t, facts...)
	run(t, i, shop)
	require.Eventually(t, func() bool { return w.remembered(t) == distinct(facts) && len(seen.of(StepRead)) > 9 }, soon, often)
	consumer, err := w.js.Consumer(t.Context(), stream, "business")
	require.NoError(t, err)
	require.Equal(t, len(unreadable()), consumer.CachedInfo().NumAckPending, "not one may be dropped")
	w.requireOneEffect(t, facts)
}

// With OnUnreadable the shop decides; the same bytes come to it once.
func TestInbox_hands_what_it_cannot_read_to_who_wants_it(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.db.ExecContext(t.Context(), `CREATE TABLE oddities (raw bytea)`)
	require.NoError(t, err)
	fails := atomic.Bool{}
	fails.Store(true)
	i, seen := w.open(t, func(o *Options) {
		o.OnUnreadable = func(ctx context.Context, tx *sql.Tx, raw []byte) error {
			if _, err := tx.ExecContext(ctx, `INSERT INTO oddities VALUES ($1)`, raw); err != nil || fails.Load() {
				return errors.Join(err, errors.New("not now"))
			}
			return nil
		}
	})
	for range 2 {
		for _, raw := range unreadable() {
			w.publishRaw(t, raw)
		}
	}
	run(t, i, shop)
	require.Eventually(t, func() bool { return len(seen.of(StepHandle)) > 9 }, soon, often)
	fails.Store(false)
	w.drained(t)
	got := counts[int](t, w.db, `SELECT convert_from(raw, 'UTF8'), count(*) FROM oddities GROUP BY 1`)
	want := map[string]int{}
	for _, raw := range unreadable() {
		want[raw] = 1
	}
	require.Equal(t, want, got)
}

func TestBackoff_grows_to_a_minute_and_no_further(t *testing.T) {
	t.Parallel()
	for attempt, about := range map[int]time.Duration{-1: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 7: time.Minute, 1 << 40: time.Minute} {
		for range 100 {
			require.InDelta(t, about, backoff(attempt), float64(about)/4, "attempt %d", attempt)
		}
	}
}

func TestIDOfBytes_is_a_UUID_of_the_bytes(t *testing.T) {
	t.Parallel()
	one, other := idOfBytes([]byte("a")), idOfBytes([]byte("b"))
	require.NoError(t, checkID(one))
	require.NotEqual(t, one, other)
	require.Equal(t, one, idOfBytes([]byte("a")))
	require.Equal(t, "8", one[14:15])
	require.True(t, strings.ContainsAny(one[19:20], "89ab"))
}
