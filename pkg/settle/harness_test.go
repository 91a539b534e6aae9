package settle_test

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/settle"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	mchid   = pay.MchID("1900000109")
	appid   = pay.AppID("wx8888888888888888")
	keyID   = "PUB_KEY_ID_0000000000000000000000000000000001"
	apiKey  = "0123456789abcdef0123456789ABCDEF"
	wrongV3 = "fedcba9876543210fedcba9876543210"
)

// platform signs and encrypts as WeChat Pay does, with a key of its own.
type platform struct {
	key    *rsa.PrivateKey
	apiKey string
	keyID  string
}

// resource is what a notification tells, before encryption.
type resource map[string]any

func paid(no pay.OutTradeNo, tx string, total pay.Fen) resource {
	return resource{
		"mchid": string(mchid), "appid": string(appid), "out_trade_no": string(no), "transaction_id": tx,
		"trade_type": "JSAPI", "trade_state": "SUCCESS", "trade_state_desc": "", "bank_type": "OTHERS",
		"success_time": time.Now().UTC().Format(time.RFC3339), "payer": resource{"openid": "o-1"},
		"amount": resource{"total": int64(total), "payer_total": int64(total), "currency": "CNY", "payer_currency": "CNY"},
	}
}

func (p platform) seal(t testing.TB, nonce string, plain []byte) string {
	t.Helper()
	block, err := aes.NewCipher([]byte(p.apiKey))
	require.NoError(t, err)
	gcm, err := cipher.NewGCMWithNonceSize(block, len(nonce))
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(gcm.Seal(nil, []byte(nonce), plain, []byte("transaction")))
}

func (p platform) body(t testing.TB, event, nonce string, plain []byte) []byte {
	t.Helper()
	body, err := json.Marshal(resource{
		"id": "EV-" + uuid.NewString(), "create_time": time.Now().UTC().Format(time.RFC3339), "event_type": event,
		"resource_type": "encrypt-resource", "summary": "-",
		"resource": resource{"original_type": "transaction", "algorithm": "AEAD_AES_256_GCM", "nonce": nonce, "associated_data": "transaction", "ciphertext": p.seal(t, nonce, plain)},
	})
	require.NoError(t, err)
	return body
}

// says makes a signed notification of a resource.
func (p platform) says(t testing.TB, event string, r resource) wechatpay.Arrival {
	t.Helper()
	plain, err := json.Marshal(r)
	require.NoError(t, err)
	return p.signed(t, p.body(t, event, rand.Text()[:12], plain))
}

func (p platform) pays(t testing.TB, no pay.OutTradeNo, tx string, total pay.Fen) wechatpay.Arrival {
	t.Helper()
	return p.says(t, "TRANSACTION.SUCCESS", paid(no, tx, total))
}

// refunds makes a signed notice of where a refund stands.
func (p platform) refunds(t testing.TB, no pay.OutTradeNo, tx, refund, status string, amount pay.Fen) wechatpay.Arrival {
	t.Helper()
	r := resource{
		"mchid": string(mchid), "out_trade_no": string(no), "transaction_id": tx, "out_refund_no": refund, "refund_id": "50000" + refund,
		"refund_status": status, "user_received_account": "招商银行信用卡0403",
		"amount": resource{"total": 100, "refund": int64(amount), "payer_total": 100, "payer_refund": int64(amount)},
	}
	if status == "SUCCESS" {
		r["success_time"] = time.Now().UTC().Format(time.RFC3339)
	}
	event := "REFUND." + status
	if status != "SUCCESS" && status != "CLOSED" && status != "ABNORMAL" { // there are no other events
		event = "REFUND.SUCCESS"
	}
	return p.says(t, event, r)
}

func (p platform) signed(t testing.TB, body []byte) wechatpay.Arrival {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	timestamp, nonce := strconv.FormatInt(now.Unix(), 10), rand.Text()
	digest := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n", timestamp, nonce, body))
	signature, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, digest[:])
	require.NoError(t, err)
	id, err := uuid.NewV7()
	require.NoError(t, err)
	return wechatpay.Arrival{Deliveries: 1, Envelope: wechatpay.Envelope{
		DeliveryID: pay.DeliveryID(id.String()), MchID: mchid, Kind: pay.DeliveryNotifyV3, ReceivedAt: now, Body: body,
		Headers: map[string]string{
			wechatpay.HeaderTimestamp: timestamp, wechatpay.HeaderNonce: nonce, wechatpay.HeaderSerial: p.keyID,
			wechatpay.HeaderSignature: base64.StdEncoding.EncodeToString(signature), wechatpay.HeaderSignatureType: "WECHATPAY2-SHA256-RSA2048",
		},
	}}
}

