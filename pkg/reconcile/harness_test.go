package reconcile_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/reconcile"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	soon  = 40 * time.Second
	often = 20 * time.Millisecond
)

// logs keeps what a service said.
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

// wire stands between fenflow and the stand-in platform: it keeps the bodies of
// refund requests and does what real lines do.
type wire struct {
	platform http.Handler
	merchant simulator.Merchant

	mu      sync.Mutex
	refunds [][]byte
	calls   map[string]int
	faults  map[string][]fault
}

type fault func(w http.ResponseWriter, r *http.Request, platform http.Handler)

// apiOf names what a request asks for.
func apiOf(r *http.Request) string {
	path := r.URL.Path
	switch {
	case strings.HasSuffix(path, "/apply-abnormal-refund"):
		return "abnormal"
	case strings.HasPrefix(path, "/v3/refund/") && r.Method == http.MethodGet, path == "/pay/refundquery":
		return "refund_query"
	case strings.HasPrefix(path, "/v3/refund/"), path == "/secapi/pay/refund":
		return "refund"
	case strings.HasSuffix(path, "/close"), path == "/pay/closeorder":
		return "close"
	case strings.HasPrefix(path, "/v3/pay/") && r.Method == http.MethodGet, path == "/pay/orderquery":
		return "query"
	}
	return "other"
}

func (l *wire) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	api := apiOf(r)
	l.mu.Lock()
	l.calls[api]++
	if api == "refund" {
		l.refunds = append(l.refunds, body)
	}
	work := fault(func(w http.ResponseWriter, r *http.Request, platform http.Handler) { platform.ServeHTTP(w, r) })
	if row := l.faults[api]; len(row) > 0 {
		work, l.faults[api] = row[0], row[1:]
	}
	l.mu.Unlock()
	work(w, r, l.platform)
}

// stamp signs an answer.
func (l *wire) stamp(a *httptest.ResponseRecorder) {
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), rand.Text()
	sum := sha256.Sum256([]byte(timestamp + "\n" + nonce + "\n" + a.Body.String() + "\n"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, l.merchant.WechatpayKey, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	a.Header().Set(wechatpay.HeaderTimestamp, timestamp)
	a.Header().Set(wechatpay.HeaderNonce, nonce)
	a.Header().Set(wechatpay.HeaderSerial, l.merchant.PublicKeyID)
	a.Header().Set(wechatpay.HeaderSignature, base64.StdEncoding.EncodeToString(signature))
}

func copyTo(w http.ResponseWriter, a *httptest.ResponseRecorder, body []byte) {
	for name, values := range a.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(a.Code)
	_, _ = w.Write(body)
}

func (l *wire) fails(api string, faults ...fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults[api] = append(l.faults[api], faults...)
}

func (l *wire) count(api string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[api]
}

// sent are the distinct bodies of refund requests that named a number.
func (l *wire) sent(no string) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	distinct := map[string]int{}
	for _, body := range l.refunds {
		if bytes.Contains(body, []byte(no)) {
			distinct[string(body)]++
		}
	}
	return distinct
}

// answers refuses a call with WeChat's way of saying so.
func answers(status int, code string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Request-Id", "08F78BB0")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"code":"` + code + `","message":"no"}`))
	}
}

// hangs never carries the call out and never answers.
func hangs(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }

// directory is the merchants of a test.
type directory struct {
	mu  sync.Mutex
	all map[pay.MchID]member
}

type member struct {
	credentials *merchant.Credentials
	client      *wechatpay.Client
}

func (d *directory) All() (all []pay.MchID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for mchid := range d.all {
		all = append(all, mchid)
	}
	return all
}

func (d *directory) Credentials(mchid pay.MchID) (*merchant.Credentials, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one, known := d.all[mchid]
	return one.credentials, known
}

func (d *directory) WeChat(mchid pay.MchID) (reconcile.WeChat, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one, known := d.all[mchid]
	return one.client, known
}

// shop is one merchant: its platform, the line to it, and its client.
type shop struct {
	platform *simulator.Simulator
	merchant simulator.Merchant
	wire     *wire
	mchid    pay.MchID
	client   *wechatpay.Client
}

