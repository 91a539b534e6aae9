package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/outbox"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

const soon = 30 * time.Second

type bundle struct {
	t      *testing.T
	store  *store.Store
	db     *sql.DB
	broker *servers.NATS
	bus    *bus.Bus
	events jetstream.Stream
}

func setup(t *testing.T) *bundle {
	t.Helper()
	url := testkit.Database(t, "outbox", func(ctx context.Context, url string) error {
		_, err := store.Migrate(ctx, url)
		return err
	})
	b := &bundle{t: t, broker: testkit.NATS(t)}
	var err error
	b.store, err = store.Open(t.Context(), store.Config{URL: url, MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.store.Close() })
	b.db, err = sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.db.Close() })
	b.bus, err = bus.Connect(t.Context(), bus.Config{URL: b.broker.URL(), Role: "worker"})
	require.NoError(t, err)
	t.Cleanup(b.bus.Close)
	require.NoError(t, b.bus.EnsureStreams(t.Context()))
	conn, err := nats.Connect(b.broker.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	b.events, err = js.Stream(t.Context(), bus.StreamEvent)
	require.NoError(t, err)
	return b
}

// order commits an order with its order.created event.
func (b *bundle) order(i int) []pay.Outgoing {
	b.t.Helper()
	now := time.Now().UTC()
	_, created, events, err := b.store.CreateOrder(b.t.Context(), pay.Order{
		MchID: "1900000109", OutTradeNo: pay.OutTradeNo(fmt.Sprintf("T%08d", i)), AppID: "wx8888888888888888", Client: pay.ClientNative,
		Protocol: pay.ProtocolV3, Description: "tea", Amount: 1, Currency: pay.CNY, Digest: "d", PrepayRequest: []byte("{}"),
		CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(time.Hour), NextCheckAt: now.Add(time.Minute),
	})
	require.NoError(b.t, err)
	require.True(b.t, created)
	return events
}

func (b *bundle) count(query string) int {
	var n int
	require.NoError(b.t, b.db.QueryRowContext(b.t.Context(), query).Scan(&n))
	return n
}

func (b *bundle) messages() uint64 {
	info, err := b.events.Info(b.t.Context())
	if err != nil {
		return 0
	}
	return info.State.Msgs
}

func (b *bundle) run(rows outbox.Rows) *outbox.Relay {
	b.t.Helper()
	relay := outbox.New(rows, b.bus, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(ctx) }()
	b.t.Cleanup(func() { cancel(); <-ended })
	return relay
}

func (b *bundle) allPublished(n int) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.count(`SELECT count(*) FROM outbox`) == 0 }, soon, 20*time.Millisecond)
	require.Equal(b.t, n, b.count(`SELECT count(*) FROM published`))
	require.Equal(b.t, n, b.count(`SELECT count(DISTINCT stream_sequence) FROM published`))
	require.EqualValues(b.t, n, b.messages(), "each event is one message")
}

func TestRelay_publishes_what_it_is_handed_at_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := b.run(noSweep{b.store})
	for i := range 30 {
		relay.Hand(b.order(i))
	}
	b.allPublished(30)
}

// noSweep has nothing to sweep, so that only the fast path can publish.
type noSweep struct{ *store.Store }

func (noSweep) ClaimOutbox(context.Context, time.Duration, int) ([]pay.Outgoing, error) {
	return nil, nil
}

func TestRelay_sweeps_what_nobody_handed_over(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 20 {
		b.order(i)
	}
	b.run(b.store)
	b.allPublished(20)
}

func TestRelay_keeps_events_when_the_broker_restarts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := b.run(b.store)
	relay.Hand(b.order(0))
	b.allPublished(1)
	require.NoError(t, b.broker.Stop())
	for i := 1; i < 25; i++ {
		relay.Hand(b.order(i))
	}
	require.Equal(t, 24, b.count(`SELECT count(*) FROM outbox`))
	require.NoError(t, b.broker.Restart())
	b.allPublished(25)
}

// unmarkable publishes and cannot write it down while away is set.
type unmarkable struct {
	*store.Store
	away  atomic.Bool
	tries atomic.Int32
}

var errAway = errors.New("the database is away")

func (u *unmarkable) MarkPublished(ctx context.Context, receipts []pay.Publication) error {
	u.tries.Add(1)
	if u.away.Load() {
		return errAway
	}
	return u.Store.MarkPublished(ctx, receipts)
}

func TestRelay_a_crash_between_publish_and_mark_gives_no_second_message(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows := &unmarkable{Store: b.store}
	rows.away.Store(true)
	relay := outbox.New(noSweepOf{rows}, b.bus, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	var events []pay.Outgoing
	for i := range 10 {
		events = append(events, b.order(i)...)
	}
	relay.Hand(events)
	crashed, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, relay.Run(crashed))
	require.EqualValues(t, 10, b.messages())
	require.Equal(t, 10, b.count(`SELECT count(*) FROM outbox`))
	b.run(b.store) // the next process, which remembers nothing
	b.allPublished(10)
	require.Equal(t, 10, b.count(`SELECT count(*) FROM published WHERE duplicate`))
}

type noSweepOf struct{ *unmarkable }

func (noSweepOf) ClaimOutbox(context.Context, time.Duration, int) ([]pay.Outgoing, error) {
	return nil, nil
}

// counting counts how often each event was sent: no broker remembers ids for
// as long as a database may be away.
type counting struct {
	outbox.Stream
	mu   sync.Mutex
	sent map[string]int
}

func (c *counting) PublishEvents(ctx context.Context, events []pay.Outgoing) ([]pay.Publication, error) {
	c.mu.Lock()
	for _, e := range events {
		c.sent[e.EventID]++
	}
	c.mu.Unlock()
	return c.Stream.PublishEvents(ctx, events)
}

func TestRelay_a_receipt_outlives_a_database_that_is_away(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows := &unmarkable{Store: b.store}
	rows.away.Store(true)
	stream := &counting{Stream: b.bus, sent: map[string]int{}}
	relay := outbox.New(rows, stream, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	var events []pay.Outgoing
	for i := range 10 {
		events = append(events, b.order(i)...)
	}
	relay.Hand(events)
	require.Eventually(t, func() bool { return rows.tries.Load() >= 4 }, soon, 10*time.Millisecond, "the fast path once, the sweep again and again")
	late := b.order(10)
	rows.away.Store(false)
	b.allPublished(11)
	require.Len(t, stream.sent, 11)
	for _, e := range append(events, late...) {
		require.Equal(t, 1, stream.sent[e.EventID], "what has a receipt is not sent again")
	}
}

func TestRelay_hand_over_never_waits(t *testing.T) {
	t.Parallel()
	relay := outbox.New(nil, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry()) // nobody runs it
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10_000 {
			relay.Hand([]pay.Outgoing{{EventID: "x"}})
		}
	}()
	select {
	case <-done:
	case <-time.After(soon):
		t.Fatal("Hand waits when nobody takes")
	}
}

func TestRelay_a_stop_publishes_what_was_handed_over(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := outbox.New(noSweep{b.store}, b.bus, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	for i := range 5 {
		relay.Hand(b.order(i))
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, relay.Run(stopped))
	b.allPublished(5)
}
