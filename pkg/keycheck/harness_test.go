package keycheck_test

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/keycheck"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// stage is a merchant whose archive is real, and whose WeChat Pay is the
// stand-in. It is its merchants and its samples.
type stage struct {
	t       *testing.T
	shop    simulator.Merchant
	mchid   pay.MchID
	cred    *merchant.Credentials
	client  keycheck.WeChat
	samples []wechatpay.Sample
	books   *store.Store
	clock   *testkit.Clock
	service *keycheck.Service
}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

// testMerchant is made once: its RSA keys take a while.
var testMerchant = sync.OnceValues(simulator.NewTestMerchant)

func setup(t *testing.T, change ...func(*keycheck.Options)) *stage {
	t.Helper()
	m, err := testMerchant()
	require.NoError(t, err)
	certificate, err := merchant.ParseCertificatePEM(m.PlatformCertificate)
	require.NoError(t, err)
	own, err := merchant.ParseClientCertificate(m.Certificate, m.PrivateKey)
	require.NoError(t, err)
	s := &stage{t: t, shop: m, mchid: pay.MchID(m.Mchid), clock: testkit.NewClock(time.Now())}
	s.cred = &merchant.Credentials{
		Merchant: merchant.Merchant{
			MchID: s.mchid, Name: "tea", Protocol: pay.ProtocolV3, Serial: m.Serial, PlatformCertificates: true,
			Apps: []merchant.App{{AppID: pay.AppID(m.Appid), Kind: "mini_program"}},
		},
		PrivateKey: m.PrivateKey, APIv3Keys: []merchant.Secret{merchant.Secret(m.APIv3Key)}, ClientCertificate: own,
		Keyring: merchant.NewKeyring(merchant.PublicKey{ID: m.PublicKeyID, Key: &m.WechatpayKey.PublicKey}, certificate),
	}
	s.books, err = store.Open(t.Context(), store.Config{URL: testkit.Database(t, "keycheck", migrate), MaxConns: 2, Name: "keycheck test"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.books.Close()) })
	o := keycheck.Options{
		Archive: s.books, Samples: s, Budgets: s.books, Merchants: s, OrderQuery: 10, Retryable: store.Retryable, Now: s.clock.Now,
		Nonce: rand.Text, Log: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&o)
	}
	s.service = keycheck.New(o)
	return s
}

// platform gives the merchant its way to the stand-in WeChat Pay.
func (s *stage) platform() (*simulator.Simulator, *httptest.Server) {
	s.t.Helper()
	platform, err := simulator.New(simulator.Options{Merchant: s.shop, Logger: slog.New(slog.DiscardHandler), Speed: 100})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = platform.Close() })
	server := httptest.NewServer(platform.Handler())
	s.t.Cleanup(server.Close)
	s.client, err = wechatpay.NewClient(s.cred, wechatpay.ClientOptions{BaseURL: server.URL})
	require.NoError(s.t, err)
	return platform, server
}

func (s *stage) All() []pay.MchID { return []pay.MchID{s.mchid} }

func (s *stage) Credentials(id pay.MchID) (*merchant.Credentials, bool) {
	return s.cred, id == s.mchid
}

func (s *stage) Asked(pay.MchID) (keycheck.WeChat, bool) { return s.client, s.client != nil }

// WalkSamples visits the samples, the newest first.
func (s *stage) WalkSamples(_ context.Context, _ uint64, visit func(wechatpay.Sample) bool) error {
	for _, one := range s.samples {
		if !visit(one) {
			break
		}
	}
	return nil
}

// came archives a payment that WeChat Pay told of then, signed with a key.
func (s *stage) came(at time.Time, key *rsa.PrivateKey, serial string) wechatpay.Envelope {
	s.t.Helper()
	return s.archive(s.envelope(at, key, serial, s.shop.APIv3Key))
}

func (s *stage) byPublicKey(at time.Time) wechatpay.Envelope {
	s.t.Helper()
	return s.came(at, s.shop.WechatpayKey, s.shop.PublicKeyID)
}

func (s *stage) byCertificate(at time.Time) wechatpay.Envelope {
	s.t.Helper()
	return s.came(at, s.shop.PlatformKey, s.shop.PlatformSerial)
}

func (s *stage) envelope(at time.Time, key *rsa.PrivateKey, serial, secret string) wechatpay.Envelope {
	s.t.Helper()
	at = at.UTC().Truncate(time.Second)
	block, err := aes.NewCipher([]byte(secret))
	require.NoError(s.t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(s.t, err)
	body, err := json.Marshal(map[string]any{"id": "EV-" + uuid.NewString(), "event_type": "TRANSACTION.SUCCESS", "resource": map[string]string{
		"algorithm": "AEAD_AES_256_GCM", "associated_data": "", "nonce": "fdasflkja484",
		"ciphertext": base64.StdEncoding.EncodeToString(aead.Seal(nil, []byte("fdasflkja484"), []byte(`{"payer":{"openid":"o-buyer"}}`), nil)),
	}})
	require.NoError(s.t, err)
	stamp := strconv.FormatInt(at.Unix(), 10)
	sum := sha256.Sum256([]byte(stamp + "\nonce\n" + string(body) + "\n"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	require.NoError(s.t, err)
	return wechatpay.Envelope{
		DeliveryID: deliveryID(at), MchID: s.mchid, Kind: pay.DeliveryNotifyV3, ReceivedAt: at, Body: body, Headers: map[string]string{
			wechatpay.HeaderTimestamp: stamp, wechatpay.HeaderNonce: "once", wechatpay.HeaderSerial: serial,
			wechatpay.HeaderSignature: base64.StdEncoding.EncodeToString(signature),
		},
	}
}

// deliveryID begins with its millisecond, as ingest's do.
func deliveryID(at time.Time) pay.DeliveryID {
	id := uuid.Must(uuid.NewV7())
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return pay.DeliveryID(id.String())
}

// archive keeps an envelope as the worker does; the key id of the column is
// not what a check believes.
func (s *stage) archive(env wechatpay.Envelope) wechatpay.Envelope {
	s.t.Helper()
	_, err := s.books.Settle(s.t.Context(), []pay.Entry{{Delivery: &pay.Delivery{
		ID: env.DeliveryID, MchID: env.MchID, Kind: env.Kind, ReceivedAt: env.ReceivedAt, Headers: env.Headers, Body: env.Body, KeyID: "what the column says",
	}}}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(s.t, err)
	return env
}

func (s *stage) check(q keycheck.Question) keycheck.Report {
	s.t.Helper()
	r, err := s.asked(q)
	require.NoError(s.t, err)
	return r
}

func (s *stage) asked(q keycheck.Question) (keycheck.Report, error) {
	if q.MchID == "" {
		q.MchID = s.mchid
	}
	if q.Count == 0 {
		q.Count = keycheck.DefaultCount
	}
	return s.service.Check(s.t.Context(), q)
}

// found gives the findings of a check at a level.
func found(r keycheck.Report, check, level string) (texts []string) {
	for _, f := range r.Findings {
		if f.Check == check && f.Level == level {
			texts = append(texts, f.Text+" | "+f.Fix)
		}
	}
	return texts
}

// away is a database that cannot be reached.
type away struct{}

var errAway = errors.New("connection refused")

func (away) ListDeliveries(context.Context, pay.DeliveryFilter) (pay.DeliveryPage, error) {
	return pay.DeliveryPage{}, errAway
}
