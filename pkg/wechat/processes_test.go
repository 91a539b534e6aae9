package wechat

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit"
)

// mint is the platform of these tests: it counts the calls for a token, gives
// each another one, and can hold an answer back.
type mint struct {
	*httptest.Server
	mu      sync.Mutex
	calls   int
	forced  int
	refused string          // this token is not taken
	holding []chan struct{} // the nth call waits for the nth channel
	arrived chan int
}

func newMint(t *testing.T, holding ...chan struct{}) *mint {
	t.Helper()
	m := &mint{holding: holding, arrived: make(chan int, 100)}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *mint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/cgi-bin/menu/get" {
		m.menu(w, r.URL.Query().Get("access_token"))
		return
	}
	var asked struct {
		Force bool `json:"force_refresh"`
	}
	_ = json.NewDecoder(r.Body).Decode(&asked)
	m.mu.Lock()
	m.calls++
	n := m.calls
	if asked.Force {
		m.forced++
	}
	m.mu.Unlock()
	m.arrived <- n
	if n <= len(m.holding) {
		<-m.holding[n-1]
	}
	_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":7200}`, n)
}

func (m *mint) menu(w io.Writer, token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if token == m.refused {
		_, _ = io.WriteString(w, `{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest"}`)
		return
	}
	_, _ = io.WriteString(w, `{"menu":{"button":[]}}`)
}

func (m *mint) refuse(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = token
}

func (m *mint) counted() (calls, forced int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls, m.forced
}

// process is a worker as a process of its own.
type process struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

func startProcess(t *testing.T, l life) *process {
	t.Helper()
	text, err := json.Marshal(l)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p := &process{cmd: cmd, in: in, out: bufio.NewReader(out)}
	require.Equal(t, "ready", p.hear(t))
	return p
}

func (p *process) tell(t *testing.T, order string) {
	t.Helper()
	_, err := io.WriteString(p.in, order+"\n")
	require.NoError(t, err)
}

func (p *process) hear(t *testing.T) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	require.NoError(t, err, "the process ended")
	return strings.TrimSpace(line)
}

func TestAuthority_ten_processes_cause_one_call(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	m := newMint(t, gate)
	url := testkit.Database(t, "", nil)
	openShelf(t, url)
	var all []*process
	for range 10 {
		all = append(all, startProcess(t, life{DB: url, Platform: m.URL, Lease: 10 * time.Second}))
	}
	ask := func(order, want string) {
		for _, p := range all {
			p.tell(t, order)
		}
		for _, p := range all {
			require.Equal(t, want, p.hear(t))
		}
	}
	go func() { // the one call is answered while the others wait
		<-m.arrived
		<-time.After(300 * time.Millisecond)
		close(gate)
	}()
	ask("token", "token-1")
	calls, _ := m.counted()
	require.Equal(t, 1, calls)

	m.refuse("token-1") // and a token that is refused everywhere is replaced once
	ask("do", "token-2")
	calls, forced := m.counted()
	require.Equal(t, 2, calls)
	require.Equal(t, 1, forced)
}

func TestAuthority_takes_over_from_a_process_that_was_killed(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	m := newMint(t, never)
	t.Cleanup(func() { close(never) }) // before the server closes
	url := testkit.Database(t, "", nil)
	openShelf(t, url)
	l := life{DB: url, Platform: m.URL, Lease: 2 * time.Second}
	first, second := startProcess(t, l), startProcess(t, l)
	first.tell(t, "token")
	require.Equal(t, 1, <-m.arrived)
	require.NoError(t, first.cmd.Process.Signal(syscall.SIGKILL))
	second.tell(t, "token")
	require.Equal(t, "token-2", second.hear(t))
	calls, _ := m.counted()
	require.Equal(t, 2, calls)
}

func TestAuthority_lets_no_paused_process_overwrite(t *testing.T) {
	t.Parallel()
	late := make(chan struct{})
	m := newMint(t, late)
	url := testkit.Database(t, "", nil)
	shelf := openShelf(t, url)
	l := life{DB: url, Platform: m.URL, Lease: 2 * time.Second}
	paused, other := startProcess(t, l), startProcess(t, l)
	paused.tell(t, "token")
	require.Equal(t, 1, <-m.arrived)
	require.NoError(t, paused.cmd.Process.Signal(syscall.SIGSTOP))
	other.tell(t, "token")
	require.Equal(t, "token-2", other.hear(t))
	before, ok, err := shelf.Token(t.Context(), testAppID, KindAccessToken)
	require.NoError(t, err)
	require.True(t, ok)

	close(late) // token-1 reaches the process that wakes up now
	require.NoError(t, paused.cmd.Process.Signal(syscall.SIGCONT))
	require.Equal(t, "token-2", paused.hear(t))
	after, _, err := shelf.Token(t.Context(), testAppID, KindAccessToken)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.EqualValues(t, 2, after.Fence)
}
