package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// The example runs under the NATS permissions of production and delivers each
// paid order once, over repeats, torn lines and a restart of its own.
func TestSubscriber_delivers_each_paid_order_once(t *testing.T) { //nolint:paralleltest // it is stopped by a signal to this process
	passwords := map[string]string{}
	for _, user := range []string{"NOTIFY", "API", "FRONT", "WORKER", "RECONCILER", "CONSOLE", "SUBSCRIBER"} {
		passwords["FENFLOW_NATS_"+user+"_PASSWORD"] = "pw-" + strings.ToLower(user)
	}
	broker := testkit.NATS(t, func(o *servers.NATSOptions) { o.ConfigFile, o.Environment = "../../deploy/nats.conf", passwords })
	worker, err := bus.Connect(t.Context(), bus.Config{URL: broker.URL(), Role: "worker", Password: "pw-worker", Replicas: 1})
	require.NoError(t, err)
	t.Cleanup(worker.Close)
	require.NoError(t, worker.EnsureStreams(t.Context()))

	path := filepath.Join(t.TempDir(), "deliveries.txt")
	require.NoError(t, os.WriteFile(path, []byte("\n00000000-torn deliver T0000000: 1 fen pa"), 0o600))

	publish(t, worker, "id-1", "T0000001", "order.created")
	publish(t, worker, "id-2", "T0000001", "order.paid")
	stop := start(t, path, broker.URL())
	require.Eventually(t, func() bool { return len(delivered(t, path)) == 1 }, 30*time.Second, 20*time.Millisecond)
	stop()

	publish(t, worker, "id-2", "T0000001", "order.paid") // told again
	publish(t, worker, "id-3", "T0000002", "order.paid")
	stop = start(t, path, broker.URL())
	require.Eventually(t, func() bool { return len(delivered(t, path)) >= 2 }, 30*time.Second, 20*time.Millisecond)
	stop()
	require.Equal(t, []string{"id-2 deliver T0000001: 100 fen paid by 4200 done", "id-3 deliver T0000002: 100 fen paid by 4200 done"}, delivered(t, path))
}

func start(t *testing.T, path, url string) (stop func()) {
	t.Helper()
	ended := make(chan error, 1) // run returns once
	go func() { ended <- run(path, url, "pw-subscriber") }()
	return func() {
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGINT))
		require.NoError(t, <-ended)
	}
}

func publish(t *testing.T, worker *bus.Bus, id, number, fact string) {
	t.Helper()
	payload, err := json.Marshal(event.Event{
		SpecVersion: event.SpecVersion, ID: id, Type: event.TypeOf(fact), Subject: number,
		Data: event.Order{MchID: "1900000109", OutTradeNo: number, AmountFen: 100, TransactionID: "4200"},
	})
	require.NoError(t, err)
	_, err = worker.PublishEvents(t.Context(), []pay.Outgoing{{
		// Another id on the bus than in the event: a repeat after the duplicate window.
		EventID: t.Name() + time.Now().String(), MchID: "1900000109", OutTradeNo: pay.OutTradeNo(number), Fact: pay.Fact(fact), Payload: payload,
	}})
	require.NoError(t, err)
}

func delivered(t *testing.T, path string) []string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var lines []string
	for line := range strings.SplitSeq(string(raw), "\n") {
		if strings.HasSuffix(line, " done") {
			lines = append(lines, line)
		}
	}
	return lines
}
