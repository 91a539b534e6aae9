package store

import (
	"context"
	"database/sql"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// frozen is a server that accepts connections and never says a word.
func frozen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func TestDialer_does_not_wait_for_a_frozen_server_for_ever(t *testing.T) {
	t.Parallel()
	at := frozen(t).Addr().String()
	conn, err := dialer{silence: 20 * time.Millisecond}.DialContext(t.Context(), "tcp", at)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "each wait has its own end")

	began := time.Now()
	require.NoError(t, conn.SetDeadline(began.Add(100*time.Millisecond)))
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond, "somebody else's deadline counts")
	require.NoError(t, conn.SetDeadline(time.Time{}))
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "and ours again after it")
}

// A call whose context ends waits for the server no longer than silence.
func TestDialer_ends_a_call_to_a_frozen_server(t *testing.T) {
	t.Parallel()
	connector, err := newConnector("postgres://u@"+frozen(t).Addr().String()+"/db?sslmode=disable", "")
	require.NoError(t, err)
	connector.Dialer(dialer{silence: 50 * time.Millisecond})
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	require.Error(t, db.PingContext(context.WithoutCancel(t.Context())))
}