type bundle struct {
	*shop
	t         *testing.T
	url       string
	store     *store.Store
	db        *sql.DB
	directory *directory
	options   reconcile.Options
	service   *reconcile.Service
	said      *logs
}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

// setup is one merchant with a reconciler that runs; sweep starts its sweeps.
func setup(t *testing.T, change ...func(*reconcile.Options)) *bundle {
	t.Helper()
	b := &bundle{t: t, said: &logs{}, directory: &directory{all: map[pay.MchID]member{}}}
	b.url = testkit.Database(t, "reconcile", migrate)
	var err error
	b.store, err = store.Open(t.Context(), store.Config{URL: b.url, MaxConns: 12})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.store.Close() })
	b.db, err = sql.Open("postgres", b.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.db.Close() })
	b.shop = b.open("1900000109")
	b.options = reconcile.Options{
		Books: b.store, Merchants: b.directory,
		Budget: reconcile.Budget{OrderQuery: 1000, OrderClose: 1000, Refund: 150, RefundQuery: 300},
		Waits: reconcile.Waits{
			RefundGap: 10 * time.Millisecond, RefundPoll: 100 * time.Millisecond, RefundBackoff: 100 * time.Millisecond,
			FrequencyLimited: 200 * time.Millisecond, NotEnough: 200 * time.Millisecond, UnknownQuarantine: time.Second,
		},
		NotifyURL: func(mchid pay.MchID, p pay.Protocol) string {
			return "http://127.0.0.1:1/notify/" + string(p) + "/" + string(mchid)
		},
		Retryable: store.Retryable, Now: time.Now, Log: slog.New(slog.NewTextHandler(b.said, nil)), Registry: prometheus.NewRegistry(),
	}
	for _, c := range change {
		c(&b.options)
	}
	b.service = b.reconciler()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the reconciler said:\n%s", b.said)
		}
	})
	return b
}

// reconciler is a service of its own over the same database, as in another process.
func (b *bundle) reconciler() *reconcile.Service {
	b.t.Helper()
	service := reconcile.New(withRegistry(b.options))
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			require.NoError(b.t, err)
		case <-time.After(soon):
			b.t.Error("the reconciler does not stop")
		}
	})
	return service
}

// open makes a merchant with a platform of its own, over TLS with client
// certificates, as refunds of v2 need.
func (b *bundle) open(mchid string) *shop {
	b.t.Helper()
	m, err := simulator.NewTestMerchant()
	require.NoError(b.t, err)
	m.Mchid = mchid
	s := &shop{merchant: m, mchid: pay.MchID(m.Mchid)}
	s.platform, err = simulator.New(simulator.Options{Merchant: m, Logger: slog.New(slog.DiscardHandler), Speed: 100})
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = s.platform.Close() })
	s.wire = &wire{platform: s.platform.Handler(), merchant: m, calls: map[string]int{}, faults: map[string][]fault{}}
	server := httptest.NewUnstartedServer(s.wire)
	server.TLS, err = s.platform.TLSConfig()
	require.NoError(b.t, err)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	b.t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	require.True(b.t, roots.AppendCertsFromPEM(m.CACertificate))
	certificate, err := tls.X509KeyPair(m.Certificate, pemOf(b.t, m.PrivateKey))
	require.NoError(b.t, err)
	credentials := &merchant.Credentials{
		Merchant: merchant.Merchant{
			MchID: s.mchid, Apps: []merchant.App{{AppID: pay.AppID(m.Appid)}}, Serial: m.Serial, Protocol: pay.ProtocolV3,
			Policies: pay.Policies{DoublePayment: pay.PolicyRefund},
		},
		PrivateKey: m.PrivateKey, APIv3Keys: []merchant.Secret{merchant.Secret(m.APIv3Key)}, APIv2Keys: []merchant.Secret{merchant.Secret(m.APIv2Key)},
		Keyring:           merchant.NewKeyring(merchant.PublicKey{ID: m.PublicKeyID, Key: &m.WechatpayKey.PublicKey}),
		ClientCertificate: &certificate,
	}
	s.client, err = wechatpay.NewClient(credentials, wechatpay.ClientOptions{BaseURL: server.URL, RootCAs: roots, Timeout: time.Second})
	require.NoError(b.t, err)
	b.directory.mu.Lock()
	b.directory.all[s.mchid] = member{credentials, s.client}
	b.directory.mu.Unlock()
	return s
}

