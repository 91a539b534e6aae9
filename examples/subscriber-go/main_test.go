package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// The example runs under the NATS permissions of production and packs one
// parcel for each paid order, over repeats and a restart of its own.
func TestSubscriber_packs_each_paid_order_once(t *testing.T) {
	t.Parallel()
	passwords := map[string]string{}
	for _, user := range []string{"NOTIFY", "API", "FRONT", "WORKER", "RECONCILER", "CONSOLE", "SUBSCRIBER"} {
		passwords["FENFLOW_NATS_"+user+"_PASSWORD"] = "pw-" + strings.ToLower(user)
	}
	broker := testkit.NATS(t, func(o *servers.NATSOptions) { o.ConfigFile, o.Environment = "../../deploy/nats.conf", passwords })
	worker, err := bus.Connect(t.Context(), bus.Config{URL: broker.URL(), Role: "worker", Password: "pw-worker", Replicas: 1})
	require.NoError(t, err)
	t.Cleanup(worker.Close)
	require.NoError(t, worker.EnsureStreams(t.Context()))
	databaseURL := testkit.Database(t, "", nil)
	db, err := sql.Open("postgres", databaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })

	stop := start(t, databaseURL, broker.URL())
	publish(t, worker, "T0000001", "order.created")
	publish(t, worker, "T0000001", "order.paid")
	require.Eventually(t, func() bool { return acted(t, db) == 2 }, 30*time.Second, 20*time.Millisecond)
	stop()

	publish(t, worker, "T0000001", "order.paid") // told again
	publish(t, worker, "T0000002", "order.paid")
	stop = start(t, databaseURL, broker.URL())
	require.Eventually(t, func() bool { return acted(t, db) == 3 }, 30*time.Second, 20*time.Millisecond)
	stop()
	require.Equal(t, []string{"T0000001", "T0000002"}, parcels(t, db))
}

func TestSubscriber_says_what_is_wrong(t *testing.T) {
	t.Parallel()
	require.Error(t, run(t.Context(), "postgres://127.0.0.1:1/?sslmode=disable", "", ""))
	require.ErrorContains(t, run(t.Context(), testkit.Database(t, "", nil), "", ""), "URL is missing")
}

func start(t *testing.T, databaseURL, natsURL string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1) // run returns once
	go func() { ended <- run(ctx, databaseURL, natsURL, "pw-subscriber") }()
	return func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

func publish(t *testing.T, worker *bus.Bus, number, fact string) {
	t.Helper()
	payload, err := json.Marshal(event.Event{
		SpecVersion: event.SpecVersion, ID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(number+fact)).String(), Type: event.TypeOf(fact), Subject: number,
		Data: event.Order{MchID: "1900000109", OutTradeNo: number, AmountFen: 100, TransactionID: "4200"},
	})
	require.NoError(t, err)
	_, err = worker.PublishEvents(t.Context(), []pay.Outgoing{{
		// Another id on the bus than in the event: a repeat after the duplicate window.
		EventID: uuid.NewString(), MchID: "1900000109", OutTradeNo: pay.OutTradeNo(number), Fact: pay.Fact(fact), Payload: payload,
	}})
	require.NoError(t, err)
}

// acted counts the events that are remembered; none until there is a table.
func acted(t *testing.T, db *sql.DB) int {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM fenflow_inbox`).Scan(&n); err != nil {
		return 0
	}
	return n
}

func parcels(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT out_trade_no FROM parcels ORDER BY 1`)
	require.NoError(t, err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var number string
		require.NoError(t, rows.Scan(&number))
		all = append(all, number)
	}
	require.NoError(t, rows.Err())
	return all
}
