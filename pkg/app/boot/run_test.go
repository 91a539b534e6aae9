package boot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/problem"
)

// patience bounds every wait of these tests; none is expected to take it.
const patience = 20 * time.Second

// role is a role under test, running until it is told to stop.
type role struct {
	signals chan os.Signal
	logs    *log
	env     boot.Env
	exit    chan int
}

type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// settings are enough for the console's role, the one with the fewest needs.
func settings() func(string) (string, bool) {
	values := map[string]string{
		"FENFLOW_LISTEN_ADMIN": "127.0.0.1:0", "FENFLOW_NATS_URL": "nats://127.0.0.1:1",
		"FENFLOW_POSTGRES_URL": "postgres://u:s3cret@127.0.0.1:1/x?sslmode=disable",
	}
	return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
}

// start runs main as a role and returns once it is called.
func start(t *testing.T, main boot.Main, change ...func(*boot.Options)) *role {
	t.Helper()
	r := &role{signals: make(chan os.Signal, 4), logs: &log{}, exit: make(chan int, 1)}
	o := boot.Options{Role: config.RoleConsole, Lookup: settings(), Stdout: io.Discard, Stderr: r.logs, Signals: r.signals}
	for _, c := range change {
		c(&o)
	}
	called := make(chan boot.Env, 1)
	go func() {
		r.exit <- boot.RunWith(t.Context(), o, func(ctx context.Context, env boot.Env) error {
			called <- env
			return main(ctx, env)
		})
	}()
	select {
	case r.env = <-called:
	case <-time.After(patience):
		t.Fatalf("the role did not start: %s", r.logs)
	}
	return r
}

func (r *role) wait(t *testing.T) int {
	t.Helper()
	select {
	case code := <-r.exit:
		return code
	case <-time.After(patience):
		t.Fatalf("the role did not end: %s", r.logs)
		return -1
	}
}

func (r *role) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + r.env.Admin + path)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func untilStopped(ctx context.Context, _ boot.Env) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestRun_ends_well_after_the_first_signal(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		r := start(t, untilStopped)
		r.signals <- signal
		require.Equal(t, 0, r.wait(t))
		require.Contains(t, r.logs.String(), `"msg":"role ended"`)
		resp, err := http.Get("http://" + r.env.Admin + "/livez")
		if err == nil {
			_ = resp.Body.Close()
		}
		require.Error(t, err, "the admin port is closed")
	}
}

func TestRun_ends_well_when_its_context_ends_or_its_work_is_done(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	o := boot.Options{Role: config.RoleConsole, Lookup: settings(), Stdout: io.Discard, Stderr: io.Discard}
	require.Equal(t, 0, boot.RunWith(ctx, o, func(ctx context.Context, env boot.Env) error {
		cancel()
		return untilStopped(ctx, env)
	}))
	require.Equal(t, 0, boot.RunWith(t.Context(), o, func(context.Context, boot.Env) error { return nil }))
}

func TestRun_gives_up_a_role_that_does_not_stop(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	stuck := func(context.Context, boot.Env) error { <-release; return nil }

	r := start(t, stuck, func(o *boot.Options) { o.StopWithin = 20 * time.Millisecond })
	r.signals <- syscall.SIGTERM
	require.Equal(t, problem.ExitInternal, r.wait(t))
	require.Contains(t, r.logs.String(), "did not stop within 20ms")

	r = start(t, stuck)
	r.signals <- syscall.SIGTERM
	r.signals <- syscall.SIGTERM
	require.Equal(t, problem.ExitInternal, r.wait(t))
	require.Contains(t, r.logs.String(), "second time")
}

func TestRun_turns_what_stopped_the_role_into_a_log_line_and_an_exit_code(t *testing.T) {
	t.Parallel()
	r := start(t, func(context.Context, boot.Env) error {
		return fmt.Errorf("check schema: %w", problem.New(problem.MigrationsPending, "2 of 3 migrations are pending"))
	})
	require.Equal(t, problem.ExitPending, r.wait(t))
	require.Contains(t, r.logs.String(), `"code":"FEN-1003"`)
	require.Contains(t, r.logs.String(), "fenflow migrate up")
	require.Equal(t, 1, strings.Count(r.logs.String(), "2 of 3 migrations are pending"), "told once")
}

func TestRun_hands_on_SIGHUP_and_keeps_running(t *testing.T) {
	t.Parallel()
	reloads := make(chan struct{})
	r := start(t, func(ctx context.Context, env boot.Env) error {
		<-env.Reload
		close(reloads)
		return untilStopped(ctx, env)
	})
	r.signals <- syscall.SIGHUP
	<-reloads
	r.signals <- syscall.SIGHUP
	r.signals <- syscall.SIGHUP // nobody takes them now: that blocks nothing
	r.signals <- syscall.SIGTERM
	require.Equal(t, 0, r.wait(t))
}

