package console_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/console"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
)

const (
	soon  = 60 * time.Second
	often = 20 * time.Millisecond
)

type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

// role is a console as a process runs it.
type role struct {
	t       *testing.T
	said    *logs
	signals chan os.Signal
	exit    chan int
}

// start runs the role on a database; nothing but its address is configured.
func start(t *testing.T, database string, settings ...string) *role {
	t.Helper()
	r := &role{t: t, said: &logs{}, signals: make(chan os.Signal, 4), exit: make(chan int, 1)}
	environment := map[string]string{"FENFLOW_POSTGRES_URL": database, "FENFLOW_LISTEN_ADMIN": "127.0.0.1:0", "FENFLOW_LISTEN_CONSOLE": "127.0.0.1:0"}
	for i := 0; i < len(settings); i += 2 {
		environment[settings[i]] = settings[i+1]
	}
	go func() {
		r.exit <- boot.RunWith(t.Context(), boot.Options{
			Role: config.RoleConsole, Stdout: io.Discard, Stderr: r.said, Signals: r.signals,
			Lookup: func(name string) (string, bool) { v, ok := environment[name]; return v, ok },
		}, console.Main)
	}()
	return r
}

// address waits for the line of the log that names the listener.
func (r *role) address() string {
	r.t.Helper()
	return r.field("listening", "address")
}

func (r *role) field(message, name string) (value string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		for line := range strings.Lines(r.said.String()) {
			var entry map[string]any
			if json.Unmarshal([]byte(line), &entry) == nil && entry["msg"] == message {
				value = fmt.Sprint(entry[name])
				return true
			}
		}
		return false
	}, soon, often, "%s", r.said)
	return value
}

func (r *role) end() int {
	r.t.Helper()
	select {
	case code := <-r.exit:
		return code
	case <-time.After(soon):
		r.t.Fatalf("the role did not end: %s", r.said)
		return -1
	}
}

func get(t *testing.T, url, token string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(body)
}

func mint(t *testing.T, database string) string {
	t.Helper()
	books, err := store.Open(t.Context(), store.Config{URL: database, MaxConns: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, books.Close()) }()
	token, sum, err := operator.Mint(rand.Reader)
	require.NoError(t, err)
	_, err = books.CreateToken(t.Context(), pay.Token{Name: "watch", Role: pay.TokenRead, CreatedBy: "cli:test"}, sum)
	require.NoError(t, err)
	return token
}

func TestConsole_serves_operators_needs_no_broker_and_stops_when_told(t *testing.T) {
	t.Parallel()
	database := testkit.Database(t, "console", migrate)
	token := mint(t, database)
	r := start(t, database, "FENFLOW_LOG_LEVEL", "debug")
	api, admin := "http://"+r.address(), "http://"+r.field("role starts", "admin")
	status, body := get(t, api+"/operator/v1/status", token)
	require.Equal(t, http.StatusOK, status, body)
	status, _ = get(t, api+"/operator/v1/status", "fft_unknown")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Eventually(t, func() bool { status, body = get(t, admin+"/readyz", ""); return status == http.StatusOK }, soon, often, body)
	require.Contains(t, body, `"postgres"`)
	_, body = get(t, admin+"/metrics", "")
	require.Contains(t, body, `fenflow_operator_requests_total{route="/operator/v1/status",status="200"} 1`)
	require.Contains(t, body, `fenflow_operator_refusals_total{reason="unknown_token"} 1`)

	r.signals <- syscall.SIGTERM
	require.Zero(t, r.end(), r.said.String())
	require.NotContains(t, r.said.String(), token)
	_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(api, "http://"))
	require.Error(t, err, "the listener is closed")
}

func TestConsole_declines_to_run_on_an_older_schema(t *testing.T) {
	t.Parallel()
	r := start(t, testkit.Database(t, "", nil))
	require.Equal(t, problem.ExitPending, r.end())
	require.Contains(t, r.said.String(), "fenflow migrate up")
}

func TestConsole_says_which_setting_keeps_it_from_serving(t *testing.T) {
	t.Parallel()
	database := testkit.Database(t, "console", migrate)
	off := start(t, database, "FENFLOW_LISTEN_CONSOLE", "off")
	require.Equal(t, problem.ExitConfig, off.end())
	require.Contains(t, off.said.String(), "listen.console is off")
	elsewhere := start(t, database, "FENFLOW_LISTEN_CONSOLE", "192.0.2.1:1")
	require.Equal(t, problem.ExitConfig, elsewhere.end())
	require.Contains(t, elsewhere.said.String(), "listen.console: ")
}

func TestConsole_waits_for_a_database_that_is_away(t *testing.T) {
	t.Parallel()
	r := start(t, "postgres://u:s3cret@"+testkit.FreeAddr(t)+"/x?sslmode=disable")
	admin := "http://" + r.field("role starts", "admin")
	require.Eventually(t, func() bool {
		status, body := get(t, admin+"/readyz", "")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "open database")
	}, soon, often)
	r.signals <- syscall.SIGTERM
	require.Zero(t, r.end())
	require.NotContains(t, r.said.String(), "s3cret")
}

func TestConsole_holds_no_more_connections_than_allowed(t *testing.T) {
	t.Parallel()
	r := start(t, testkit.Database(t, "console", migrate), "FENFLOW_LISTEN_MAX_CONNECTIONS", "1")
	address := r.address()
	dial := func() net.Conn {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "GET /operator/v1/status HTTP/1.1\r\nHost: a\r\n\r\n")
		require.NoError(t, err)
		return conn
	}
	first := dial()
	line, err := bufio.NewReader(first).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "401")
	second := dial()
	require.NoError(t, second.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	_, err = second.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "it waits outside")
	require.NoError(t, first.Close())
	require.NoError(t, second.SetReadDeadline(time.Now().Add(soon)))
	line, err = bufio.NewReader(second).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "401")
}