// order is an order of this shop as a command would place it.
func (s *shop) order(no string) pay.Order {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return pay.Order{
		MchID: s.mchid, OutTradeNo: pay.OutTradeNo(no), AppID: pay.AppID(s.merchant.Appid), Client: pay.ClientJSAPI, Protocol: pay.ProtocolV3,
		Description: "tea", Amount: 100, Currency: pay.CNY, OpenID: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", Digest: "digest of " + no,
		CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(2 * time.Hour).Truncate(time.Second), NextCheckAt: now.Add(10 * time.Second),
	}
}

// create puts an order into the books; WeChat Pay has not heard of it.
func (b *bundle) create(s *shop, no string, change ...func(*pay.Order)) pay.Order {
	b.t.Helper()
	o := s.order(no)
	for _, c := range change {
		c(&o)
	}
	var err error
	o.PrepayRequest, err = s.client.PrepayBody(o, "http://127.0.0.1:1/notify/v3/"+string(s.mchid))
	require.NoError(b.t, err)
	o, created, _, err := b.store.CreateOrder(b.t.Context(), o)
	require.NoError(b.t, err)
	require.True(b.t, created)
	return o
}

// place has an order placed at WeChat Pay, too.
func (b *bundle) place(s *shop, no string, change ...func(*pay.Order)) {
	b.t.Helper()
	o := b.create(s, no, change...)
	credential, answer, err := s.client.Prepay(b.t.Context(), o)
	require.NoError(b.t, err)
	b.settle(pay.Observation{
		Kind: pay.ObservedPrepared, Source: pay.SourceCommand, ObservedAt: answer.ReceivedAt, KeyID: answer.KeyID,
		MchID: o.MchID, OutTradeNo: o.OutTradeNo, AppID: o.AppID, Credential: credential,
	})
}

func (b *bundle) settle(obs pay.Observation) pay.Result {
	b.t.Helper()
	settled, err := b.store.Settle(b.t.Context(), []pay.Entry{{Observation: &obs}}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(b.t, err)
	require.Len(b.t, settled.Results, 1)
	return settled.Results[0]
}

// paid is an order that was paid, and that the books know as paid by a query.
func (b *bundle) paid(no string, change ...func(*pay.Order)) pay.TransactionID {
	b.t.Helper()
	b.place(b.shop, no, change...)
	payment, err := b.platform.Pay(no, simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(b.t, err)
	b.make(no, "next_check_at = now()")
	b.until(func() bool { return b.state(no) == pay.OrderPaid })
	return pay.TransactionID(payment.TransactionID)
}

// refund records a wish, as a command does.
func (b *bundle) refund(no string, transaction pay.TransactionID, refund string, amount pay.Fen) {
	b.t.Helper()
	result := b.settle(pay.Observation{
		Kind: pay.ObservedRefundRequested, Source: pay.SourceCommand, ObservedAt: time.Now().UTC(), MchID: b.mchid,
		OutTradeNo: pay.OutTradeNo(no), TransactionID: transaction, OutRefundNo: pay.OutRefundNo(refund), RefundAmount: amount,
		Currency: pay.CNY, Origin: pay.RefundByCommand, Digest: "digest of " + refund, Reason: "tea was cold",
	})
	require.Nil(b.t, result.Refusal)
}

func (b *bundle) sweep() {
	b.t.Helper()
	require.NoError(b.t, b.service.SweepOrders(b.t.Context()))
	require.NoError(b.t, b.service.SweepRefunds(b.t.Context()))
}

// until sweeps until something is so.
func (b *bundle) until(is func() bool, what ...any) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { b.sweep(); return is() }, soon, often, what...)
}

// says waits for what the reconciler writes, which comes after its commit.
func (b *bundle) says(text string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return strings.Contains(b.said.String(), text) }, soon, often, text)
}

// unsigned lets the platform leave its refusals unsigned, as the real one may.
func (b *bundle) unsigned() {
	b.t.Helper()
	_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultRefusalUnsigned})
	require.NoError(b.t, err)
}

