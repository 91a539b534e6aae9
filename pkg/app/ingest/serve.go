package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/problem"
)

// maxHeaderBytes: WeChat Pay's headers take about 1 KiB.
const maxHeaderBytes = 16 << 10

// times bound each step of a request, so that nobody holds a connection by
// sending a byte now and then.
type times struct{ header, read, write, idle time.Duration }

// notifyTimes fit WeChat Pay, which gives up after 5 s (doc 4012075420).
func notifyTimes() times {
	return times{header: 5 * time.Second, read: 8 * time.Second, write: 15 * time.Second, idle: 30 * time.Second}
}

// apiTimes let a shop wait 20 s for its order.
func apiTimes() times {
	return times{header: 5 * time.Second, read: 10 * time.Second, write: 35 * time.Second, idle: 2 * time.Minute}
}

// frontTimes let a worker take 8 s for a login.
func frontTimes() times {
	return times{header: 5 * time.Second, read: 10 * time.Second, write: 20 * time.Second, idle: time.Minute}
}

// server is one listener with its HTTP server.
type server struct {
	name     string
	listener net.Listener
	http     *http.Server
}

// open listens at an address. Public listeners speak TLS where configuration
// has a certificate.
func (r *role) open(ctx context.Context, name, address string, t times, public bool, h http.Handler) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return problem.Newf(problem.Config, "%s: %v", name, err)
	}
	listener = boot.Limit(listener, r.Config.Listen.MaxConnections)
	s := &server{name: name, listener: listener, http: &http.Server{
		Handler: h, ReadHeaderTimeout: t.header, ReadTimeout: t.read, WriteTimeout: t.write, IdleTimeout: t.idle,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(r.Logger.With("listener", name).Handler(), slog.LevelDebug),
	}}
	if public && r.Config.Listen.TLSCertFile != "" {
		c, err := newCertificate(r.Config.Listen.TLSCertFile, r.Config.Listen.TLSKeyFile, r.Logger, time.Now)
		if err != nil {
			return errors.Join(problem.Newf(problem.Config, "listen.tls_cert_file: %v", err), listener.Close())
		}
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	}
	r.servers = append(r.servers, s)
	return nil
}

// serve answers until the context ends, then lets what is under way finish.
func (r *role) serve(ctx context.Context) error {
	ended := make(chan error, len(r.servers)) // each ends once
	for _, s := range r.servers {
		r.Logger.InfoContext(ctx, "listening", "listener", s.name, "address", s.listener.Addr().String(), "tls", s.http.TLSConfig != nil)
		go func() { ended <- s.run() }()
	}
	var failed error
	running := len(r.servers)
	select {
	case <-ctx.Done():
	case failed = <-ended:
		running--
	}
	r.shutDown()
	for range running {
		failed = errors.Join(failed, <-ended)
	}
	return failed
}

func (r *role) closeListeners() {
	for _, s := range r.servers {
		_ = s.listener.Close() // nothing was accepted yet
	}
}

func (s *server) run() error {
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", s.name, err)
}

func (r *role) shutDown() {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	done := make(chan struct{}, len(r.servers))
	for _, s := range r.servers {
		go func() {
			if err := s.http.Shutdown(ctx); err != nil {
				r.Logger.Warn("requests cut off", "listener", s.name, "error", err.Error())
				_ = s.http.Close() // they were given their time
			}
			done <- struct{}{}
		}()
	}
	for range r.servers {
		<-done
	}
}
