package servers_test

import (
	"io"
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/provision"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// tell sends inline commands and returns all that is answered.
func tell(t *testing.T, r *servers.Redis, commands string) string {
	t.Helper()
	address, err := url.Parse(r.URL())
	require.NoError(t, err)
	conn, err := net.Dial("tcp", address.Host)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte(commands + "\r\nQUIT\r\n"))
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	return string(answer)
}

func TestRedis_is_durable_and_keeps_its_data(t *testing.T) {
	t.Parallel()
	bin, err := provision.Redis(t.Context(), nil)
	require.NoError(t, err)
	r, err := servers.StartRedis(t.Context(), servers.RedisOptions{Bin: bin, Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })

	require.Contains(t, tell(t, r, "CONFIG GET appendonly"), "yes")
	require.Contains(t, tell(t, r, "CONFIG GET appendfsync"), "everysec")
	require.Contains(t, tell(t, r, "CONFIG GET maxmemory-policy"), "noeviction")
	require.Contains(t, tell(t, r, "CONFIG GET bind"), "127.0.0.1")

	address := r.URL()
	for _, interrupt := range []func() error{r.Restart, r.Stop, r.Kill} {
		require.Contains(t, tell(t, r, "INCR interruptions"), ":")
		before := tell(t, r, "GET interruptions")
		require.NoError(t, interrupt())
		if r.Pid() == 0 {
			require.NoError(t, r.Restart())
		}
		require.Equal(t, address, r.URL())
		require.Equal(t, before, tell(t, r, "GET interruptions"))
	}
}

func TestRedis_says_why_it_does_not_start(t *testing.T) {
	t.Parallel()
	bin, err := provision.Redis(t.Context(), nil)
	require.NoError(t, err)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, err = servers.StartRedis(t.Context(), servers.RedisOptions{Bin: bin, Dir: t.TempDir(), Port: taken.Addr().(*net.TCPAddr).Port})
	require.ErrorContains(t, err, "Address already in use")
}
