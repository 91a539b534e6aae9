package doctor_test

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/doctor"
)

// frozen takes connections and never says a word.
func frozen(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

func TestExamine_ends_in_time_when_everything_hangs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for variable, address := range map[string]string{
		"FENFLOW_POSTGRES_URL": "postgres://u:s3cret@HOST/x?sslmode=disable", "FENFLOW_REDIS_URL": "redis://:s3cret@HOST/0", "FENFLOW_NATS_URL": "nats://HOST",
		"FENFLOW_NATS_MONITOR_URLS": "http://HOST", "FENFLOW_WECHATPAY_BASE_URL": "https://HOST", "FENFLOW_LISTEN_ADMIN": "HOST", "FENFLOW_LISTEN_NOTIFY": "HOST",
		"FENFLOW_WECHAT_BASE_URL": "https://HOST", "FENFLOW_FRONT_URL": "https://HOST", "FENFLOW_LISTEN_FRONT": "HOST",
	} {
		s.env[variable] = strings.Replace(address, "HOST", frozen(t), 1)
	}
	f := s.examine() // within 20 s
	for _, check := range []string{"postgres.reachable", "redis.reachable", "nats.reachable", "nats.monitor", "wechatpay.tls", "wechat.tls"} {
		f.is(doctor.Fail, check, "")
	}
	f.is(doctor.OK, "configuration.file", "")
}
