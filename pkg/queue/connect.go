package queue

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/fenflow/fenflow/pkg/problem"
)

// parseURL reads a Redis address. What is wrong with it is not repeated: the
// library's own words hold parts of the address, and with it of the password.
func parseURL(redisURL string) (*redis.Options, error) {
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		return nil, problem.InvalidConfig("redis.url", "is not a Redis address, such as redis://user:password@host:6379/0 (rediss:// for TLS)")
	}
	options.ContextTimeoutEnabled = true // go-redis heeds no deadline otherwise
	return options, nil
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// dialUntil dials as the options say. When life ends, every connection that it
// made is closed and no new one is made.
//
// This is how a queue that stops gets away from a Redis that hangs. Closing the
// client instead would close the channel from which asynq 0.26 reads
// cancellations, and its subscriber crashes the process on that.
func dialUntil(life context.Context, o *redis.Options) dialFunc {
	plain := &net.Dialer{Timeout: o.DialTimeout}
	dial := plain.DialContext
	if o.TLSConfig != nil {
		// go-redis's own dialer ignores the context here.
		dial = (&tls.Dialer{NetDialer: plain, Config: o.TLSConfig}).DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, fmt.Errorf("reach Redis: %w", err)
		}
		return newLine(life, conn), nil
	}
}

// line is a connection that lasts no longer than its life.
type line struct {
	net.Conn
	forget func() bool
}

// socketLine lets go-redis look at the socket before each use, and so notice a
// server that has gone. A TLS connection has no such door.
type socketLine struct {
	*line
	syscall.Conn
}

func newLine(life context.Context, conn net.Conn) net.Conn {
	l := &line{Conn: conn, forget: context.AfterFunc(life, func() { _ = conn.Close() })} // an end by force has no farewell
	if socket, ok := conn.(syscall.Conn); ok {
		return socketLine{line: l, Conn: socket}
	}
	return l
}

func (l *line) Close() error {
	l.forget()
	return l.Conn.Close()
}
