package simulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// shutdownTime is for requests in flight; no answer takes longer.
const shutdownTime = 5 * time.Second

// Serve runs a simulator on a listener until the context ends, then lets requests
// in flight finish. It closes both.
func Serve(ctx context.Context, listener net.Listener, o Options) error {
	s, err := New(o)
	if err != nil {
		return errors.Join(fmt.Errorf("start simulator: %w", err), listener.Close())
	}
	return errors.Join(serveUntil(ctx, listener, s.Handler()), s.Close())
}

func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	served := make(chan error, 1) // Serve returns once
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}
