package testkit

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/provision"
	"github.com/fenflow/fenflow/pkg/testkit/scratch"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// setUpWithin bounds finding, installing and starting a server: an
// installation over a slow line takes minutes.
const setUpWithin = 10 * time.Minute

// FreeAddr is a free 127.0.0.1:port that no other process of ours is given
// until the test ends.
func FreeAddr(tb testing.TB) string {
	tb.Helper()
	port, err := scratch.ReservePort()
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, port.Release()) })
	return port.Addr()
}

// NATS is a broker of the test's own: JetStream, an fsync per message, its
// streams in the test's temporary folder.
func NATS(tb testing.TB, change ...func(*servers.NATSOptions)) *servers.NATS {
	tb.Helper()
	options := servers.NATSOptions{StoreDir: tb.TempDir(), Log: logOf(tb)}
	for _, c := range change {
		c(&options)
	}
	broker, err := servers.StartNATS(options)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, broker.Close()) })
	return broker
}

// Redis is a server of the test's own.
func Redis(tb testing.TB) *servers.Redis {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setUpWithin)
	defer cancel()
	bin, err := provision.Redis(ctx, logOf(tb))
	require.NoError(tb, err)
	redis, err := servers.StartRedis(ctx, servers.RedisOptions{Bin: bin, Dir: tb.TempDir()})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, redis.Close()) })
	return redis
}

// logOf writes into the test's log until the test ends.
func logOf(tb testing.TB) *testLog {
	tb.Helper()
	l := &testLog{tb: tb}
	tb.Cleanup(l.close)
	return l
}

func trimmed(p []byte) string { return strings.TrimRight(string(p), "\n") }