func (b *bundle) state(no string) pay.OrderState {
	o, found, err := b.store.Order(b.t.Context(), b.mchid, pay.OutTradeNo(no))
	if err != nil || !found {
		return ""
	}
	return o.State
}

func (b *bundle) refundState(no string) pay.RefundState {
	r, found, err := b.store.Refund(b.t.Context(), b.mchid, pay.OutRefundNo(no))
	if err != nil || !found {
		return ""
	}
	return r.State
}

// make changes an order's row: its times, mostly.
func (b *bundle) make(no, set string) {
	b.t.Helper()
	done, err := b.db.ExecContext(b.t.Context(), `UPDATE orders SET `+set+` WHERE out_trade_no = $1`, no)
	require.NoError(b.t, err)
	n, err := done.RowsAffected()
	require.NoError(b.t, err)
	require.EqualValues(b.t, 1, n)
}

func (b *bundle) count(query string, args ...any) int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.db.QueryRowContext(b.t.Context(), query, args...).Scan(&n))
	return n
}

// outcomes are the attempts of a refund, in their order.
func (b *bundle) outcomes(no string) (all []string) {
	b.t.Helper()
	rows, err := b.db.QueryContext(b.t.Context(), `SELECT outcome || CASE WHEN finished_at IS NULL THEN '?' ELSE '' END FROM refund_attempts WHERE out_refund_no = $1 ORDER BY attempt`, no)
	require.NoError(b.t, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var outcome string
		require.NoError(b.t, rows.Scan(&outcome))
		all = append(all, outcome)
	}
	require.NoError(b.t, rows.Err())
	return all
}

// agree holds the books against the platform's ledger: each payment and each
// refund once on both sides, with the same amount and end.
func (b *bundle) agree() {
	b.t.Helper()
	ledger := b.platform.Ledger()
	for _, p := range ledger.Payments {
		ours, known, err := b.store.Payment(b.t.Context(), b.mchid, pay.TransactionID(p.TransactionID))
		require.NoError(b.t, err)
		require.True(b.t, known, p.TransactionID)
		require.EqualValues(b.t, p.AmountFen, ours.Amount)
		var back pay.Fen
		for _, r := range ledger.Refunds {
			if r.TransactionID == p.TransactionID && r.Status == simulator.RefundSuccess {
				back += pay.Fen(r.AmountFen)
			}
		}
		require.Equal(b.t, back, ours.Refunded, "refunded of %s", p.TransactionID)
	}
	states := map[simulator.RefundStatus]pay.RefundState{
		simulator.RefundProcessing: pay.RefundProcessing, simulator.RefundSuccess: pay.RefundSucceeded,
		simulator.RefundClosed: pay.RefundClosed, simulator.RefundAbnormal: pay.RefundAbnormal,
	}
	for _, r := range ledger.Refunds {
		ours, known, err := b.store.Refund(b.t.Context(), b.mchid, pay.OutRefundNo(r.OutRefundNo))
		require.NoError(b.t, err)
		require.True(b.t, known, r.OutRefundNo)
		require.Equal(b.t, states[r.Status], ours.State, r.OutRefundNo)
		require.EqualValues(b.t, r.AmountFen, ours.Amount)
		require.Equal(b.t, r.RefundID, ours.RefundID)
		if r.Origin == simulator.OriginAPI {
			require.Len(b.t, b.wire.sent(r.OutRefundNo), 1, "the bytes of %s never change", r.OutRefundNo)
		}
	}
	require.Equal(b.t, len(ledger.Refunds), b.count(`SELECT count(*) FROM refunds WHERE state NOT IN ('requested', 'failed') AND mchid = $1`, b.mchid))
}

// events counts an order's or a refund's events of one fact.
func (b *bundle) events(fact string) int {
	b.t.Helper()
	return b.count(`SELECT count(*) FROM outbox WHERE fact = $1`, fact)
}

func withRegistry(o reconcile.Options) reconcile.Options {
	o.Registry = prometheus.NewRegistry()
	return o
}

func numbers(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("T%08d", i))
	}
	return all
}

func pemOf(t *testing.T, key *rsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
