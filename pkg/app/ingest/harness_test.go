package ingest_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/ingest"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/session"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	mchid    = "1900000109"
	publicID = "PUB_KEY_ID_0000000000000024101100397200000006"
	serial   = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
	apiKey   = "fk_0123456789012345678901234567890123456789012"
	v2Key    = "0123456789abcdef0123456789abcdef"
	confFile = "../../../deploy/nats.conf"
	soon     = 20 * time.Second
	often    = 10 * time.Millisecond
)

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

func natsPasswords() map[string]string {
	all := map[string]string{}
	for _, user := range []string{"notify", "api", "front", "worker", "reconciler", "console", "subscriber"} {
		all["FENFLOW_NATS_"+strings.ToUpper(user)+"_PASSWORD"] = "pw-of-" + user
	}
	return all
}

// stage is the real broker under deploy/nats.conf, a worker's hands on it, and
// an edge that was started as its program starts it.
type stage struct {
	t       *testing.T
	dir     string
	nats    *servers.NATS
	worker  *bus.Bus
	signals chan os.Signal
	log     *syncBuffer
	notify  string
	api     string
	front   string
	signer  *session.Signer
	admin   string
	stop    func() int
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

type setting struct {
	extra   string // lines under listen:
	limits  bus.Limits
	session string // in the place of the public key of sessions
}

// newStage starts broker and edge. Streams and verdict are the test's to make.
func newStage(t *testing.T, change ...func(*setting)) *stage {
	t.Helper()
	var o setting
	for _, f := range change {
		f(&o)
	}
	s := &stage{
		t: t, dir: t.TempDir(), signals: make(chan os.Signal, 4), log: &syncBuffer{},
	}
	s.nats = testkit.NATS(t, func(n *servers.NATSOptions) { n.ConfigFile, n.Environment = confFile, natsPasswords() })
	s.worker = s.connect("worker", o.limits)
	s.writePublicKey(rsaKeys().public)
	s.signer = s.writeSessionKey()
	if o.session != "" {
		s.write("session.pub", []byte(o.session))
	}
	s.writeConfig(o.extra, apiKey)
	s.start()
	return s
}

func (s *stage) connect(user string, limits bus.Limits) *bus.Bus {
	b, err := bus.Connect(s.t.Context(), bus.Config{URL: s.nats.URL(), Role: user, Password: "pw-of-" + user, Limits: limits, PublishTimeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(s.t, err)
	s.t.Cleanup(b.Close)
	return b
}

func (s *stage) writePublicKey(key *rsa.PrivateKey) {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(s.t, err)
	s.write("pub_key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// writeSessionKey makes a key of buyers' sessions: the edge gets the public half.
func (s *stage) writeSessionKey() *session.Signer {
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(s.t, err)
	_, public, err := merchant.SessionKeyPEM(key)
	require.NoError(s.t, err)
	s.write("session.pub", public)
	return session.NewSigner(key, time.Hour, time.Now)
}

func (s *stage) write(name string, content []byte) {
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, name), content, 0o600))
}

// writeConfig names secret files that do not exist, and one that is a folder:
// whoever opens one fails.
func (s *stage) writeConfig(listen, shopKey string) {
	sum := sha256.Sum256([]byte(shopKey))
	require.NoError(s.t, os.MkdirAll(filepath.Join(s.dir, "secrets", "unreadable"), 0o700))
	s.write("fenflow.yaml", fmt.Appendf(nil, `
merchants:
  - mchid: %q
    name: test
    apps:
      - {appid: wx8888888888888888, kind: mini_program, secret_file: secrets/unreadable, message_token_file: secrets/unreadable}
      - {appid: wx8888888888888801, kind: official_account, redirect_urls: ["https://shop.example.com/buy/"], js_domains: [shop.example.com]}
    merchant_serial: 5157F09EFDC096DE15EBE81A47057A72
    private_key_file: secrets/does-not-exist.pem
    api_v3_key_files: [secrets/unreadable]
    api_v2_key_files: [secrets/nowhere/at/all]
    wechatpay_public_keys: [{id: %s, file: pub_key.pem}]
    platform_certificates: true
    api_keys: [{name: shop, sha256: %s}]
nats: {url: %q, monitor_urls: [%q]}
front: {url: "https://pay.example.com", session_key_file: secrets/unreadable, session_public_key_files: [session.pub], verify_files: [MP_verify_AbCdEf123456.txt]}
listen:
  front: 127.0.0.1:0
  notify: 127.0.0.1:0
  api: 127.0.0.1:0
  admin: 127.0.0.1:0
%s
`, mchid, publicID, hex.EncodeToString(sum[:]), s.nats.URL(), s.nats.MonitorURL(), listen))
}

// start runs the edge as cmd/ingest does and waits until it listens.
func (s *stage) start() {
	environment := natsPasswords()
	code := make(chan int, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		code <- boot.RunWith(ctx, boot.Options{
			Role: config.RoleIngest, Args: []string{"--config", filepath.Join(s.dir, "fenflow.yaml")},
			Lookup: func(name string) (string, bool) { v, ok := environment[name]; return v, ok },
			Stdout: io.Discard, Stderr: s.log, Signals: s.signals,
		}, ingest.Main)
	}()
	var once sync.Once
	result := -1
	s.stop = func() int {
		once.Do(func() {
			s.signals <- syscall.SIGTERM
			result = <-code
			cancel()
		})
		return result
	}
	s.t.Cleanup(func() {
		require.Zero(s.t, s.stop(), s.log)
		for _, secret := range []string{"pw-of-", apiKey, "do-not-log-me", v2Key} {
			require.NotContains(s.t, s.log.String(), secret)
		}
	})
	require.Eventually(s.t, func() bool {
		s.admin = s.logged("role starts", "role", "ingest", "admin")
		s.notify = s.logged("listening", "listener", "listen.notify", "address")
		s.api = s.logged("listening", "listener", "listen.api", "address")
		s.front = s.logged("listening", "listener", "listen.front", "address")
		return s.admin != "" && s.notify != "" && s.api != "" && s.front != ""
	}, soon, often, "the edge does not listen")
}

// logged finds a value in the line of the log that has this message and this
// key with this value.
func (s *stage) logged(message, key, value, want string) string {
	for line := range strings.Lines(s.log.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message && fields[key] == value {
			found, _ := fields[want].(string)
			return found
		}
	}
	return ""
}

// prove makes the streams and lets the edge know that they are durable.
func (s *stage) prove() {
	require.NoError(s.t, s.worker.EnsureStreams(s.t.Context()))
	s.proveAgain()
}

func (s *stage) proveAgain() {
	verdict := s.worker.Prove(s.t.Context(), []string{s.nats.MonitorURL()})
	require.True(s.t, verdict.OK, verdict.Problems)
	require.NoError(s.t, s.worker.PutVerdict(s.t.Context(), verdict))
	require.Eventually(s.t, func() bool { status, _ := s.get(s.admin, "/readyz"); return status == http.StatusOK }, soon, often)
}

func (s *stage) get(address, path string, headers ...string) (int, string) {
	return s.do(http.MethodGet, address, path, "", headers...)
}

func (s *stage) do(method, address, path, body string, headers ...string) (int, string) {
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+address+path, strings.NewReader(body))
	require.NoError(s.t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	return answer.StatusCode, string(raw)
}

// post sends a v3 notification and returns status and body of the answer.
func (s *stage) post(key *rsa.PrivateKey, id, body string) (int, string) {
	return s.do(http.MethodPost, s.notify, "/notify/v3/"+mchid, body, stamp(key, id, body)...)
}

// stamp signs a body as WeChat Pay does.
func stamp(key *rsa.PrivateKey, id, body string) []string {
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), rand.Text()
	digest := sha256.Sum256([]byte(timestamp + "\n" + nonce + "\n" + body + "\n"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	return []string{
		"Content-Type", "application/json", wechatpay.HeaderTimestamp, timestamp, wechatpay.HeaderNonce, nonce,
		wechatpay.HeaderSerial, id, wechatpay.HeaderSignature, base64.StdEncoding.EncodeToString(signature),
	}
}

// stored collects what the stream hands out, as the worker would get it.
func (s *stage) stored() <-chan wechatpay.Arrival {
	arrivals := make(chan wechatpay.Arrival, 10_000)
	s.background(func(ctx context.Context) error {
		return s.worker.ConsumeNotifications(ctx, bus.ConsumeOptions{}, func(_ context.Context, batch []wechatpay.Arrival) error {
			for _, a := range batch {
				arrivals <- a
			}
			return nil
		})
	})
	return arrivals
}

func (s *stage) background(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	s.t.Cleanup(func() { cancel(); require.ErrorIs(s.t, <-done, context.Canceled) })
}

// serve answers requests of the edge as a worker does.
func (s *stage) serve(subject string, handle func([]byte) ([]byte, error)) {
	s.background(func(ctx context.Context) error {
		return s.worker.Serve(ctx, subject, func(_ context.Context, q []byte) ([]byte, error) { return handle(q) })
	})
}
