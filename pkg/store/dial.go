package store

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// silence is how long a server may say nothing on a connection that waits for
// it: well above what any call may take. When a call's time is over the driver
// asks the server to cancel and then waits for the server to say so; one that is
// frozen, or gone without a word, never does, and neither the call nor its
// connection would ever come back.
const silence = callTimeout + 10*time.Second

// dialer makes connections on which no read or write waits longer than silence.
type dialer struct{ silence time.Duration }

// Dial is there for the driver's interface; it calls DialContext.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return &boundConn{Conn: conn, silence: d.silence}, nil
}

// boundConn bounds each wait, unless somebody has set a deadline of their own.
type boundConn struct {
	net.Conn

	silence time.Duration
	theirs  atomic.Bool
}

func (c *boundConn) Read(p []byte) (int, error) {
	if !c.theirs.Load() {
		if err := c.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
			return 0, err //nolint:wrapcheck // a net.Conn's own error
		}
	}
	return c.Conn.Read(p) //nolint:wrapcheck // as above
}

func (c *boundConn) Write(p []byte) (int, error) {
	if !c.theirs.Load() {
		if err := c.SetWriteDeadline(time.Now().Add(c.silence)); err != nil {
			return 0, err //nolint:wrapcheck // as above
		}
	}
	return c.Conn.Write(p) //nolint:wrapcheck // as above
}

// SetDeadline is how the driver bounds the making of a connection.
func (c *boundConn) SetDeadline(t time.Time) error {
	c.theirs.Store(!t.IsZero())
	return c.Conn.SetDeadline(t) //nolint:wrapcheck // as above
}
