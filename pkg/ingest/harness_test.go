package ingest_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/ingest"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	mchid     = pay.MchID("1900000109")
	otherMch  = pay.MchID("1900000110") // knows no key
	publicID  = "PUB_KEY_ID_0000000000000024101100397200000006"
	serial    = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
	oldSerial = "3157F09EFDC096DE15EBE81A47057A7232F1B8E2"
	apiKey    = "fk_0123456789012345678901234567890123456789012"
	notice    = `{"id":"EV-2018022511223320873","event_type":"TRANSACTION.SUCCESS","resource":{"ciphertext":"do-not-log-me"}}`
	serverID  = "NATS-1"
)

// now is the moment of every test whose clock stands.
func now() time.Time { return time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC) }

type keys struct{ public, platform, stranger *rsa.PrivateKey }

// rsaKeys are made once: 2048 bits take a while.
var rsaKeys = sync.OnceValue(func() keys {
	one := func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return key
	}
	return keys{one(), one(), one()}
})

// shelf is a publisher that keeps what it is given.
type shelf struct {
	mu       sync.Mutex
	kept     []wechatpay.Envelope
	rejected []wechatpay.Rejected
	fail     func(ctx context.Context) error
	sampled  chan struct{} // one signal per sample
}

func (s *shelf) Publish(ctx context.Context, env wechatpay.Envelope) error {
	if s.fail != nil {
		if err := s.fail(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, env)
	return nil
}

func (s *shelf) PublishRejected(_ context.Context, r wechatpay.Rejected) error {
	s.mu.Lock()
	s.rejected = append(s.rejected, r)
	s.mu.Unlock()
	s.sampled <- struct{}{}
	return nil
}

func (s *shelf) published() []wechatpay.Envelope {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]wechatpay.Envelope(nil), s.kept...)
}

func (s *shelf) samples() []wechatpay.Rejected {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]wechatpay.Rejected(nil), s.rejected...)
}

// worker answers requests with what the test says, and remembers them.
type worker struct {
	mu     sync.Mutex
	asked  []string // "subject body"
	answer func(subject string, question []byte) ([]byte, error)
}

func (w *worker) Request(_ context.Context, subject string, question []byte, _ time.Duration) ([]byte, error) {
	w.mu.Lock()
	w.asked = append(w.asked, subject+" "+string(question))
	w.mu.Unlock()
	if w.answer == nil {
		return nil, errors.New("nobody serves " + subject)
	}
	return w.answer(subject, question)
}

func (w *worker) questions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.asked...)
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// edge is one ingest with everything around it in the test's hands.
type edge struct {
	*ingest.NotifyHandler

	t        *testing.T
	shelf    *shelf
	worker   *worker
	gate     *ingest.Gate
	keys     *ingest.Keys
	registry *prometheus.Registry
	log      *syncBuffer
}

func directory(t *testing.T) *merchant.Directory {
	t.Helper()
	d, err := merchant.NewDirectory([]merchant.Merchant{
		{MchID: mchid, Apps: []merchant.App{{AppID: "wx8888888888888888"}, {AppID: "wx9999999999999999"}}, PlatformCertificates: true, APIKeys: []merchant.APIKey{{Name: "shop", SHA256: sha256.Sum256([]byte(apiKey))}}},
		{MchID: otherMch, PlatformCertificates: true},
	})
	require.NoError(t, err)
	return d
}

func goodVerdict() *ingest.Verdict { return &ingest.Verdict{OK: true, Servers: []string{serverID}} }

func publicKeys() *ingest.Keys {
	k := ingest.NewKeys()
	k.SetConfigured(map[pay.MchID][]merchant.PublicKey{mchid: {{ID: publicID, Key: &rsaKeys().public.PublicKey}}})
	k.SetPlatform(map[pay.MchID][]merchant.PublicKey{mchid: {
		{ID: serial, Key: &rsaKeys().platform.PublicKey, NotBefore: now().Add(-time.Hour), NotAfter: now().Add(time.Hour)},
		{ID: oldSerial, Key: &rsaKeys().platform.PublicKey, NotBefore: now().Add(-2 * time.Hour), NotAfter: now().Add(-time.Hour)},
	}})
	return k
}

func newEdge(t *testing.T, change ...func(*ingest.NotifyConfig)) *edge {
	t.Helper()
	e := &edge{
		t: t, shelf: &shelf{sampled: make(chan struct{}, 1000)}, worker: &worker{}, keys: publicKeys(),
		gate: ingest.NewGate(func() string { return serverID }), registry: prometheus.NewRegistry(), log: &syncBuffer{},
	}
	e.gate.Set(goodVerdict())
	c := ingest.NotifyConfig{
		Merchants: directory(t), Keys: e.keys, Gate: e.gate, Publisher: e.shelf, Rejected: e.shelf, Worker: e.worker,
		Metrics: ingest.NewMetrics(e.registry), Logger: slog.New(slog.NewJSONHandler(e.log, nil)), Now: now,
	}
	for _, f := range change {
		f(&c)
	}
	e.NotifyHandler = ingest.NewNotify(c)
	return e
}

// run starts what happens after answers and ends it with the test.
func (e *edge) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	e.t.Cleanup(func() { cancel(); <-done })
}

func (e *edge) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

// count reads a counter whose labels hold all the given values.
func (e *edge) count(name string, labels ...string) float64 {
	families, err := e.registry.Gather()
	require.NoError(e.t, err)
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			have := map[string]bool{}
			for _, pair := range metric.GetLabel() {
				have[pair.GetValue()] = true
			}
			all := true
			for _, label := range labels {
				all = all && have[label]
			}
			if all {
				sum += metric.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// stamp signs a body as WeChat Pay does.
func stamp(h http.Header, key *rsa.PrivateKey, id string, at time.Time, body string) {
	timestamp, nonce := strconv.FormatInt(at.Unix(), 10), "fdasflkja484w"
	digest := sha256.Sum256([]byte(timestamp + "\n" + nonce + "\n" + body + "\n"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	h.Set("Content-Type", "application/json")
	h.Set(wechatpay.HeaderTimestamp, timestamp)
	h.Set(wechatpay.HeaderNonce, nonce)
	h.Set(wechatpay.HeaderSerial, id)
	h.Set(wechatpay.HeaderSignature, base64.StdEncoding.EncodeToString(signature))
	h.Set(wechatpay.HeaderSignatureType, wechatpay.SignatureTypeRSA)
}

// genuine is a notification that verifies.
func genuine(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/notify/v3/"+string(mchid), strings.NewReader(body))
	stamp(r.Header, rsaKeys().public, publicID, now(), body)
	return r
}
