package reverify_test

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
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/reverify"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const other = pay.MchID("1900000110")

// stage is a service on a real broker and real books. It is its merchants.
type stage struct {
	t       *testing.T
	shop    simulator.Merchant
	all     map[pay.MchID]*merchant.Credentials
	learned func() // what a refresh of the keys brings
	fresh   int

	broker       *servers.NATS
	worker, edge *bus.Bus
	books        *store.Store
	db           *sql.DB
	service      *reverify.Service
	stored       uint64 // samples so far
}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

// testMerchant is made once: its RSA keys take a while.
var testMerchant = sync.OnceValues(simulator.NewTestMerchant)

func setup(t *testing.T, change ...func(*reverify.Options)) *stage {
	t.Helper()
	m, err := testMerchant()
	require.NoError(t, err)
	s := &stage{t: t, shop: m, all: map[pay.MchID]*merchant.Credentials{}}
	keys := []merchant.PublicKey{{ID: m.PublicKeyID, Key: &m.WechatpayKey.PublicKey}}
	for mchid, secret := range map[pay.MchID]string{pay.MchID(m.Mchid): m.APIv3Key, other: "another-key-another-key-another-"} {
		s.all[mchid] = &merchant.Credentials{
			Merchant: merchant.Merchant{MchID: mchid, Protocol: pay.ProtocolV3}, Keyring: merchant.NewKeyring(keys...),
			APIv3Keys: []merchant.Secret{merchant.Secret(secret)}, APIv2Keys: []merchant.Secret{merchant.Secret(m.APIv2Key)},
		}
	}
	s.broker = testkit.NATS(t, func(o *servers.NATSOptions) {
		o.ConfigFile, o.Environment = "../../deploy/nats.conf", map[string]string{}
		for _, role := range []string{"NOTIFY", "API", "FRONT", "WORKER", "RECONCILER", "CONSOLE", "SUBSCRIBER"} {
			o.Environment["FENFLOW_NATS_"+role+"_PASSWORD"] = "pw-" + strings.ToLower(role)
		}
	})
	s.worker, s.edge = s.connect("worker"), s.connect("notify")
	require.NoError(t, s.worker.EnsureStreams(t.Context()))
	url := testkit.Database(t, "reverify", migrate)
	s.books, err = store.Open(t.Context(), store.Config{URL: url, MaxConns: 2, Name: "reverify test"})
	require.NoError(t, err)
	s.db, err = sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.books.Close())
		require.NoError(t, s.db.Close())
	})
	o := reverify.Options{
		Samples: s.worker, Merchants: s, Keys: s, Lane: s.worker, Audit: s.books, Retryable: store.Retryable, NewID: newID, Log: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&o)
	}
	s.service = reverify.New(o)
	return s
}

func newID() (pay.DeliveryID, error) {
	id, err := uuid.NewV7()
	return pay.DeliveryID(id.String()), err
}

func (s *stage) connect(role string) *bus.Bus {
	s.t.Helper()
	b, err := bus.Connect(s.t.Context(), bus.Config{URL: s.broker.URL(), Role: role, Password: "pw-" + role, PublishTimeout: 3 * time.Second})
	require.NoError(s.t, err)
	s.t.Cleanup(b.Close)
	return b
}

// Credentials and Refresh are what the worker has of merchants.
func (s *stage) Credentials(id pay.MchID) (*merchant.Credentials, bool) {
	c, known := s.all[id]
	return c, known
}

func (s *stage) Refresh(context.Context, pay.MchID) error {
	s.fresh++
	if s.learned == nil {
		return errors.New("nothing new")
	}
	s.learned()
	return nil
}

// genuine is a payment as WeChat Pay tells of it, received as it was signed.
func (s *stage) genuine(no string) wechatpay.Envelope {
	s.t.Helper()
	return s.genuineAt(no, time.Now().UTC().Truncate(time.Second))
}