func TestRun_refuses_a_bad_configuration_before_anything_starts(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	never := func(context.Context, boot.Env) error { return errors.New("must not be called") }
	code := boot.RunWith(t.Context(), boot.Options{Role: config.RoleWorker, Lookup: settings(), Stderr: &stderr, Stdout: io.Discard, Args: []string{"--set", "log.level=loud"}}, never)
	require.Equal(t, problem.ExitConfig, code)
	require.Equal(t, `FEN-1001 configuration is not usable: 3 problems
  log.level: flag: is "loud", must be debug or info or warn or error
  merchants: is not set: worker needs it
  public_url: is not set: worker needs it (variable FENFLOW_PUBLIC_URL)
Next: Correct the keys named in the message; `+"`fenflow config check`"+` reports all problems at once.
`, stderr.String())

	stderr.Reset()
	code = boot.RunWith(t.Context(), boot.Options{Role: config.RoleConsole, Lookup: settings(), Stderr: &stderr, Stdout: io.Discard, Args: []string{"--set", "listen.admin=192.0.2.1:1"}}, never)
	require.Equal(t, problem.ExitConfig, code)
	require.Contains(t, stderr.String(), "listen.admin")
}

func TestRun_reads_its_flags(t *testing.T) {
	t.Parallel()
	never := func(context.Context, boot.Env) error { return errors.New("must not be called") }
	run := func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		code := boot.RunWith(t.Context(), boot.Options{Role: config.RoleConsole, Lookup: settings(), Stdout: &stdout, Stderr: &stderr, Args: args}, never)
		return code, stdout.String(), stderr.String()
	}
	code, stdout, _ := run("--version")
	require.Equal(t, 0, code)
	require.Contains(t, stdout, "fenflow ")
	code, _, stderr := run("--help")
	require.Equal(t, 0, code)
	require.Contains(t, stderr, "FENFLOW_CONFIG")
	for _, bad := range [][]string{{"--nonsense"}, {"extra"}, {"--set", "no-equals"}} {
		code, _, stderr = run(bad...)
		require.Equal(t, problem.ExitUsage, code)
		require.Contains(t, stderr, "FEN-1005")
	}
	code, _, stderr = run("--config", "/nowhere.yaml")
	require.Equal(t, problem.ExitConfig, code)
	require.Contains(t, stderr, "/nowhere.yaml")
}

func TestAdmin_tells_liveness_version_and_metrics(t *testing.T) {
	t.Parallel()
	r := start(t, untilStopped)
	status, body := r.get(t, "/livez")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"live":true}`, body)

	status, body = r.get(t, "/version")
	require.Equal(t, http.StatusOK, status)
	var version map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &version))
	require.Equal(t, "console", version["role"])
	require.NotEmpty(t, version["go"])

	status, body = r.get(t, "/metrics")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `fenflow_build_info{role="console"`)
	require.Contains(t, body, "go_goroutines")

	status, _ = r.get(t, "/nothing")
	require.Equal(t, http.StatusNotFound, status)
	r.signals <- syscall.SIGTERM
	require.Equal(t, 0, r.wait(t))
	require.NotContains(t, r.logs.String(), "s3cret")
}

func TestReadyz_names_what_fails_and_why(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	r := start(t, func(ctx context.Context, _ boot.Env) error {
		<-ctx.Done()
		<-stopping
		return nil
	})
	status, body := r.get(t, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"ready":false,"checks":[{"name":"starting","ok":false,"detail":"the role has not finished starting"}]}`, body)

	var mu sync.Mutex
	verdict := errors.New("sync_interval is not always: set it in nats.conf")
	r.env.Health.Add("nats", func(context.Context) error { return nil })
	r.env.Health.Add("durability", func(context.Context) error { mu.Lock(); defer mu.Unlock(); return verdict })
	status, body = r.get(t, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"ready":false,"checks":[{"name":"nats","ok":true},{"name":"durability","ok":false,"detail":"sync_interval is not always: set it in nats.conf"}]}`, body)

	mu.Lock()
	verdict = nil
	mu.Unlock()
	status, body = r.get(t, "/readyz")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"ready":true,"checks":[{"name":"nats","ok":true},{"name":"durability","ok":true}]}`, body)

	r.signals <- syscall.SIGTERM
	require.Eventually(t, func() bool { status, _ = r.get(t, "/readyz"); return status == http.StatusServiceUnavailable }, patience, time.Millisecond)
	_, body = r.get(t, "/readyz")
	require.Contains(t, body, `"stopping"`)
	close(stopping)
	require.Equal(t, 0, r.wait(t))
}
