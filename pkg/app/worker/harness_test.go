package worker_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/worker"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	soon  = 60 * time.Second
	often = 20 * time.Millisecond
)

func lookup(name string) (string, bool) {
	role, isNATS := strings.CutPrefix(name, "FENFLOW_NATS_")
	role, isPassword := strings.CutSuffix(role, "_PASSWORD")
	if !isNATS || !isPassword {
		return "", false
	}
	return "pw-" + strings.ToLower(role), true
}

func passwords() map[string]string {
	all := map[string]string{}
	for _, role := range []string{"NOTIFY", "API", "FRONT", "WORKER", "RECONCILER", "CONSOLE", "SUBSCRIBER"} {
		name := "FENFLOW_NATS_" + role + "_PASSWORD"
		all[name], _ = lookup(name)
	}
	return all
}

// edge stands where ingest stands: it publishes what arrives, as it is.
type edge struct {
	packer *bus.Packer
	notify *bus.Bus
	mu     sync.Mutex
	seen   []wechatpay.Envelope
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // notify, v3, mchid
	id, _ := uuid.NewV7()
	env := wechatpay.Envelope{
		DeliveryID: pay.DeliveryID(id.String()), MchID: pay.MchID(parts[2]), Kind: pay.DeliveryNotifyV3,
		ReceivedAt: time.Now().UTC(), Headers: map[string]string{}, Body: body,
	}
	for _, name := range wechatpay.SignatureHeaders() {
		if v := r.Header.Get(name); v != "" {
			env.Headers[name] = v
		}
	}
	if parts[1] == "v2" {
		env.Kind = pay.DeliveryNotifyV2Pay
		if parts[3] == "refund" {
			env.Kind = pay.DeliveryNotifyV2Refund
		}
		if !e.genuine(r.Context(), env) {
			http.Error(w, "forged", http.StatusUnauthorized)
			return
		}
	}
	if err := e.packer.Publish(r.Context(), env); err != nil {
		http.Error(w, "away", http.StatusServiceUnavailable)
		return
	}
	e.mu.Lock()
	e.seen = append(e.seen, env)
	e.mu.Unlock()
	if parts[1] == "v2" {
		_, _ = w.Write(wechatpay.AckV2(true, "OK"))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// genuine asks the worker, as ingest does.
func (e *edge) genuine(ctx context.Context, env wechatpay.Envelope) bool {
	asked, _ := json.Marshal(map[string]any{"mchid": env.MchID, "kind": env.Kind, "headers": env.Headers, "body": env.Body})
	raw, err := e.notify.Request(ctx, bus.RequestVerifyV2, asked, 2*time.Second)
	var v struct {
		OK bool `json:"ok"`
	}
	return err == nil && json.Unmarshal(raw, &v) == nil && v.OK
}

func (e *edge) envelopes() []wechatpay.Envelope {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]wechatpay.Envelope(nil), e.seen...)
}

// world is everything around a worker, with real parts.
type world struct {
	t        *testing.T
	broker   *servers.NATS
	database string
	db       *sql.DB
	platform *simulator.Simulator
	merchant simulator.Merchant
	baseURL  string
	edge     *edge
	api      *bus.Bus
	dir      string
	flags    map[string]string // of each worker that is started
}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

