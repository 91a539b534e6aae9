package servers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/provision"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// hostVariable makes this test binary a host: it starts the servers, tells
// about them on standard output, and waits to be ended.
const hostVariable = "FENFLOW_TESTKIT_HOST"

func TestMain(m *testing.M) {
	if os.Getenv(hostVariable) == "" {
		os.Exit(m.Run())
	}
	if err := host(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// hosted is what a host tells.
type hosted struct {
	Postgres, Redis int
	URL, Data       string
}

func host(ctx context.Context) error {
	binDir, err := provision.Postgres(ctx, nil)
	if err != nil {
		return err
	}
	postgres, err := servers.StartPostgres(ctx, servers.PostgresOptions{BinDir: binDir})
	if err != nil {
		return err
	}
	bin, err := provision.Redis(ctx, nil)
	if err != nil {
		return err
	}
	redis, err := servers.StartRedis(ctx, servers.RedisOptions{Bin: bin})
	if err != nil {
		return err
	}
	told := hosted{Postgres: postgres.Pid(), Redis: redis.Pid(), URL: postgres.URL("postgres"), Data: postgres.DataDir()}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if err := redis.Close(); err != nil {
		return err
	}
	return postgres.Close()
}

// runningHost is a host process that a test may end in its own way.
type runningHost struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

func startHost(t *testing.T, environment ...string) *runningHost {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), hostVariable+"=yes"), environment...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	h := &runningHost{cmd: cmd, stdin: stdin, out: bufio.NewReader(stdout)}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return h
}

func (h *runningHost) told(t *testing.T) hosted {
	t.Helper()
	line, err := h.out.ReadBytes('\n')
	require.NoError(t, err, "the host ended before its servers were ready")
	var told hosted
	require.NoError(t, json.Unmarshal(line, &told))
	return told
}

// end lets the host close its servers.
func (h *runningHost) end(t *testing.T) {
	t.Helper()
	require.NoError(t, h.stdin.Close())
	require.NoError(t, h.cmd.Wait())
}

// openTempDir is a temporary folder that every account can reach, unlike t.TempDir().
func openTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "fenflow-test-") //nolint:usetesting // t.TempDir lies below a folder that only its owner may pass
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}
