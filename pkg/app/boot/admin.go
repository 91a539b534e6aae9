package boot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fenflow/fenflow/pkg/problem"
)

// Time-outs of the admin port. It answers small things to known callers.
const (
	adminHeaderWithin = 5 * time.Second
	adminWriteWithin  = 30 * time.Second
	adminStopWithin   = 2 * time.Second
)

// AdminHandler answers /livez, /readyz, /metrics and /version.
func AdminHandler(env Env) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	})
	mux.Handle("GET /readyz", env.Health)
	mux.Handle("GET /metrics", promhttp.HandlerFor(env.Registry, promhttp.HandlerOpts{Registry: env.Registry}))
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, struct {
			Role string `json:"role"`
			Build
		}{string(env.Role), env.Build})
	})
	return mux
}

type adminServer struct {
	server   *http.Server
	listener net.Listener
	done     chan struct{}
}

func serveAdmin(ctx context.Context, env Env) (*adminServer, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", env.Config.Listen.Admin)
	if err != nil {
		return nil, problem.Newf(problem.Config, "listen.admin: %v", err)
	}
	a := &adminServer{
		listener: listener, done: make(chan struct{}),
		server: &http.Server{Handler: AdminHandler(env), ReadHeaderTimeout: adminHeaderWithin, ReadTimeout: adminHeaderWithin, WriteTimeout: adminWriteWithin, IdleTimeout: time.Minute},
	}
	go func() {
		defer close(a.done)
		if err := a.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			env.Logger.Error("admin port ended", "error", fmt.Errorf("serve admin: %w", err))
		}
	}()
	return a, nil
}

func (a *adminServer) address() string { return a.listener.Addr().String() }

func (a *adminServer) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), adminStopWithin)
	defer cancel()
	if a.server.Shutdown(ctx) != nil {
		_ = a.server.Close() // what did not end in time is cut off
	}
	<-a.done
}
