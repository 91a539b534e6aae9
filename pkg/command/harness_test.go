package command_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
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

// wire stands between fenflow and the stand-in platform: it records prepay
// bodies and does what real lines do.
type wire struct {
	platform http.Handler
	mu       sync.Mutex
	bodies   [][]byte // of prepay calls
	made     map[string]int
	faults   map[string][]fault // by call
}

// callOf names a call of either protocol.
func callOf(r *http.Request) string {
	switch {
	case r.URL.Path == "/pay/unifiedorder", r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/v3/pay/transactions/") && strings.Count(r.URL.Path, "/") == 4:
		return "prepay"
	case r.URL.Path == "/pay/closeorder", strings.HasSuffix(r.URL.Path, "/close"):
		return "close"
	case strings.HasPrefix(r.URL.Path, "/v3/refund/") && r.Method == http.MethodGet:
		return "refund_query"
	}
	return "query"
}

func (l *wire) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	l.mu.Lock()
	happens, call := works, callOf(r)
	if call == "prepay" {
		l.bodies = append(l.bodies, body)
	}
	l.made[call]++
	if rest := l.faults[call]; len(rest) > 0 {
		happens, l.faults[call] = rest[0], rest[1:]
	}
	l.mu.Unlock()
	happens(w, r, l.platform)
}

// fails lets the next prepay calls fail.
func (l *wire) fails(faults ...fault) { l.failsOn("prepay", faults...) }

// failsOn lets the next calls of one kind fail.
func (l *wire) failsOn(call string, faults ...fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults[call] = append(l.faults[call], faults...)
}

func (l *wire) count(call string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made[call]
}

func (l *wire) prepays() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([][]byte(nil), l.bodies...)
}

func works(w http.ResponseWriter, r *http.Request, platform http.Handler) { platform.ServeHTTP(w, r) }

// answers refuses a call with WeChat's way of saying so.
func answers(status int, code string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Request-Id", "08F78BB0")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"code":"` + code + `","message":"no"}`))
	}
}

// hangs carries the call out and loses the answer.
func hangs(_ http.ResponseWriter, r *http.Request, platform http.Handler) {
	platform.ServeHTTP(httptest.NewRecorder(), r)
	<-r.Context().Done()
}

// loses drops a call before it gets there.
func loses(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }

// breaks carries the call out, and a gateway answers in its place.
func breaks(w http.ResponseWriter, r *http.Request, platform http.Handler) {
	platform.ServeHTTP(httptest.NewRecorder(), r)
	w.WriteHeader(http.StatusBadGateway)
}

// tampers changes a byte of a signed answer.
func tampers(w http.ResponseWriter, r *http.Request, platform http.Handler) {
	recorder := httptest.NewRecorder()
	platform.ServeHTTP(recorder, r)
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(bytes.Replace(recorder.Body.Bytes(), []byte("wx"), []byte("xw"), 1))
}

// lags keeps the answer of the first call and gives it to those after, too: a
// platform whose parts do not agree yet. Its signature is genuine.
func lags(times int) []fault {
	var first *httptest.ResponseRecorder
	faults := make([]fault, times+1)
	for i := range faults {
		faults[i] = func(w http.ResponseWriter, r *http.Request, platform http.Handler) {
			if first == nil {
				first = httptest.NewRecorder()
				platform.ServeHTTP(first, r)
			}
			for name, values := range first.Header() {
				w.Header()[name] = values
			}
			w.WriteHeader(first.Code)
			_, _ = w.Write(first.Body.Bytes())
		}
	}
	return faults
}

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

type fields map[string]any

// create is an order.create as the edge sends it.
func (b *bundle) create(no string, change ...func(fields)) pay.Command {
	b.t.Helper()
	f := fields{
		"out_trade_no": no, "appid": b.merchant.Appid, "client": "jsapi", "description": "tea", "amount_fen": 100, "currency": "CNY",
		"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "time_expire": b.clock.Now().Add(2 * time.Hour).Truncate(time.Second).Format(time.RFC3339),
	}
	for _, c := range change {
		c(f)
	}
	body, err := json.Marshal(f)
	require.NoError(b.t, err)
	id, err := uuid.NewV7()
	require.NoError(b.t, err)
	now := b.clock.Now()
	return pay.Command{
		ID: pay.CommandID(id.String()), MchID: pay.MchID(b.merchant.Mchid), Kind: pay.CommandOrderCreate, OutTradeNo: pay.OutTradeNo(no),
		Digest: "digest-of-" + no, Body: body, ReceivedAt: now, Deadline: now.Add(time.Minute),
	}
}