func newWorld(t *testing.T, database string, change ...func(*servers.NATSOptions)) *world {
	t.Helper()
	w := &world{t: t, database: database, dir: filepath.Join(t.TempDir(), "merchant"), flags: map[string]string{"waits.ack_wait": "2s"}}
	w.broker = testkit.NATS(t, append([]func(*servers.NATSOptions){func(o *servers.NATSOptions) {
		o.ConfigFile, o.Environment = "../../../deploy/nats.conf", passwords()
	}}, change...)...)
	var err error
	w.db, err = sql.Open("postgres", database)
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.db.Close() })

	m, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	w.platform, err = simulator.New(simulator.Options{Merchant: m, Logger: slog.New(slog.DiscardHandler), Speed: 100})
	require.NoError(t, err)
	w.merchant = m
	t.Cleanup(func() { _ = w.platform.Close() })
	wechat := httptest.NewServer(w.platform.Handler())
	t.Cleanup(wechat.Close)
	w.baseURL = wechat.URL

	notify := w.connect("notify")
	w.edge = &edge{packer: bus.NewPacker(notify, "1"), notify: notify}
	public := httptest.NewServer(w.edge)
	t.Cleanup(public.Close)
	w.api = w.connect("api")
	_, err = simulator.Init(w.dir, simulator.InitOptions{
		BaseURL: wechat.URL, PublicURL: public.URL, PostgresURL: database, NATSURL: w.broker.URL(),
		NATSMonitorURLs: []string{w.broker.MonitorURL()}, Merchant: &m,
	})
	require.NoError(t, err)
	return w
}

func (w *world) connect(role string) *bus.Bus {
	w.t.Helper()
	b, err := bus.Connect(w.t.Context(), bus.Config{URL: w.broker.URL(), Role: role, Password: "pw-" + role, PublishTimeout: 3 * time.Second})
	require.NoError(w.t, err)
	w.t.Cleanup(b.Close)
	return b
}

// running is a worker in this process.
type running struct {
	health *boot.Health
	logs   *logs
	reload chan<- struct{}
	stop   func() error
}

// logs keeps what a worker said.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (w *world) env() (boot.Env, *logs) {
	w.t.Helper()
	env, said, _ := w.envWithReload()
	return env, said
}

func (w *world) envWithReload() (boot.Env, *logs, chan<- struct{}) {
	w.t.Helper()
	c, err := config.Load(config.Options{File: filepath.Join(w.dir, "fenflow.yaml"), Lookup: lookup, Flags: w.flags, Role: config.RoleWorker})
	require.NoError(w.t, err)
	said, reload := &logs{}, make(chan struct{})
	return boot.Env{
		Role: config.RoleWorker, Config: c, Logger: slog.New(slog.NewTextHandler(said, nil)),
		Registry: prometheus.NewRegistry(), Health: boot.NewHealth(), Reload: reload,
	}, said, reload
}

func (w *world) start() *running {
	w.t.Helper()
	env, said, reload := w.envWithReload()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- worker.Main(ctx, env) }()
	r := &running{health: env.Health, logs: said, reload: reload}
	r.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(soon):
			return fmt.Errorf("the worker does not stop")
		}
	})
	w.t.Cleanup(func() {
		err := r.stop()
		if w.t.Failed() {
			w.t.Logf("worker ended: %v; it said:\n%s", err, r.logs)
		}
	})
	return r
}

func (w *world) ready(r *running) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return r.health.Ready(w.t.Context()).Ready }, soon, often, "health: %+v\n%s", r.health.Ready(w.t.Context()), r.logs)
}

// configure changes a line of fenflow.yaml.
func (w *world) configure(old, line string) {
	w.t.Helper()
	file := filepath.Join(w.dir, "fenflow.yaml")
	text, err := os.ReadFile(file)
	require.NoError(w.t, err)
	require.Contains(w.t, string(text), old)
	require.NoError(w.t, os.WriteFile(file, []byte(strings.Replace(string(text), old, line, 1)), 0o600))
}

// submit sends a command as the API does, and waits for its end.
func (w *world) submit(cmd pay.Command) pay.CommandResult {
	w.t.Helper()
	result, replied, err := w.api.SubmitCommand(w.t.Context(), cmd, 25*time.Second)
	require.NoError(w.t, err)
	require.True(w.t, replied)
	return result
}

