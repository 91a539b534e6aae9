package worker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
)

// subscribe writes a subscriber down, as the console does before it asks a worker.
func (w *world) subscribe(name string) pay.Subscriber {
	w.t.Helper()
	books, err := store.Open(w.t.Context(), store.Config{URL: w.database, MaxConns: 1, Name: "worker test"})
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, books.Close()) }()
	s, outcome, err := books.AddSubscriber(w.t.Context(), pay.Subscriber{
		Name: pay.SubscriberName(name), MchID: pay.MchID(w.merchant.Mchid), NKey: "U" + strings.Repeat("A", 55), StreamAt: time.Now(), CreatedBy: "token:test",
	}, time.Time{}, "test")
	require.NoError(w.t, err)
	require.Equal(w.t, pay.SubscriberAdded, outcome)
	return s
}

func TestWorker_looks_after_subscribers_and_forgets_what_is_old(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	s := w.subscribe("shop")
	for _, age := range []string{"91 days", "92 days", "1 day"} {
		_, err := w.db.ExecContext(t.Context(), `INSERT INTO subscriber_acks (subscriber_id, stream_created_at, ack_floor, sampled_at) VALUES ($1, now(), 1, now() - $2::interval)`, s.ID, age)
		require.NoError(t, err)
	}
	w.ready(w.start())
	require.Eventually(t, func() bool {
		return w.count(`SELECT count(*) FROM subscriber_acks WHERE sampled_at < now() - interval '90 days'`) == 0
	}, soon, often)
	require.Positive(t, w.count(`SELECT count(*) FROM subscriber_acks`))
	w.place("T00000001")
	b := w.connect("worker")
	require.Eventually(t, func() bool {
		state, there, err := b.SubscriberState(t.Context(), "shop")
		return err == nil && there && state.SubscriberID == s.ID && state.Pending > 0
	}, soon, often, "its consumer is there, and the order's events wait in it")

	console := w.connect("console")
	answer, err := console.Request(t.Context(), bus.RequestOperateSubscriber, []byte(`{"do":"look","of":[{"subscriber_id":"`+s.ID+`","name":"shop"}]}`), 10*time.Second)
	require.NoError(t, err)
	require.Contains(t, string(answer), `"there":true`)
	answer, err = console.Request(t.Context(), bus.RequestOperateSubscriber, []byte(`{"do":"start","name":"erp","mchid":"1900000999","from":"all"}`), 10*time.Second)
	require.NoError(t, err)
	require.Contains(t, string(answer), "is no merchant that the worker is configured with")
}
