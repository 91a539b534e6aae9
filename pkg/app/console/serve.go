package console

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	// maxHeaderBytes: a token, a query and what a browser adds.
	maxHeaderBytes = 16 << 10

	// Bounds of each step of a request, so that nobody holds a connection by
	// sending a byte now and then. The API itself answers within 20 s.
	headerWithin = 5 * time.Second
	readWithin   = 10 * time.Second
	writeWithin  = 30 * time.Second
	idleWithin   = 2 * time.Minute

	// stopWithin is how long requests under way may take to end. It is below what
	// boot gives a role.
	stopWithin = 22 * time.Second
)

// server is the listener of operators.
type server struct {
	log      *slog.Logger
	listener net.Listener
	http     *http.Server
}

func listen(ctx context.Context, env boot.Env, h http.Handler) (*server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", env.Config.Listen.Console)
	if err != nil {
		return nil, problem.Newf(problem.Config, "listen.console: %v", err)
	}
	return &server{log: env.Logger, listener: boot.Limit(listener, env.Config.Listen.MaxConnections), http: &http.Server{
		Handler: h, ReadHeaderTimeout: headerWithin, ReadTimeout: readWithin, WriteTimeout: writeWithin, IdleTimeout: idleWithin,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(env.Logger.With("listener", "listen.console").Handler(), slog.LevelDebug),
	}}, nil
}

// serve answers until the context ends, then lets what is under way finish.
func (s *server) serve(ctx context.Context) error {
	s.log.InfoContext(ctx, "listening", "listener", "listen.console", "address", s.listener.Addr().String())
	ended := make(chan error, 1) // it ends once
	go func() { ended <- s.http.Serve(s.listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := s.http.Shutdown(within); err != nil {
		s.log.Warn("requests cut off", "listener", "listen.console", "error", err.Error())
		_ = s.http.Close() // they were given their time
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