// directory is a fixed set of merchants whose key ring Refresh fills.
type directory struct {
	credentials *merchant.Credentials
	late        []merchant.PublicKey // known only after a refresh
	mu          sync.Mutex
	refreshes   int
}

func (d *directory) Credentials(id pay.MchID) (*merchant.Credentials, bool) {
	if id != d.credentials.Merchant.MchID {
		return nil, false
	}
	return d.credentials, true
}

func (d *directory) Refresh(context.Context, pay.MchID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refreshes++
	d.credentials.Keyring.Put(d.late...)
	return nil
}

// relay collects what it is handed.
type relay struct {
	mu     sync.Mutex
	events []pay.Outgoing
}

func (r *relay) Hand(events []pay.Outgoing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, events...)
}

func (r *relay) facts(fact pay.Fact) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, e := range r.events {
		if e.Fact == fact {
			n++
		}
	}
	return n
}

// bundle is one test's database, platform and service.
type bundle struct {
	t         testing.TB
	url       string
	store     *store.Store
	db        *sql.DB
	platform  platform
	directory *directory
	relay     *relay
	options   settle.Options
}

func setup(t testing.TB, url string) *bundle {
	t.Helper()
	books, err := store.Open(t.Context(), store.Config{URL: url, MaxConns: 6})
	require.NoError(t, err)
	t.Cleanup(func() { _ = books.Close() })
	db, err := sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	b := &bundle{t: t, url: url, store: books, db: db, platform: platform{key: key, apiKey: apiKey, keyID: keyID}, relay: &relay{}}
	b.directory = &directory{credentials: &merchant.Credentials{
		Merchant:  merchant.Merchant{MchID: mchid, Apps: []merchant.App{{AppID: appid}}},
		APIv3Keys: []merchant.Secret{apiKey}, APIv2Keys: []merchant.Secret{apiKey},
		Keyring: merchant.NewKeyring(merchant.PublicKey{ID: keyID, Key: &key.PublicKey}),
	}}
	b.options = settle.Options{
		Books: books, Merchants: b.directory, Keys: b.directory, Relay: b.relay, Retryable: store.Retryable,
		Now: time.Now, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	}
	return b
}

func database(t testing.TB) string {
	t.Helper()
	return testkit.Database(t, "settle", migrate)
}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

func (b *bundle) service(change ...func(*settle.Options)) *settle.Service {
	o := b.options
	o.Registry = prometheus.NewRegistry()
	for _, f := range change {
		f(&o)
	}
	return settle.New(o)
}

func (b *bundle) order(no pay.OutTradeNo, amount pay.Fen) {
	b.t.Helper()
	now := time.Now().UTC()
	_, created, _, err := b.store.CreateOrder(b.t.Context(), pay.Order{
		MchID: mchid, OutTradeNo: no, AppID: appid, Client: pay.ClientJSAPI, Protocol: pay.ProtocolV3,
		Description: "tea", Amount: amount, Currency: pay.CNY, OpenID: "o-1", Digest: "d", PrepayRequest: []byte("{}"),
		CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(time.Hour), NextCheckAt: now.Add(time.Minute),
	})
	require.NoError(b.t, err)
	require.True(b.t, created)
}

func (b *bundle) state(no pay.OutTradeNo) pay.OrderState {
	b.t.Helper()
	order, found, err := b.store.Order(b.t.Context(), mchid, no)
	require.NoError(b.t, err)
	require.True(b.t, found)
	return order.State
}

func (b *bundle) count(query string, args ...any) int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.db.QueryRowContext(b.t.Context(), query, args...).Scan(&n))
	return n
}

// letter gives reason, state and detail of a delivery's letter.
func (b *bundle) letter(id pay.DeliveryID) (reason, state, detail string) {
	b.t.Helper()
	err := b.db.QueryRowContext(b.t.Context(), `SELECT reason, state, detail FROM dead_letters WHERE delivery_id = $1`, string(id)).Scan(&reason, &state, &detail)
	require.NoError(b.t, err, "delivery %s has no letter", id)
	return reason, state, detail
}
