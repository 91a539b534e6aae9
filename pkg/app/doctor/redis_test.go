package doctor_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/doctor"
	"github.com/fenflow/fenflow/pkg/testkit"
)

// command has a Redis do one thing.
func command(t *testing.T, address, line string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte(line + "\r\n"))
	require.NoError(t, err)
	answer, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "+OK\r\n", answer, line)
}

func TestRedis_keeps_its_tasks_or_is_found(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.offline = true
	server := testkit.Redis(t)
	address := fmt.Sprintf("127.0.0.1:%d", server.Port())
	s.env["FENFLOW_REDIS_URL"] = server.URL()
	f := s.examine()
	f.is(doctor.OK, "redis.reachable", "", "version ")
	f.is(doctor.OK, "redis.policy", "")
	f.is(doctor.OK, "redis.persistence", "")

	command(t, address, "CONFIG SET maxmemory-policy allkeys-lru")
	command(t, address, "CONFIG SET appendonly no")
	f = s.examine()
	f.is(doctor.Fail, "redis.policy", "", "maxmemory-policy is allkeys-lru", "noeviction", "Nothing is lost without it")
	f.is(doctor.Warn, "redis.persistence", "", "no append-only file", "appendonly yes")

	command(t, address, "CONFIG SET requirepass s3cret")
	f = s.examine()
	f.is(doctor.Fail, "redis.reachable", "", "NOAUTH")
	f.is(doctor.Skipped, "redis.policy", "")
	s.env["FENFLOW_REDIS_URL"] = strings.Replace(server.URL(), "redis://", "redis://:s3cret-and-wrong@", 1)
	s.examine().is(doctor.Fail, "redis.reachable", "", "WRONGPASS")
	s.env["FENFLOW_REDIS_URL"] = strings.Replace(server.URL(), "redis://", "redis://:s3cret@", 1)
	s.examine().is(doctor.OK, "redis.reachable", "")
}

func TestRedis_is_not_needed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.offline = true
	s.examine().is(doctor.Fail, "redis.reachable", "", "connection refused", "Nothing is lost without it")
	s.edit("redis:\n    url:", "log:\n    level: info #")
	s.examine().is(doctor.Skipped, "redis.reachable", "", "redis.url is not set. Nothing is lost without it")
}
