package worker_test

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/testkit"
)

// streams is where each stream of the broker ends.
func (w *world) streams() map[string]uint64 {
	w.t.Helper()
	conn, err := nats.Connect(w.broker.URL(), nats.UserInfo("worker", "pw-worker"), nats.CustomInboxPrefix("_INBOX_worker"))
	require.NoError(w.t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(w.t, err)
	ends := map[string]uint64{}
	for _, name := range []string{bus.StreamNotify, bus.StreamCommand, bus.StreamEvent, bus.StreamRejected} {
		stream, err := js.Stream(w.t.Context(), name)
		require.NoError(w.t, err)
		ends[name] = stream.CachedInfo().State.LastSeq
	}
	return ends
}

// books is a sum over every row of what settling writes.
func (w *world) books() string {
	w.t.Helper()
	var sum string
	require.NoError(w.t, w.db.QueryRowContext(w.t.Context(), `SELECT md5(string_agg(line, E'\n' ORDER BY line)) FROM (
		SELECT 'o' || t::text FROM orders AS t UNION ALL SELECT 'p' || t::text FROM payments AS t UNION ALL SELECT 'h' || t::text FROM history AS t
		UNION ALL SELECT 'a' || t::text FROM anomalies AS t UNION ALL SELECT 'r' || t::text FROM refunds AS t UNION ALL SELECT 'i' || t::text FROM refund_hints AS t
		UNION ALL SELECT 'x' || t::text FROM outbox AS t UNION ALL SELECT 'y' || t::text FROM published AS t UNION ALL SELECT 'd' || t::text FROM deliveries AS t
		UNION ALL SELECT 'l' || t::text FROM dead_letters AS t UNION ALL SELECT 'n' || t::text FROM delivery_attempts AS t UNION ALL SELECT 'u' || t::text FROM audit AS t
		UNION ALL SELECT 'c' || t::text FROM commands AS t) AS rows (line)`).Scan(&sum))
	return sum
}

// operate asks the worker as the console does.
func (w *world) operate(console *bus.Bus, subject string, question any, into any) int {
	w.t.Helper()
	raw, err := json.Marshal(question)
	require.NoError(w.t, err)
	answer, err := console.Request(w.t.Context(), subject, raw, 20*time.Second)
	require.NoError(w.t, err)
	var a struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	}
	require.NoError(w.t, json.Unmarshal(answer, &a))
	require.NoError(w.t, json.Unmarshal(a.Body, into), string(a.Body))
	return a.Status
}

type rehearsed struct {
	Deliveries []struct {
		Outcome string
		Order   struct {
			OutTradeNo string `json:"out_trade_no"`
			Sequence   int64
		}
		Events []struct{ Fact string }
	}
	Totals struct{ Events int }
	Code   string
	Detail string
}

// misfit keeps a notification as a dead letter whose order it would pay: for the
// moment in which it arrives, the order is another app's.
func (w *world) misfit(no string) string {
	w.t.Helper()
	forge := func(statement string, args ...any) {
		tx, err := w.db.BeginTx(w.t.Context(), nil)
		require.NoError(w.t, err)
		_, err = tx.ExecContext(w.t.Context(), `SET LOCAL session_replication_role = replica`)
		require.NoError(w.t, err)
		_, err = tx.ExecContext(w.t.Context(), statement, args...)
		require.NoError(w.t, err)
		require.NoError(w.t, tx.Commit())
	}
	w.place(no)
	forge(`UPDATE orders SET appid = 'wx0' WHERE out_trade_no = $1`, no)
	_, err := w.platform.Pay(no, simulator.PayRequest{})
	require.NoError(w.t, err)
	var id string
	require.Eventually(w.t, func() bool {
		return w.db.QueryRowContext(w.t.Context(), `SELECT delivery_id FROM dead_letters WHERE state = 'open' AND reason = 'mismatch' AND out_trade_no = $1`, no).Scan(&id) == nil
	}, soon, often)
	forge(`UPDATE orders SET appid = $2 WHERE out_trade_no = $1`, no, w.merchant.Appid)
	return id
}

