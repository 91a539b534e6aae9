package reconciler_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/reconciler"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	soon  = 60 * time.Second
	often = 20 * time.Millisecond
)

// logs keeps what a reconciler said.
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

// world is everything around a reconciler, with real parts. There is no broker
// in it: a reconciler needs none.
type world struct {
	t        *testing.T
	database string
	redis    string
	platform *simulator.Simulator
	merchant simulator.Merchant
	client   *wechatpay.Client
	dir      string
}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

func newWorld(t *testing.T, database, redis string, change ...func(*simulator.Options)) *world {
	t.Helper()
	w := &world{t: t, database: database, redis: redis, dir: filepath.Join(t.TempDir(), "merchant")}
	m, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	w.merchant = m
	options := simulator.Options{Merchant: m, Logger: slog.New(slog.DiscardHandler), Speed: 100}
	for _, c := range change {
		c(&options)
	}
	w.platform, err = simulator.New(options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.platform.Close() })
	wechat := httptest.NewServer(w.platform.Handler())
	t.Cleanup(wechat.Close)
	_, err = simulator.Init(w.dir, simulator.InitOptions{BaseURL: wechat.URL, PublicURL: "http://127.0.0.1:1", PostgresURL: database, RedisURL: redis, Merchant: &m})
	require.NoError(t, err)
	certificate, err := merchant.ParseCertificatePEM(m.PlatformCertificate)
	require.NoError(t, err)
	w.client, err = wechatpay.NewClient(&merchant.Credentials{
		Merchant:   merchant.Merchant{MchID: pay.MchID(m.Mchid), Serial: m.Serial},
		PrivateKey: m.PrivateKey, APIv3Keys: []merchant.Secret{merchant.Secret(m.APIv3Key)}, APIv2Keys: []merchant.Secret{merchant.Secret(m.APIv2Key)},
		Keyring: merchant.NewKeyring(certificate),
	}, wechatpay.ClientOptions{BaseURL: wechat.URL})
	require.NoError(t, err)
	return w
}

// configure changes the configuration's text.
func (w *world) configure(pattern, with string) {
	w.t.Helper()
	file := filepath.Join(w.dir, "fenflow.yaml")
	text, err := os.ReadFile(file)
	require.NoError(w.t, err)
	changed := regexp.MustCompile(pattern).ReplaceAll(text, []byte(with))
	require.NotEqual(w.t, string(text), string(changed), "%s is not in\n%s", pattern, text)
	require.NoError(w.t, os.WriteFile(file, changed, 0o600))
}

func (w *world) env() (boot.Env, *logs) {
	w.t.Helper()
	c, err := config.Load(config.Options{
		File: filepath.Join(w.dir, "fenflow.yaml"), Role: config.RoleReconciler,
		Flags: map[string]string{"waits.refund_poll": "200ms", "waits.refund_backoff": "200ms", "waits.refund_gap": "1s"},
	})
	require.NoError(w.t, err)
	said := &logs{}
	return boot.Env{
		Role: config.RoleReconciler, Config: c, Logger: slog.New(slog.NewTextHandler(said, nil)),
		Registry: prometheus.NewRegistry(), Health: boot.NewHealth(), Reload: make(chan struct{}),
	}, said
}

// running is a reconciler in this process.
type running struct {
	env  boot.Env
	logs *logs
	stop func() error
}

func (w *world) start() *running {
	w.t.Helper()
	env, said := w.env()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- reconciler.Main(ctx, env) }()
	r := &running{env: env, logs: said}
	r.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(soon):
			return fmt.Errorf("the reconciler does not stop")
		}
	})
	w.t.Cleanup(func() {
		err := r.stop()
		if w.t.Failed() {
			w.t.Logf("reconciler ended: %v; it said:\n%s", err, r.logs)
		}
	})
	return r
}

func (w *world) ready(r *running) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return r.env.Health.Ready(w.t.Context()).Ready }, soon, often)
}

// books opens the database beside the reconciler.
func (w *world) books() (*store.Store, *sql.DB) {
	w.t.Helper()
	books, err := store.Open(w.t.Context(), store.Config{URL: w.database, MaxConns: 2})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = books.Close() })
	db, err := sql.Open("postgres", w.database)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = db.Close() })
	return books, db
}

