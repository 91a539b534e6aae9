package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Defaults of Config.
const (
	// defaultPublishTimeout is how long ingest may take for the PubAck.
	defaultPublishTimeout = 2 * time.Second
	connectTimeout        = 2 * time.Second
	reconnectWait         = 250 * time.Millisecond
	pingInterval          = 5 * time.Second // a silent broker is found in two of these
)

// Config says where the broker is and who we are to it.
type Config struct {
	URL            string
	Role           string // notify, api, front, worker, reconciler or console: the user of deploy/nats.conf
	Password       string
	Name           string // shown in the broker's list of connections; empty: fenflow-<role>
	Replicas       int    // of every stream; 0: 1
	Limits         Limits
	PublishTimeout time.Duration // 0: 2 s
	Logger         *slog.Logger
}

// Bus is one connection to the broker in one role. It reconnects for ever.
type Bus struct {
	conn   *nats.Conn
	js     jetstream.JetStream
	config Config
	log    *slog.Logger

	mu          sync.Mutex
	onReconnect []func()
	replies     *replies
}

// Connect gives a bus at once where the broker answers, and one that goes on
// trying where it cannot be reached (then publishing fails with
// ErrUnavailable). Only refused credentials and a broken URL are errors.
func Connect(ctx context.Context, config Config) (*Bus, error) {
	config.Replicas = max(config.Replicas, 1)
	config.PublishTimeout = cmp.Or(config.PublishTimeout, defaultPublishTimeout)
	config.Name = cmp.Or(config.Name, "fenflow-"+config.Role)
	config.Limits = config.Limits.orDefaults()
	b := &Bus{config: config, log: config.Logger}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	conn, err := nats.Connect(config.URL, b.options(false)...)
	if isUnreachable(err) {
		conn, err = nats.Connect(config.URL, b.options(true)...)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS as %s: %w", config.Role, err)
	}
	b.conn = conn
	if b.js, err = jetstream.New(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return b, nil
}

func isUnreachable(err error) bool {
	return err != nil && !errors.Is(err, nats.ErrAuthorization) && !errors.Is(err, nats.ErrAuthExpired) &&
		!errors.Is(err, nats.ErrAccountAuthExpired)
}

func (b *Bus) options(keepTrying bool) []nats.Option {
	return []nats.Option{
		nats.Name(b.config.Name),
		nats.UserInfo(b.config.Role, b.config.Password),
		// Each role may subscribe to its own inboxes only.
		nats.CustomInboxPrefix("_INBOX_" + b.config.Role),
		nats.Timeout(connectTimeout),
		nats.RetryOnFailedConnect(keepTrying),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		// Without a buffer a publish fails at once while the broker is away.
		// With one it could be stored after its caller was told 503.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		// Passwords are changed while we run: keep trying.
		nats.IgnoreAuthErrorAbort(),
		nats.ErrorHandler(b.logAsync),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("NATS connection lost", "role", b.config.Role, "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { b.reconnected() }),
		nats.ConnectHandler(func(*nats.Conn) {
			if keepTrying {
				b.reconnected()
			}
		}),
	}
}

// logAsync reports what nobody waits for; a denied permission is found here
// and, by the caller, only as a time-out.
func (b *Bus) logAsync(_ *nats.Conn, sub *nats.Subscription, err error) {
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	if errors.Is(err, nats.ErrPermissionViolation) {
		b.log.Error("NATS denies a permission; compare the user with deploy/nats.conf",
			"role", b.config.Role, "error", err)
		return
	}
	b.log.Warn("NATS reports", "role", b.config.Role, "subject", subject, "error", err)
}

// OnReconnect has f called, on a goroutine of its own, after each time the
// broker comes back.
func (b *Bus) OnReconnect(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onReconnect = append(b.onReconnect, f)
}

func (b *Bus) reconnected() {
	b.log.Info("NATS connection is up", "role", b.config.Role)
	b.mu.Lock()
	calls := append([]func(){}, b.onReconnect...)
	b.mu.Unlock()
	for _, f := range calls {
		go f()
	}
}

// Connected says whether the broker is there now.
func (b *Bus) Connected() bool { return b.conn.IsConnected() }

// ServerID names the server that we are connected to; it changes with each
// start of that server.
func (b *Bus) ServerID() string { return b.conn.ConnectedServerId() }

// Close drops the connection. Consumers must have ended before.
func (b *Bus) Close() { b.conn.Close() }

// Drain lets what is under way end, then closes.
func (b *Bus) Drain(ctx context.Context) error {
	closed := make(chan struct{})
	b.conn.SetClosedHandler(func(*nats.Conn) { close(closed) })
	if err := b.conn.Drain(); err != nil {
		b.conn.Close()
		if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionReconnecting) {
			return nil
		}
		return fmt.Errorf("drain NATS connection: %w", err)
	}
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		b.conn.Close()
		return fmt.Errorf("drain NATS connection: %w", ctx.Err())
	}
}

// publish sends one message to a stream and waits for its PubAck.
func (b *Bus) publish(ctx context.Context, msg *nats.Msg, stream string) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.PublishTimeout)
	defer cancel()
	// One attempt: whoever is away now gets its answer now.
	if _, err := b.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(stream), jetstream.WithRetryAttempts(0)); err != nil {
		return classify(err)
	}
	return nil
}
