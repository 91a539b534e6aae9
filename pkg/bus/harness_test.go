package bus

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/deploy"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	confFile = "../../deploy/nats.conf"
	soon     = 20 * time.Second
	often    = 10 * time.Millisecond
)

var allRoles = []string{"notify", "api", "front", "worker", "reconciler", "console", "subscriber"}

func passwords() map[string]string {
	all := map[string]string{}
	for _, role := range allRoles {
		all["FENFLOW_NATS_"+strings.ToUpper(role)+"_PASSWORD"] = "pw-" + role
	}
	return all
}

// broker starts a server of its own under deploy/nats.conf.
func broker(t testing.TB, change ...func(*servers.NATSOptions)) *servers.NATS {
	t.Helper()
	return testkit.NATS(t, append([]func(*servers.NATSOptions){func(o *servers.NATSOptions) {
		o.ConfigFile, o.Environment = confFile, passwords()
	}}, change...)...)
}

func connect(t testing.TB, n *servers.NATS, role string, change ...func(*Config)) *Bus {
	t.Helper()
	config := Config{
		URL: n.URL(), Role: role, Password: "pw-" + role,
		PublishTimeout: 3 * time.Second, // a shared machine may be slow
		Logger:         slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&config)
	}
	b, err := Connect(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// world is a broker with its streams, a worker and the public listener.
type world struct {
	server         *servers.NATS
	worker, notify *Bus
}

func newWorld(t testing.TB, change ...func(*Config)) world {
	t.Helper()
	w := world{server: broker(t)}
	w.worker = connect(t, w.server, "worker", change...)
	w.notify = connect(t, w.server, "notify")
	require.NoError(t, w.worker.EnsureStreams(t.Context()))
	return w
}

// back waits until a connection is one to the server that runs now. One to the
// server before it looks whole until its client has read its end, and what is
// asked on it is lost.
func (w world) back(t testing.TB, b *Bus) {
	t.Helper()
	require.Eventually(t, func() bool { return b.ServerID() == w.server.ID() }, soon, often)
}

// newWorldWith adds lines to deploy/nats.conf.
func newWorldWith(t testing.TB, lines string) world {
	t.Helper()
	file := ownConf(t, lines)
	w := world{server: broker(t, func(o *servers.NATSOptions) { o.ConfigFile = file })}
	w.worker = connect(t, w.server, "worker")
	w.notify = connect(t, w.server, "notify")
	require.NoError(t, w.worker.EnsureStreams(t.Context()))
	return w
}

// ownConf copies deploy/nats.conf, with what it includes, and adds lines to it.
func ownConf(t testing.TB, lines string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.MkdirAll(filepath.Join(filepath.Dir(file), "subscribers"), 0o700))
	require.NoError(t, os.WriteFile(file, append(deploy.NATSConf(), lines...), 0o600))
	require.NoError(t, os.WriteFile(accountsOf(file), deploy.SubscriberAccounts(), 0o600))
	return file
}

func accountsOf(conf string) string {
	return filepath.Join(filepath.Dir(conf), deploy.SubscriberAccountsFile)
}

func envelope(n int) wechatpay.Envelope {
	return wechatpay.Envelope{
		DeliveryID: pay.DeliveryID(fmt.Sprintf("0192f0c0-0000-7000-8000-%012d", n)),
		MchID:      "1900000109",
		Kind:       pay.DeliveryNotifyV3,
		ReceivedAt: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC),
		Headers:    map[string]string{wechatpay.HeaderNonce: fmt.Sprint(n), wechatpay.HeaderSerial: "PUB_KEY_ID_01"},
		Body:       []byte(fmt.Sprintf(`{"id":"%d","chinese":"微信支付","nul":"%c"}`, n, 0)),
	}
}

func event(n int) pay.Outgoing {
	return pay.Outgoing{
		EventID: fmt.Sprintf("event-%d", n), MchID: "1900000109", OutTradeNo: "order-1",
		Fact: pay.FactOrderPaid, Payload: []byte(fmt.Sprintf(`{"id":"event-%d"}`, n)),
	}
}

// stream looks at a stream with the worker's eyes.
func (w world) stream(t testing.TB, name string) *jetstream.StreamInfo {
	t.Helper()
	s, err := w.worker.js.Stream(t.Context(), name)
	require.NoError(t, err)
	return s.CachedInfo()
}

// consume runs a consumer until the test ends and gives what it hands out.
func (w world) consume(t testing.TB, o ConsumeOptions, handle func(context.Context, []wechatpay.Arrival) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.worker.ConsumeNotifications(ctx, o, handle) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	}
	t.Cleanup(stop)
	return stop
}

// raw is a client in a role without any of our code between.
func raw(t testing.TB, n *servers.NATS, role string, denied chan<- error) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(n.URL(), nats.UserInfo(role, "pw-"+role), nats.CustomInboxPrefix("_INBOX_"+role),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if denied != nil {
				denied <- err
			}
		}))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

func shortly(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) contains(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), s)
}
