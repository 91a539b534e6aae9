package ingest

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/testkit"
)

// quick are times that a test can wait out.
func quick() times {
	return times{header: 300 * time.Millisecond, read: 300 * time.Millisecond, write: 5 * time.Second, idle: 300 * time.Millisecond}
}

// listening serves a handler as the edge serves its own, and gives the address.
func listening(t *testing.T, c config.Listen, at times, h http.Handler) (address string, stop func()) {
	t.Helper()
	if c.MaxConnections == 0 {
		c.MaxConnections = 100
	}
	r := &role{Env: boot.Env{Config: config.Config{Listen: c}, Logger: slog.New(slog.DiscardHandler)}}
	ctx, cancel := context.WithCancel(context.Background())
	require.NoError(t, r.open(ctx, "listen.test", "127.0.0.1:0", at, true, h))
	done := make(chan error, 1)
	go func() { done <- r.serve(ctx) }()
	address = r.servers[0].listener.Addr().String()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return address, stop
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn
}

// reader answers with the length of the body, or 400 when it did not come whole.
func reader() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "cut", http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprint(w, len(raw))
	})
}

func TestServer_outlasts_hostile_clients(t *testing.T) {
	t.Parallel()
	address, _ := listening(t, config.Listen{}, quick(), reader())
	for name, row := range map[string]struct{ sent, status string }{
		"headers that never end":           {"POST / HTTP/1.1\r\nHost: a\r\nX-A: ", ""},
		"a body that never comes":          {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345", "400"},
		"a chunk that never comes":         {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc", "400"},
		"a connection that says nothing":   {"", ""},
		"headers of 1 MiB":                 {"POST / HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", "431"},
		"very many headers":                {"POST / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: b\r\n", 100_000) + "\r\n", "431"},
		"two lengths":                      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"},
		"length and chunks, smuggling":     {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		"a header with a line feed inside": {"POST / HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n", "400"},
		"no HTTP at all":                   {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"},
		"a bad escape in the path":         {"POST /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"chunks without a length":          {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, address)
			go func() { _, _ = io.WriteString(conn, row.sent) }() // the server may hang up before all is sent
			answer, err := io.ReadAll(conn)
			if row.status == "" {
				require.NotContains(t, string(answer), " 200 ")
				return
			}
			if len(answer) == 0 {
				require.Error(t, err, "cut off without an answer")
				require.Equal(t, "431", row.status, "only where the rest of the request collides with the answer")
				return
			}
			require.Contains(t, strings.SplitN(string(answer), "\r\n", 2)[0], " "+row.status)
		})
	}
}

func TestServer_takes_no_more_connections_than_allowed_and_the_next_when_one_leaves(t *testing.T) {
	t.Parallel()
	address, _ := listening(t, config.Listen{MaxConnections: 2}, times{header: 20 * time.Second, read: 20 * time.Second, write: 20 * time.Second, idle: 20 * time.Second}, reader())
	greet := func(conn net.Conn) {
		_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na")
		require.NoError(t, err)
	}
	answered := func(conn net.Conn) string {
		line, err := bufio.NewReader(conn).ReadString('\n')
		require.NoError(t, err)
		return line
	}
	first, second, third := dial(t, address), dial(t, address), dial(t, address)
	greet(first)
	require.Contains(t, answered(first), "200")
	greet(second)
	require.Contains(t, answered(second), "200")
	greet(third)
	require.NoError(t, third.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	_, err := third.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "it waits outside")
	require.NoError(t, first.Close())
	require.NoError(t, third.SetReadDeadline(time.Now().Add(20*time.Second)))
	require.Contains(t, answered(third), "200")
}

func TestServer_stops_though_all_places_are_taken_by_idle_connections(t *testing.T) {
	t.Parallel()
	address, stop := listening(t, config.Listen{MaxConnections: 1}, apiTimes(), reader())
	conn := dial(t, address)
	_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na")
	require.NoError(t, err)
	_, err = bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	stop()
}

func TestServer_speaks_TLS_and_takes_over_a_renewed_certificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, certFile, keyFile, 1)
	address, _ := listening(t, config.Listen{TLSCertFile: certFile, TLSKeyFile: keyFile}, apiTimes(), reader())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(client.CloseIdleConnections)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address, strings.NewReader("abc"))
	require.NoError(t, err)
	answer, err := client.Do(r)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)

	clock := testkit.NewClock(time.Now())
	c, err := newCertificate(certFile, keyFile, slog.New(slog.DiscardHandler), clock.Now)
	require.NoError(t, err)
	serial := func() int64 {
		pair, err := c.get(nil)
		require.NoError(t, err)
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		require.NoError(t, err)
		return leaf.SerialNumber.Int64()
	}
	writePair(t, certFile, keyFile, 2)
	require.EqualValues(t, 1, serial())
	clock.Advance(certificateAge)
	require.EqualValues(t, 2, serial())
	require.NoError(t, os.WriteFile(certFile, []byte("broken"), 0o600))
	clock.Advance(certificateAge)
	require.EqualValues(t, 2, serial(), "a broken file leaves the old one in use")
}

func TestServer_says_which_listener_cannot_open(t *testing.T) {
	t.Parallel()
	address, _ := listening(t, config.Listen{}, quick(), reader())
	r := &role{Env: boot.Env{Config: config.Config{Listen: config.Listen{MaxConnections: 1, TLSCertFile: "no.pem", TLSKeyFile: "no.key"}}, Logger: slog.New(slog.DiscardHandler)}}
	require.ErrorContains(t, r.open(t.Context(), "listen.api", address, quick(), false, reader()), "listen.api")
	require.ErrorContains(t, r.open(t.Context(), "listen.notify", "127.0.0.1:0", quick(), true, reader()), "listen.tls_cert_file")
}

func writePair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}
