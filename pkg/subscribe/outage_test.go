package subscribe

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// counting lets a test wait until a number of events are in the books.
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

// The answer to a COMMIT is lost, once after it took effect and once before.
func TestInbox_has_one_effect_when_the_outcome_of_a_commit_is_unknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	commits := &lostCommits{}
	connector, err := pq.NewConnector(w.dbURL)
	require.NoError(t, err)
	db := sql.OpenDB(lossyConnector{connector, commits})
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	i, seen := w.open(t, func(o *Options) { o.DB = db })
	require.NoError(t, EnsureTable(t.Context(), w.db, DefaultTable))
	facts := storyOf(40)
	w.publish(t, disordered(facts)...)
	run(t, i, shop)
	w.drained(t)
	w.requireOneEffect(t, facts)
	require.Greater(t, commits.after.Load(), int64(5))
	require.Greater(t, commits.before.Load(), int64(5))
	require.GreaterOrEqual(t, int64(len(seen.of(StepCommit))), commits.after.Load())
}

type lostCommits struct{ all, before, after atomic.Int64 }

// lossyConnector gives connections whose commits lose their answers.
type lossyConnector struct {
	driver.Connector
	commits *lostCommits
}

func (c lossyConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return lossyConn{conn.(fullConn), c.commits}, nil
}

type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.QueryerContext
	driver.ExecerContext
}

type lossyConn struct {
	fullConn
	commits *lostCommits
}

func (c lossyConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.fullConn.BeginTx(ctx, o)
	return lossyTx{tx, c}, err
}

type lossyTx struct {
	driver.Tx
	conn lossyConn
}

var errAnswerLost = errors.New("connection reset by peer")

func (tx lossyTx) Commit() error {
	switch tx.conn.commits.all.Add(1) % 5 {
	case 1:
		tx.conn.commits.after.Add(1)
		return errors.Join(tx.Tx.Commit(), errAnswerLost)
	case 3:
		tx.conn.commits.before.Add(1)
		return errors.Join(tx.Tx.Rollback(), errAnswerLost)
	}
	return tx.Tx.Commit()
}

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

// The nkey user of a subscriber, as fenflow prints it for nats.conf.
func TestInbox_connects_with_a_seed_file(t *testing.T) {
	t.Parallel()
	seed, public := nkey(t)
	file := filepath.Join(t.TempDir(), "shop.nk")
	require.NoError(t, os.WriteFile(file, seed, 0o600))
	w := newWorldAt(t, testkit.Database(t, "", nil), withUsers(t, map[string]string{"BUSINESS": fmt.Sprintf(`{nkey: %s, permissions {
		publish {allow: ["fenflow.events.CONSUMER.INFO.EVENT.shop", "fenflow.events.CONSUMER.MSG.NEXT.EVENT.shop", "$JS.ACK.EVENT.shop.>", "$JS.ACK.*.*.EVENT.shop.>"]}
		subscribe {allow: ["_INBOX_shop.>"]}}}`, public)}))
	w.consumer(t, "shop", time.Second)
	facts := storyOf(20)
	w.publish(t, disordered(facts)...)
	i, seen := w.open(t, func(o *Options) { o.Consumer, o.User, o.Password, o.SeedFile = "shop", "", "", file })
	run(t, i, shop)
	w.awaitRemembered(t, distinct(facts))
	require.Empty(t, seen.all)

	// Another's consumer is out of its reach, and that is said.
	other, told := w.open(t, func(o *Options) {
		o.Name, o.Consumer, o.User, o.Password, o.SeedFile, o.InboxPrefix = "other", "business", "", "", file, "_INBOX_shop"
	})
	run(t, other, shop)
	require.Eventually(t, func() bool { return len(told.of(StepConnect)) > 0 && len(told.of(StepReceive)) > 0 }, soon, often)
	require.ErrorContains(t, told.of(StepConnect)[0].Err, "compare Consumer, APIPrefix and InboxPrefix")
	require.Equal(t, distinct(facts), w.remembered(t))
}