func TestWorker_rehearses_a_replay_and_then_does_it_as_rehearsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	w.ready(w.start())
	console := w.connect("console")
	first, second := w.misfit("T00000001"), w.misfit("T00000002")
	require.Eventually(t, func() bool { return w.count(`SELECT count(*) FROM outbox`) == 0 }, soon, often)

	books, streams := w.books(), w.streams()
	question := map[string]any{"delivery_ids": []string{first, second}, "actor": "token:me", "reason": "the app is right now"}
	var dry rehearsed
	require.Equal(t, http.StatusOK, w.operate(console, bus.RequestOperateRehearse, question, &dry))
	require.Equal(t, books, w.books())
	require.Equal(t, streams, w.streams())
	require.Equal(t, 2, dry.Totals.Events)
	var orders []map[string]any
	for _, d := range dry.Deliveries {
		require.Equal(t, "applied", d.Outcome)
		require.Equal(t, "order.paid", d.Events[0].Fact)
		orders = append(orders, map[string]any{"mchid": w.merchant.Mchid, "out_trade_no": d.Order.OutTradeNo, "sequence": d.Order.Sequence})
	}

	// One of them moves: nothing is done, and both sequences are told.
	question["orders"] = []map[string]any{orders[0], {"mchid": w.merchant.Mchid, "out_trade_no": "T00000002", "sequence": dry.Deliveries[1].Order.Sequence - 1}}
	var refused rehearsed
	require.Equal(t, http.StatusConflict, w.operate(console, bus.RequestOperateReplay, question, &refused))
	require.Equal(t, "FEN-4016", refused.Code)
	require.Contains(t, refused.Detail, "order T00000002 of merchant "+w.merchant.Mchid+" had sequence 1, and has 2 now")
	require.Equal(t, books, w.books())
	require.Equal(t, streams, w.streams())

	question["orders"] = orders
	var done rehearsed
	require.Equal(t, http.StatusOK, w.operate(console, bus.RequestOperateReplay, question, &done))
	require.Equal(t, dry, done)
	w.allPaid(2)
	require.Equal(t, 2, w.count(`SELECT count(*) FROM dead_letters WHERE state = 'resolved'`))
	require.Equal(t, 2, w.count(`SELECT count(*) FROM audit WHERE actor = 'token:me' AND action = 'dead_letter.replay'`))
}

func TestWorker_settles_what_is_live_while_an_archive_is_replayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	w.ready(w.start())
	console := w.connect("console")
	w.place("T00000001")
	_, err := w.platform.Pay("T00000001", simulator.PayRequest{})
	require.NoError(t, err)
	w.allPaid(1)
	const archived = 1500 // more than five seconds of the lane
	ids := make([]string, archived)
	var arriving sync.WaitGroup
	for i := range archived {
		again := w.edge.envelopes()[0]
		again.DeliveryID = pay.DeliveryID(uuid.Must(uuid.NewV7()).String())
		ids[i] = string(again.DeliveryID)
		arriving.Go(func() {
			if err := w.edge.packer.Publish(t.Context(), again); err != nil {
				t.Error(err)
			}
		})
	}
	arriving.Wait()
	require.Eventually(t, func() bool { return w.count(`SELECT count(*) FROM deliveries WHERE kind = 'notify_v3'`) == archived+1 }, soon, often)

	began := time.Now()
	var last struct{ Position uint64 }
	for from := 0; from < archived; from += 100 {
		status := w.operate(console, bus.RequestOperateRepublish, map[string]any{"delivery_ids": ids[from : from+100], "actor": "token:me", "reason": "a new rule"}, &last)
		require.Equal(t, http.StatusOK, status)
	}
	var lane struct {
		Acknowledged uint64
		Waiting      int
	}
	w.place("T00000002")
	_, err = w.platform.Pay("T00000002", simulator.PayRequest{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.count(`SELECT count(*) FROM orders WHERE state = 'paid'`) == 2 }, soon, often)
	require.Equal(t, http.StatusOK, w.operate(console, bus.RequestOperateLane, struct{}{}, &lane))
	require.Positive(t, lane.Waiting, "the live payment did not wait for the archive")

	require.Eventually(t, func() bool {
		return w.operate(console, bus.RequestOperateLane, struct{}{}, &lane) == http.StatusOK && lane.Acknowledged >= last.Position
	}, soon, often)
	require.Greater(t, time.Since(began), (archived-50)*time.Second/200, "two hundred a second, after the first fifty")
	w.allPaid(2)
	require.Equal(t, archived/100, w.count(`SELECT count(*) FROM audit WHERE action = 'notification.replay'`))
	require.Zero(t, w.count(`SELECT count(*) FROM dead_letters`))
	require.Equal(t, archived+2, w.count(`SELECT count(*) FROM deliveries WHERE kind = 'notify_v3'`), "the archive has each once, as it came")
}
