package command_test

import (
	"context"
	"database/sql"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

type bundle struct {
	t         *testing.T
	store     *store.Store
	db        *sql.DB
	clock     *testkit.Clock
	wire      *wire
	platform  *simulator.Simulator
	merchant  simulator.Merchant
	directory *directory
	waker     *waker
	address   string // of the platform
	options   command.Options
	service   *command.Service
}

type directory struct {
	credentials *merchant.Credentials
	client      *wechatpay.Client
}

func (d *directory) Credentials(id pay.MchID) (*merchant.Credentials, bool) {
	return d.credentials, id == d.credentials.Merchant.MchID
}

func (d *directory) WeChat(id pay.MchID) (command.WeChat, bool) {
	return d.client, id == d.credentials.Merchant.MchID
}

// letters remembers for which orders it was asked, and may have paid them.
type letters struct {
	mu     sync.Mutex
	asked  []pay.OutTradeNo
	settle func(pay.OutTradeNo)
}

func (l *letters) Retry(_ context.Context, _ pay.MchID, no pay.OutTradeNo) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, no)
	if l.settle == nil {
		return 0, nil
	}
	l.settle(no)
	return 1, nil
}

// waker remembers whom it was to wake.
type waker struct {
	mu      sync.Mutex
	orders  []pay.OutTradeNo
	refunds []pay.OutRefundNo
}

func (w *waker) WakeOrder(_ context.Context, _ pay.MchID, no pay.OutTradeNo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.orders = append(w.orders, no)
}

func (w *waker) WakeRefund(_ context.Context, _ pay.MchID, no pay.OutRefundNo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refunds = append(w.refunds, no)
}

type relay struct {
	mu     sync.Mutex
	events []pay.Outgoing
}

func (r *relay) Hand(events []pay.Outgoing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, events...)
}

func setup(t *testing.T) *bundle {
	t.Helper()
	m, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	platform, err := simulator.New(simulator.Options{Merchant: m, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = platform.Close() })
	b := &bundle{t: t, platform: platform, merchant: m, clock: testkit.NewClock(time.Now()), waker: &waker{},
		wire: &wire{platform: platform.Handler(), made: map[string]int{}, faults: map[string][]fault{}}}
	server := httptest.NewServer(b.wire)
	t.Cleanup(server.Close)
	b.address = server.URL
	b.directory = &directory{credentials: &merchant.Credentials{
		Merchant:   merchant.Merchant{MchID: pay.MchID(m.Mchid), Apps: []merchant.App{{AppID: pay.AppID(m.Appid), RedirectURLs: []string{"https://shop.example.com/buy/"}}}, Serial: m.Serial, Protocol: pay.ProtocolV3},
		PrivateKey: m.PrivateKey, APIv3Keys: []merchant.Secret{merchant.Secret(m.APIv3Key)}, APIv2Keys: []merchant.Secret{merchant.Secret(m.APIv2Key)},
		Keyring: merchant.NewKeyring(merchant.PublicKey{ID: m.PublicKeyID, Key: &m.WechatpayKey.PublicKey}),
	}}
	b.directory.client, err = wechatpay.NewClient(b.directory.credentials, wechatpay.ClientOptions{BaseURL: server.URL, Timeout: time.Second})
	require.NoError(t, err)
	url := testkit.Database(t, "command", func(ctx context.Context, url string) error {
		_, err := store.Migrate(ctx, url)
		return err
	})
	b.store, err = store.Open(t.Context(), store.Config{URL: url, MaxConns: 8})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.store.Close() })
	b.db, err = sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.db.Close() })
	b.options = command.Options{
		Books: b.store, Sessions: sessions{pay.MchID(m.Mchid), pay.AppID(m.Appid)}, Buyers: b.store, Merchants: b.directory, Letters: &letters{}, Relay: &relay{}, Waker: b.waker,
		Budgets: command.Budgets{OrderQuery: 100, OrderClose: 20, RefundQuery: 50}, Quarantine: 10 * time.Minute,
		NotifyURL: func(id pay.MchID, p pay.Protocol) string {
			return "http://127.0.0.1:1/notify/" + string(p) + "/" + string(id)
		},
		Retryable: store.Retryable, Now: b.clock.Now, Nonce: func() string { return "nonce" },
		Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	}
	b.service = command.New(b.options)
	return b
}

// restart is a worker with other options and the same books.
func (b *bundle) restart(change func(*command.Options)) {
	b.t.Helper()
	b.options.Registry = prometheus.NewRegistry()
	change(&b.options)
	b.service = command.New(b.options)
}
