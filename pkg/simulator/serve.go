package simulator

import (
	"context"
	"crypto/tls"
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
	return ServeTLS(ctx, listener, nil, o)
}

// ServeTLS is Serve with a second listener, which speaks TLS with the certificate
// that Init made; nil is none.
func ServeTLS(ctx context.Context, listener, secure net.Listener, o Options) error {
	listeners := []net.Listener{listener}
	if secure != nil {
		config, err := o.Merchant.tlsConfig()
		if err != nil {
			return errors.Join(err, listener.Close(), secure.Close())
		}
		config.NextProtos = []string{"h2", "http/1.1"}
		listeners = append(listeners, tls.NewListener(secure, config))
	}
	s, err := New(o)
	if err != nil {
		err = fmt.Errorf("start simulator: %w", err)
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
		return err
	}
	return errors.Join(serveAll(ctx, listeners, s.Handler()), s.Close())
}

// serveAll ends all when one ends.
func serveAll(ctx context.Context, listeners []net.Listener, handler http.Handler) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, len(listeners)) // each ends once
	for _, l := range listeners {
		go func() { ended <- serveUntil(ctx, l, handler) }()
	}
	var err error
	for range listeners {
		err = errors.Join(err, <-ended)
		stop()
	}
	return err
}

func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		// Calls that a fault keeps waiting end with the server.
		BaseContext: func(net.Listener) context.Context { return ctx },
		Handler:     handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
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
