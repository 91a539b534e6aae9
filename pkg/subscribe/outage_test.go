package subscribe

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

func (w *world) awaitRemembered(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return w.remembered(t) >= n }, soon, often)
}

// The database is killed under load, stays away for a while, and comes back.
func TestInbox_waits_for_its_database(t *testing.T) {
	t.Parallel()
	postgres := testkit.OwnPostgres(t)
	require.NoError(t, postgres.CreateDatabase(t.Context(), "shop"))
	w := newWorldAt(t, postgres.URL("shop"), func(o *servers.NATSOptions) { o.ConfigFile = confFile })
	i, seen := w.open(t)
	facts := storyOf(100)
	w.publish(t, disordered(facts)...)
	var calls atomic.Int64
	reached := make(chan struct{}, 1000) // more than there are events
	run(t, i, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
		calls.Add(1)
		reached <- struct{}{}
		return shop(ctx, tx, e)
	})
	for range 3 {
		for range 50 {
			<-reached
		}
		require.NoError(t, postgres.Kill())
		before := len(seen.of(StepBegin))
		require.Eventually(t, func() bool { return len(seen.of(StepBegin)) >= before+8 }, soon, often, "it must go on asking")
		require.NoError(t, postgres.Restart())
	}
	w.drained(t)
	w.requireOneEffect(t, facts)
}

// An event that waits for the database is not handed out again, so its count
// of attempts tells of the event and not of the database.
func TestInbox_holds_what_it_has_while_the_database_is_away(t *testing.T) {
	t.Parallel()
	postgres := testkit.OwnPostgres(t)
	require.NoError(t, postgres.CreateDatabase(t.Context(), "shop"))
	w := newWorldAt(t, postgres.URL("shop"), func(o *servers.NATSOptions) { o.ConfigFile = confFile })
	require.NoError(t, EnsureTable(t.Context(), w.db, DefaultTable))
	i, seen := w.open(t)
	facts := storyOf(20)
	stop := run(t, i, shop)
	w.publish(t, facts[0])
	w.awaitRemembered(t, 1)
	require.NoError(t, postgres.Stop())
	w.publish(t, facts[1:]...)
	require.Eventually(t, func() bool { return len(seen.of(StepBegin)) >= 40 }, soon, often)
	consumer, err := w.js.Consumer(t.Context(), stream, "business")
	require.NoError(t, err)
	require.Equal(t, defaultConcurrency, consumer.CachedInfo().NumAckPending, "no more than it has hands for")
	for _, f := range seen.of(StepBegin) {
		require.Equal(t, 1, f.Attempt)
	}
	stop() // gives them back at once
	require.NoError(t, postgres.Restart())
	again, _ := w.open(t)
	run(t, again, shop)
	w.drained(t)
	w.requireOneEffect(t, facts)
}

// The broker is restarted under load: what is on its way is lost, and what was
// acknowledged may come again.
func TestInbox_waits_for_the_broker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, seen := w.open(t)
	facts := storyOf(150)
	w.publish(t, disordered(facts)...)
	run(t, i, shop)
	for n := range 3 {
		w.awaitRemembered(t, 100*(n+1))
		require.NoError(t, w.broker.Restart())
	}
	w.drained(t)
	w.requireOneEffect(t, facts)
	more := storyOf(160)[450:]
	w.publish(t, more...)
	w.drained(t)
	w.requireOneEffect(t, append(facts, more...))
	require.NotEmpty(t, seen.of(StepConnect))
}

// The broker forgets who waits with the connection; the inbox must ask anew at
// once, and not when its request would have run out.
func TestInbox_asks_again_after_a_reconnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, _ := w.open(t)
	i.pace.pull, i.pace.heartbeat = time.Hour, 20*time.Minute
	run(t, i, shop)
	facts := storyOf(4)
	for n, f := range facts {
		w.publish(t, f)
		w.drained(t)
		if n < 3 {
			require.NoError(t, w.broker.Restart())
		}
	}
	w.requireOneEffect(t, facts)
}

func TestInbox_opens_while_the_broker_is_away(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	facts := storyOf(5)
	w.publish(t, facts...)
	require.NoError(t, w.broker.Stop())
	i, seen := w.open(t)
	run(t, i, shop)
	require.Eventually(t, func() bool { return len(seen.of(StepReceive)) >= 2 }, soon, often)
	require.NotEmpty(t, seen.of(StepConnect))
	require.NoError(t, w.broker.Restart())
	w.drained(t)
	w.requireOneEffect(t, facts)
}

// admin may delete what fenflow's roles may not.
func admin(t *testing.T) func(*servers.NATSOptions) {
	t.Helper()
	return withUsers(t, map[string]string{"FENFLOW": `{user: admin, password: "pw-admin"}`})
}

// The consumer is deleted and made again: everything comes once more from the
// beginning, and counts no second time.
func TestInbox_waits_for_its_consumer(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, testkit.Database(t, "", nil), admin(t))
	js := w.connect(t, "admin")
	i, seen := w.open(t)
	facts := storyOf(20)
	w.publish(t, facts...)
	run(t, i, shop)
	w.drained(t)
	for range 2 {
		before := len(seen.of(StepReceive))
		require.NoError(t, js.DeleteConsumer(t.Context(), stream, "business"))
		require.Eventually(t, func() bool { return len(seen.of(StepReceive)) >= before+3 }, soon, often)
		w.consumer(t, "business", time.Second)
		w.drained(t)
	}
	more := storyOf(25)[60:]
	w.publish(t, more...)
	w.drained(t)
	w.requireOneEffect(t, append(facts, more...))
}

// The broker lost everything: positions begin at 1 again, and fenflow
// publishes some events anew under their old ids.
func TestInbox_outlives_a_stream_made_anew(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, testkit.Database(t, "", nil), admin(t))
	js := w.connect(t, "admin")
	i, _ := w.open(t)
	facts := storyOf(20)
	w.publish(t, facts...)
	run(t, i, shop)
	w.drained(t)
	require.NoError(t, js.DeleteStream(t.Context(), stream))
	require.NoError(t, w.worker.EnsureStreams(t.Context()))
	all := storyOf(25)
	w.publish(t, disordered(all)...)
	w.drained(t)
	w.requireOneEffect(t, all)
}

// A consumer that would hide or drop events is not touched.
func TestInbox_refuses_a_consumer_that_loses_events(t *testing.T) {
	t.Parallel()
	for says, spoil := range map[string]func(*jetstream.ConsumerConfig){
		"max_deliver must be -1": func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 5 },
		"must be explicit":       func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckAllPolicy },
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			w := newWorldAt(t, testkit.Database(t, "", nil), admin(t))
			js := w.connect(t, "admin")
			require.NoError(t, js.DeleteConsumer(t.Context(), stream, "business"))
			config := jetstream.ConsumerConfig{Durable: "business", FilterSubject: "pay.event.>", AckPolicy: jetstream.AckExplicitPolicy}
			spoil(&config)
			_, err := js.CreateConsumer(t.Context(), stream, config)
			require.NoError(t, err)
			facts := storyOf(2)
			w.publish(t, facts...)
			i, seen := w.open(t)
			run(t, i, shop)
			require.Eventually(t, func() bool { return len(seen.of(StepReceive)) >= 2 }, soon, often)
			require.ErrorContains(t, seen.of(StepReceive)[0].Err, says)
			require.Zero(t, w.remembered(t))
			require.NoError(t, js.DeleteConsumer(t.Context(), stream, "business"))
			w.consumer(t, "business", time.Second)
			w.drained(t)
			w.requireOneEffect(t, facts)
		})
	}
}