func (s *stage) genuineAt(no string, at time.Time) wechatpay.Envelope {
	s.t.Helper()
	plain := `{"appid":"` + s.shop.Appid + `","mchid":"` + s.shop.Mchid + `","out_trade_no":"` + no + `","transaction_id":"42` + no + `","trade_type":"NATIVE","trade_state":"SUCCESS",
		"bank_type":"OTHERS","success_time":"2026-03-01T12:00:00+08:00","payer":{"openid":"o-1"},"amount":{"total":100,"payer_total":100,"currency":"CNY"}}`
	block, err := aes.NewCipher([]byte(s.shop.APIv3Key))
	require.NoError(s.t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(s.t, err)
	body, err := json.Marshal(map[string]any{"id": "EV-" + no, "create_time": "2026-03-01T12:00:00+08:00", "event_type": "TRANSACTION.SUCCESS", "resource_type": "encrypt-resource",
		"resource": map[string]string{
			"algorithm": "AEAD_AES_256_GCM", "original_type": "transaction", "associated_data": "transaction", "nonce": "fdasflkja484",
			"ciphertext": base64.StdEncoding.EncodeToString(aead.Seal(nil, []byte("fdasflkja484"), []byte(plain), []byte("transaction"))),
		}})
	require.NoError(s.t, err)
	id, err := newID()
	require.NoError(s.t, err)
	env := wechatpay.Envelope{DeliveryID: id, MchID: pay.MchID(s.shop.Mchid), Kind: pay.DeliveryNotifyV3, ReceivedAt: at, Body: body}
	return s.sign(env, s.shop.WechatpayKey, s.shop.PublicKeyID)
}

// sign stamps an envelope with a key, as of its receipt.
func (s *stage) sign(env wechatpay.Envelope, key *rsa.PrivateKey, serial string) wechatpay.Envelope {
	s.t.Helper()
	stamp := strconv.FormatInt(env.ReceivedAt.Unix(), 10)
	sum := sha256.Sum256([]byte(stamp + "\nonce\n" + string(env.Body) + "\n"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	require.NoError(s.t, err)
	env.Headers = map[string]string{
		wechatpay.HeaderTimestamp: stamp, wechatpay.HeaderNonce: "once", wechatpay.HeaderSerial: serial,
		wechatpay.HeaderSignature: base64.StdEncoding.EncodeToString(signature), wechatpay.HeaderSignatureType: wechatpay.SignatureTypeRSA,
	}
	return env
}

// reject has the edge keep a sample, and gives its number.
func (s *stage) reject(env wechatpay.Envelope, reason string) uint64 {
	s.t.Helper()
	require.NoError(s.t, s.edge.PublishRejected(s.t.Context(), wechatpay.Rejected{Envelope: env, Reason: reason, Detail: "turned away"}))
	s.stored++
	return s.stored
}

func (s *stage) publish(sequences ...uint64) []reverify.Verdict {
	s.t.Helper()
	verdicts, err := s.service.Publish(s.t.Context(), sequences, "token:ada", "the key is configured now")
	require.NoError(s.t, err)
	require.Len(s.t, verdicts, len(sequences))
	return verdicts
}

// replayed are the envelopes that came down the replay lane so far: one more is
// put in after them, and all up to it are taken.
func (s *stage) replayed() []wechatpay.Envelope {
	s.t.Helper()
	last := s.genuine("LAST")
	require.NoError(s.t, s.worker.PublishReplay(s.t.Context(), last))
	ctx, stop := context.WithCancel(s.t.Context())
	defer stop()
	var got []wechatpay.Envelope
	err := s.worker.ConsumeNotifications(ctx, bus.ConsumeOptions{Subject: bus.SubjectReplay, Workers: 1}, func(_ context.Context, all []wechatpay.Arrival) error {
		for _, a := range all {
			if a.Envelope.DeliveryID == last.DeliveryID {
				stop()
				return nil
			}
			got = append(got, a.Envelope)
		}
		return nil
	})
	require.ErrorIs(s.t, err, context.Canceled)
	return got
}

func (s *stage) audits() int {
	s.t.Helper()
	var n int
	require.NoError(s.t, s.db.QueryRowContext(s.t.Context(), `SELECT count(*) FROM audit WHERE action = 'rejected.publish'`).Scan(&n))
	return n
}
