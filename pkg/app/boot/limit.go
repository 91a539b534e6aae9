package boot

import (
	"net"
	"sync"
)

// Limit lets a listener have no more than so many open connections at a time;
// the next ones wait in the kernel's queue, and give up there by themselves.
func Limit(l net.Listener, most int) net.Listener {
	return &limited{Listener: l, room: make(chan struct{}, max(most, 1)), closed: make(chan struct{})}
}

type limited struct {
	net.Listener

	room   chan struct{} // one token per open connection
	closed chan struct{}
	once   sync.Once
}

// Accept waits for room before it takes the next connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err //nolint:wrapcheck // net/http looks at the very error
	}
	return &counted{Conn: conn, leave: func() { <-l.room }}, nil
}

// Close also wakes whoever waits for room.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close() //nolint:wrapcheck // as above
}

// counted gives its place back when it is closed, once.
type counted struct {
	net.Conn

	once  sync.Once
	leave func()
}

// Close frees the place.
func (c *counted) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close() //nolint:wrapcheck // as above
}