// place makes an order that WeChat Pay knows, and has it paid unheard.
func (w *world) place(books *store.Store, no string, protocol pay.Protocol) {
	w.t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	o := pay.Order{
		MchID: pay.MchID(w.merchant.Mchid), OutTradeNo: pay.OutTradeNo(no), AppID: pay.AppID(w.merchant.Appid), Client: pay.ClientJSAPI, Protocol: protocol,
		Description: "tea", Amount: 100, Currency: pay.CNY, OpenID: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", Digest: "d", CreatedAt: now, UpdatedAt: now,
		ExpiresAt: now.Add(2 * time.Hour).Truncate(time.Second), NextCheckAt: now,
	}
	var err error
	o.PrepayRequest, err = w.client.PrepayBody(o, "http://127.0.0.1:1/notify/v3/"+w.merchant.Mchid)
	require.NoError(w.t, err)
	_, _, err = w.client.Prepay(w.t.Context(), o)
	require.NoError(w.t, err)
	_, err = w.platform.Pay(no, simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(w.t, err)
	_, _, _, err = books.CreateOrder(w.t.Context(), o)
	require.NoError(w.t, err)
}

func (w *world) refund(books *store.Store, no, refund string) {
	w.t.Helper()
	order, _ := w.platform.Order(no)
	settled, err := books.Settle(w.t.Context(), []pay.Entry{{Observation: &pay.Observation{
		Kind: pay.ObservedRefundRequested, Source: pay.SourceCommand, ObservedAt: time.Now().UTC(), MchID: pay.MchID(w.merchant.Mchid),
		OutTradeNo: pay.OutTradeNo(no), TransactionID: pay.TransactionID(order.Payment.TransactionID), OutRefundNo: pay.OutRefundNo(refund),
		RefundAmount: 30, Currency: pay.CNY, Origin: pay.RefundByCommand, Digest: "d",
	}}}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(w.t, err)
	require.Nil(w.t, settled.Results[0].Refusal)
}

func count(ctx context.Context, db *sql.DB, query string) int {
	var n int
	if err := db.QueryRowContext(ctx, query).Scan(&n); err != nil {
		return -1 // the database is away
	}
	return n
}

// works proves that orders are found paid and refunds are sent.
func (w *world) works(books *store.Store, db *sql.DB, numbers ...string) {
	w.t.Helper()
	for _, no := range numbers {
		w.place(books, no, pay.ProtocolV3)
	}
	paid := `SELECT count(*) FROM orders WHERE state <> 'paid'`
	require.Eventually(w.t, func() bool { return count(w.t.Context(), db, paid) == 0 }, soon, often)
	for _, no := range numbers {
		w.refund(books, no, "R"+no)
	}
	back := `SELECT count(*) FROM refunds WHERE state <> 'succeeded'`
	require.Eventually(w.t, func() bool { return count(w.t.Context(), db, back) == 0 }, soon, often)
}

// nobody is an address where no Redis is.
func nobody(t *testing.T) string {
	t.Helper()
	return "redis://" + testkit.FreeAddr(t) + "/0"
}

func TestReconciler_finds_payments_and_sends_refunds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "reconciler", migrate), testkit.Redis(t).URL())
	r := w.start()
	w.ready(r)
	books, db := w.books()
	w.works(books, db, "T00000001", "T00000002", "T00000003")
	families, err := r.env.Registry.Gather()
	require.NoError(t, err)
	names := map[string]bool{}
	for _, family := range families {
		names[family.GetName()] = true
	}
	for _, name := range []string{
		"fenflow_reconcile_queries_total", "fenflow_reconcile_lag_seconds", "fenflow_reconcile_bound_seconds",
		"fenflow_refunds_abnormal", "fenflow_reconcile_refund_attempts_total", "fenflow_queue_up",
	} {
		require.True(t, names[name], name)
	}
	require.NoError(t, r.stop(), "a stop that was asked for is no error")
	for _, secret := range []string{w.merchant.APIv3Key, w.merchant.APIv2Key, "BEGIN", "oUpF8uMuAJO"} {
		require.NotContains(t, r.logs.String(), secret)
	}
}

func TestReconciler_does_the_same_work_without_Redis(t *testing.T) {
	t.Parallel()
	t.Run("none is there", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, testkit.Database(t, "reconciler", migrate), nobody(t))
		w.ready(w.start())
		books, db := w.books()
		w.works(books, db, "T00000001", "T00000002")
	})
	t.Run("none is configured", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, testkit.Database(t, "reconciler", migrate), nobody(t))
		w.configure(`(?m)^redis:\n(?:    .*\n)+`, "")
		r := w.start()
		w.ready(r)
		books, db := w.books()
		w.works(books, db, "T00000001")
		require.Contains(t, r.logs.String(), "redis.url is not set")
	})
}

func TestReconciler_goes_on_while_Redis_is_wiped_and_killed(t *testing.T) {
	t.Parallel()
	redis := testkit.Redis(t)
	w := newWorld(t, testkit.Database(t, "reconciler", migrate), redis.URL())
	r := w.start()
	w.ready(r)
	books, db := w.books()
	stop := make(chan struct{})
	var wiping sync.WaitGroup
	wiping.Go(func() { wipe(redis.Port(), stop) })
	w.works(books, db, "T00000001", "T00000002")
	close(stop)
	wiping.Wait()
	require.NoError(t, redis.Kill())
	w.works(books, db, "T00000003")
	require.NoError(t, redis.Restart())
	w.works(books, db, "T00000004")
	w.ready(r)
}