type reply struct {
	OutRefundNo   string     `json:"out_refund_no"`
	OutTradeNo    string     `json:"out_trade_no"`
	State         string     `json:"state"`
	Sequence      int        `json:"sequence"`
	AmountFen     int        `json:"amount_fen"`
	TransactionID string     `json:"transaction_id"`
	PaidAt        *time.Time `json:"paid_at"`
	Late          bool       `json:"late"`
	Pay           flat       `json:"pay"`
	Digest        string     `json:"digest"`
	Code          string     `json:"code"`
	Detail        string     `json:"detail"`
}

// flat are the texts of an object, without the objects in it.
type flat map[string]string

func (f *flat) UnmarshalJSON(raw []byte) error {
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	*f = flat{}
	for name, value := range all {
		if text, is := value.(string); is {
			(*f)[name] = text
		}
	}
	return nil
}

// shut is an order.close as the edge sends it.
func (b *bundle) shut(no string) pay.Command {
	b.t.Helper()
	id, err := uuid.NewV7()
	require.NoError(b.t, err)
	return pay.Command{
		ID: pay.CommandID(id.String()), MchID: pay.MchID(b.merchant.Mchid), Kind: pay.CommandOrderClose, OutTradeNo: pay.OutTradeNo(no),
		Digest: "close-of-" + no, Body: []byte("{}"), ReceivedAt: b.clock.Now(),
	}
}

// refund is a refund.create as the edge sends it; the digest is made of what is
// asked for.
func (b *bundle) refund(no string, f fields) pay.Command {
	b.t.Helper()
	f["out_refund_no"] = no
	body, err := json.Marshal(f)
	require.NoError(b.t, err)
	id, err := uuid.NewV7()
	require.NoError(b.t, err)
	order, _ := f["out_trade_no"].(string)
	return pay.Command{
		ID: pay.CommandID(id.String()), MchID: pay.MchID(b.merchant.Mchid), Kind: pay.CommandRefundCreate, OutTradeNo: pay.OutTradeNo(order),
		OutRefundNo: pay.OutRefundNo(no), Digest: "digest-of-" + string(body), Body: body, ReceivedAt: b.clock.Now(),
	}
}

// paid places an order and lets it be paid, with the payment in the books.
func (b *bundle) paid(no string) {
	b.t.Helper()
	b.execute(b.create(no))
	b.payAt(no)
	status, r := b.check(no)
	require.Equal(b.t, http.StatusOK, status)
	require.Equal(b.t, "paid", r.State)
}

// payAt pays at the platform; its notification is lost.
func (b *bundle) payAt(no string) {
	b.t.Helper()
	_, err := b.platform.Pay(no, simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(b.t, err)
}

// ask puts a question to the service and gives status and body of its answer.
func (b *bundle) ask(serve func(context.Context, []byte) ([]byte, error), question fields) (int, []byte) {
	b.t.Helper()
	question["mchid"] = b.merchant.Mchid
	raw, err := json.Marshal(question)
	require.NoError(b.t, err)
	answer, err := serve(b.t.Context(), raw)
	require.NoError(b.t, err)
	return unwrap(b.t, answer)
}

func unwrap(t *testing.T, answer []byte) (status int, body []byte) {
	t.Helper()
	var a struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	}
	require.NoError(t, json.Unmarshal(answer, &a))
	return a.Status, a.Body
}

func (b *bundle) check(no string) (int, reply) {
	b.t.Helper()
	status, body := b.ask(b.service.ActCheck, fields{"out_trade_no": no})
	return status, parse(b.t, body)
}

func (b *bundle) execute(cmd pay.Command) (pay.CommandResult, reply) {
	b.t.Helper()
	result, err := b.service.Execute(b.t.Context(), cmd)
	require.NoError(b.t, err)
	return result, parse(b.t, result.Body)
}

func parse(t *testing.T, body []byte) reply {
	t.Helper()
	var r reply
	require.NoError(t, json.Unmarshal(body, &r), string(body))
	return r
}

func (b *bundle) order(no string) pay.Order {
	b.t.Helper()
	order, found, err := b.store.Order(b.t.Context(), pay.MchID(b.merchant.Mchid), pay.OutTradeNo(no))
	require.NoError(b.t, err)
	require.True(b.t, found)
	return order
}

func (b *bundle) count(query string, args ...any) int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.db.QueryRowContext(b.t.Context(), query, args...).Scan(&n))
	return n
}
