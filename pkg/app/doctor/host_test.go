package doctor_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/doctor"
)

// occupy has something listen that answers every request like this.
func occupy(t *testing.T, status int, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestHost_ports_are_free_or_ours(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.offline = true
	f := s.examine()
	f.is(doctor.Skipped, "host.admin", "", "no role runs on this machine with this listen.admin")
	for _, name := range []string{"notify", "api", "console"} {
		f.is(doctor.OK, "host.listen", name, "is free: no role runs there now")
	}
	s.env["FENFLOW_LISTEN_ADMIN"] = occupy(t, 200, `{"ready":true,"checks":[{"name":"nats","ok":true}]}`)
	s.env["FENFLOW_LISTEN_NOTIFY"] = occupy(t, 404, `{"code":"FAIL","message":"there is nothing here"}`)
	s.env["FENFLOW_LISTEN_API"] = occupy(t, 401, `{"code":"FEN-3003"}`)
	s.env["FENFLOW_LISTEN_CONSOLE"] = "off"
	f = s.examine()
	f.is(doctor.OK, "host.admin", "", "the role that runs there is ready")
	f.is(doctor.OK, "host.listen", "notify", "a role listens at")
	f.is(doctor.OK, "host.listen", "api", "a role listens at")
}

func TestHost_a_role_that_is_not_ready_and_other_programs_are_told(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.offline = true
	s.env["FENFLOW_LISTEN_ADMIN"] = occupy(t, 503, `{"ready":false,"checks":[{"name":"nats","ok":false,"detail":"NATS is away"},{"name":"postgres","ok":true}]}`)
	s.env["FENFLOW_LISTEN_NOTIFY"] = occupy(t, 200, "<html>It works!</html>")
	f := s.examine()
	f.is(doctor.Fail, "host.admin", "", "is not ready: nats: NATS is away")
	f.is(doctor.Fail, "host.listen", "notify", "another program listens at", "it answers 200")
	s.env["FENFLOW_LISTEN_ADMIN"] = occupy(t, 200, "<html>It works!</html>")
	s.examine().is(doctor.Fail, "host.admin", "", "another program listens there")
}

func TestHost_a_listener_with_TLS_is_known_by_its_own_certificate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.offline = true
	certificate, key := s.file("platform/tls_cert.pem"), s.file("platform/tls_key.pem")
	s.env["FENFLOW_LISTEN_TLS_CERT_FILE"], s.env["FENFLOW_LISTEN_TLS_KEY_FILE"] = certificate, key
	s.examine().is(doctor.OK, "host.listen", "notify", "is free")
	for body, want := range map[string]doctor.Verdict{`{"code":"FAIL"}`: doctor.OK, "hello": doctor.Fail} {
		s.env["FENFLOW_LISTEN_NOTIFY"] = s.secured(certificate, key, body)
		s.examine().is(want, "host.listen", "notify")
	}
	s.now = func() time.Time { return time.Now().AddDate(20, 0, 0) }
	s.examine().is(doctor.Fail, "host.listen", "notify", "has expired", "WeChat Pay reaches nobody")
	s.now = time.Now
	s.env["FENFLOW_LISTEN_NOTIFY"] = newAuthority(t, "another").serve(year, "127.0.0.1", http.NotFoundHandler())[len("https://"):]
	s.examine().is(doctor.Fail, "host.listen", "notify", "is no role of fenflow's")
	require.NoError(t, os.WriteFile(certificate, []byte("x"), 0o600))
	s.examine().is(doctor.Fail, "host.listen", "notify", "load the certificate", "listen.tls_cert_file")
}

// secured answers over TLS, under the certificate in these files.
func (s *site) secured(certificate, key, body string) string {
	s.t.Helper()
	pair, err := tls.LoadX509KeyPair(certificate, key)
	require.NoError(s.t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	s.t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://")
}