// wipe sends FLUSHALL every 100 ms, over a connection of its own.
func wipe(port int, stop <-chan struct{}) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_, _ = conn.Write([]byte("FLUSHALL\r\n"))
			_, _ = conn.Read(make([]byte, 16))
			_ = conn.Close()
		}
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
	}
}

func TestReconciler_waits_for_the_database_and_goes_on_when_it_is_back(t *testing.T) {
	t.Parallel()
	server := testkit.OwnPostgres(t)
	require.NoError(t, server.CreateDatabase(t.Context(), "fenflow"))
	require.NoError(t, migrate(t.Context(), server.URL("fenflow")))
	w := newWorld(t, server.URL("fenflow"), nobody(t))
	require.NoError(t, server.Stop())
	r := w.start()
	require.Eventually(t, func() bool { return strings.Contains(r.logs.String(), "waiting") }, soon, often)
	require.False(t, r.env.Health.Ready(t.Context()).Ready)
	require.NoError(t, server.Restart())
	w.ready(r)
	books, db := w.books()
	w.works(books, db, "T00000001")
	require.NoError(t, server.Kill())
	require.Eventually(t, func() bool { return !r.env.Health.Ready(t.Context()).Ready }, soon, often)
	require.NoError(t, server.Restart())
	w.ready(r)
	w.works(books, db, "T00000002")
}

func TestReconciler_declines_to_start_on_an_older_schema(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "empty", nil), nobody(t))
	env, _ := w.env()
	err := reconciler.Main(t.Context(), env)
	require.Equal(t, problem.MigrationsPending, problem.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "fenflow migrate up")
}

func TestReconciler_two_of_them_share_the_work_and_one_may_stop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "reconciler", migrate), testkit.Redis(t).URL())
	first, second := w.start(), w.start()
	w.ready(first)
	w.ready(second)
	books, db := w.books()
	w.works(books, db, "T00000001", "T00000002", "T00000003", "T00000004")
	require.NoError(t, first.stop())
	w.works(books, db, "T00000005", "T00000006")
	require.Len(t, w.platform.Ledger().Refunds, 6)
	require.Equal(t, 6, w.platform.Calls()["refund"], "each was sent once")
}

func TestReconciler_believes_certificates_that_a_worker_kept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "reconciler", migrate), nobody(t), func(o *simulator.Options) {
		o.Keys, o.KeyMode = simulator.KeysPlatformCertificate, simulator.KeyModePlatformCertificate
	})
	w.configure(`(?m)^      wechatpay_public_keys:\n(?:        .*\n)+`, "")
	books, db := w.books()
	certificate, err := merchant.ParseCertificatePEM(w.merchant.PlatformCertificate)
	require.NoError(t, err)
	r := w.start()
	w.ready(r)
	w.place(books, "T00000001", pay.ProtocolV3)
	require.Eventually(t, func() bool { return strings.Contains(r.logs.String(), "unknown_serial") }, soon, often)
	require.Equal(t, 1, count(t.Context(), db, `SELECT count(*) FROM orders WHERE state <> 'paid'`), "nobody vouches for the answer")
	require.NoError(t, books.SavePlatformCertificates(t.Context(), pay.MchID(w.merchant.Mchid), []store.StoredCertificate{{
		Serial: certificate.ID, PEM: w.merchant.PlatformCertificate, EffectiveAt: certificate.NotBefore, ExpireAt: certificate.NotAfter, FetchedAt: time.Now(),
	}}))
	w.works(books, db, "T00000002")
}

func TestReconciler_works_for_a_merchant_that_has_keys_of_v2_only(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "reconciler", migrate), nobody(t))
	w.configure(`protocol: v3`, "protocol: v2")
	w.configure(`(?m)^ +(merchant_serial|private_key_file): .*\n`, "")
	w.configure(`(?m)^ +api_v3_key_files:\n(?: +- secrets.*\n)+`, "")
	w.configure(`(?m)^ +platform_certificates: true\n`, "")
	w.configure(`(?m)^      wechatpay_public_keys:\n(?:        .*\n)+`, "")
	w.ready(w.start())
	books, db := w.books()
	w.place(books, "T00000001", pay.ProtocolV2)
	require.Eventually(t, func() bool {
		return count(t.Context(), db, `SELECT count(*) FROM orders WHERE state = 'paid'`) == 1
	}, soon, often)
}