func (w *world) command(kind pay.CommandKind, order, refund, body string) pay.Command {
	w.t.Helper()
	id, err := uuid.NewV7()
	require.NoError(w.t, err)
	return pay.Command{
		ID: pay.CommandID(id.String()), MchID: pay.MchID(w.merchant.Mchid), Kind: kind, OutTradeNo: pay.OutTradeNo(order), OutRefundNo: pay.OutRefundNo(refund),
		Digest: "digest of " + order + refund + body, Body: []byte(body), ReceivedAt: time.Now().UTC(),
	}
}

func (w *world) refund(order, refund string, fen int) pay.CommandResult {
	w.t.Helper()
	return w.submit(w.command(pay.CommandRefundCreate, order, refund, fmt.Sprintf(`{"out_refund_no":%q,"out_trade_no":%q,"amount_fen":%d}`, refund, order, fen)))
}

// ask asks the worker as the API does, and gives status and body of its answer.
func (w *world) ask(subject string, question map[string]string) (int, string) {
	w.t.Helper()
	question["mchid"] = w.merchant.Mchid
	raw, err := json.Marshal(question)
	require.NoError(w.t, err)
	answer, err := w.api.Request(w.t.Context(), subject, raw, 10*time.Second)
	require.NoError(w.t, err)
	var a struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	}
	require.NoError(w.t, json.Unmarshal(answer, &a))
	return a.Status, string(a.Body)
}

// create is an order.create as the API sends it.
func (w *world) create(no string, expires time.Time) pay.Command {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{
		"out_trade_no": no, "appid": w.merchant.Appid, "client": "jsapi", "description": "tea", "amount_fen": 100, "currency": "CNY",
		"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "time_expire": expires.UTC().Truncate(time.Second).Format(time.RFC3339),
	})
	require.NoError(w.t, err)
	id, err := uuid.NewV7()
	require.NoError(w.t, err)
	now := time.Now().UTC()
	return pay.Command{
		ID: pay.CommandID(id.String()), MchID: pay.MchID(w.merchant.Mchid), Kind: pay.CommandOrderCreate, OutTradeNo: pay.OutTradeNo(no),
		Digest: "digest of " + no, Body: body, ReceivedAt: now, Deadline: now.Add(time.Minute),
	}
}

func (w *world) place(no string) pay.CommandResult {
	w.t.Helper()
	result, replied, err := w.api.SubmitCommand(w.t.Context(), w.create(no, time.Now().Add(2*time.Hour)), 20*time.Second)
	require.NoError(w.t, err)
	require.True(w.t, replied)
	require.Equal(w.t, http.StatusCreated, result.Status, string(result.Body))
	return result
}

func (w *world) count(query string, args ...any) int {
	var n int
	if err := w.db.QueryRowContext(w.t.Context(), query, args...).Scan(&n); err != nil {
		return -1 // the database is away
	}
	return n
}

// messages counts the messages of EVENT for a fact.
func (w *world) messages(fact string) (n uint64) {
	w.t.Helper()
	conn, err := nats.Connect(w.broker.URL(), nats.UserInfo("worker", "pw-worker"), nats.CustomInboxPrefix("_INBOX_worker"))
	require.NoError(w.t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(w.t, err)
	stream, err := js.Stream(w.t.Context(), bus.StreamEvent)
	require.NoError(w.t, err)
	info, err := stream.Info(w.t.Context(), jetstream.WithSubjectFilter("pay.event.*."+fact))
	require.NoError(w.t, err)
	for _, messages := range info.State.Subjects {
		n += messages
	}
	return n
}

func (w *world) allPaid(n int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		return w.count(`SELECT count(*) FROM orders WHERE state = 'paid'`) == n && w.count(`SELECT count(*) FROM outbox`) == 0
	}, soon, often, "paid %d of %d, outbox %d", w.count(`SELECT count(*) FROM orders WHERE state = 'paid'`), n, w.count(`SELECT count(*) FROM outbox`))
	require.Equal(w.t, n, w.count(`SELECT count(DISTINCT out_trade_no) FROM published WHERE fact = 'order.paid'`))
	require.EqualValues(w.t, n, w.messages("order.paid"), "each order is told of once")
}
