package wechat

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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

// hears takes n lines off a process.
func (p *process) hears(t *testing.T, n int) (lines []string) {
	t.Helper()
	for range n {
		lines = append(lines, p.hear(t))
	}
	return lines
}

// Ten processes want both values at once. The answer comes when each has either a lease
// or somebody to wait for.
func TestAuthority_ten_processes_cause_one_call_each(t *testing.T) {
	t.Parallel()
	first, second := make(chan struct{}), make(chan struct{})
	g := newGateway(t, first, second)
	url, shelf := books(t)
	l := g.life(url)
	l.Lease = time.Minute // however busy the machine is, nobody loses one
	var all []*process
	for range 10 {
		all = append(all, startProcess(t, l))
	}
	ask := func(order string, kinds int, open chan struct{}) []string {
		for _, p := range all {
			p.tell(t, order)
		}
		leases := 0
		for _, p := range all {
			leases += strings.Count(strings.Join(p.hears(t, kinds), "\n"), "leases ")
		}
		require.Equal(t, kinds, leases)
		close(open)
		answer := all[0].hear(t)
		for _, p := range all[1:] {
			require.Equal(t, answer, p.hear(t))
		}
		return strings.Fields(answer)
	}
	got := ask(orderBoth, 2, first)
	require.Len(t, got, 2)
	require.Equal(t, g.token(0), got[0])
	require.NotEmpty(t, got[1])
	require.Equal(t, 1, g.calls(stableTokenPath))
	require.Equal(t, 1, g.calls("/cgi-bin/ticket/getticket"))
	for i, kind := range []string{KindAccessToken, KindJSAPITicket} {
		row, ok, err := shelf.Token(t.Context(), l.AppID, kind)
		require.NoError(t, err)
		require.True(t, ok)
		require.NotContains(t, string(row.Sealed), got[i], "the database cannot read it")
	}

	g.invalidate() // WeChat answers all of them with 40001 at once
	replaced := ask(orderMenu, 1, second)
	require.Equal(t, []string{g.token(1)}, replaced)
	require.NotEqual(t, got[0], replaced[0])
	require.Equal(t, 2, g.calls(stableTokenPath))
	require.Equal(t, 1, g.forcedSoFar())
	require.Equal(t, 20, g.calls("/cgi-bin/menu/get"), "each call was made once more")
	require.Equal(t, 1, g.calls("/cgi-bin/ticket/getticket"), "the ticket is still good")
}

func TestAuthority_takes_over_from_a_process_that_was_killed(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	g := newGateway(t, never)
	url, shelf := books(t)
	l := g.life(url)
	l.Lease = time.Second
	first, second := startProcess(t, l), startProcess(t, l)
	first.tell(t, orderToken)
	<-g.arrived
	require.NoError(t, first.cmd.Process.Signal(syscall.SIGKILL))
	second.tell(t, orderToken)
	require.Equal(t, g.token(0), second.hears(t, 2)[1], "WeChat gives the token that the first did not live to store")
	require.Equal(t, 2, g.calls(stableTokenPath))
	row, ok, err := shelf.Token(t.Context(), l.AppID, KindAccessToken)
	require.NoError(t, err)
	require.True(t, ok)
	require.EqualValues(t, 2, row.Fence)
}

// The token that a paused process was about to store is refused meanwhile, and another
// process has the next one.
func TestAuthority_lets_no_paused_process_overwrite(t *testing.T) {
	t.Parallel()
	late := make(chan struct{})
	g := newGateway(t, late)
	url, shelf := books(t)
	l := g.life(url)
	l.Lease = time.Second
	paused, other := startProcess(t, l), startProcess(t, l)
	paused.tell(t, orderToken)
	require.Equal(t, "leases "+KindAccessToken, paused.hear(t))
	<-g.arrived
	require.NoError(t, paused.cmd.Process.Signal(syscall.SIGSTOP))
	g.invalidate()
	other.tell(t, orderToken)
	newer := other.hears(t, 2)[1]
	require.Equal(t, g.token(1), newer)
	require.NotEqual(t, g.token(0), newer)
	before, ok, err := shelf.Token(t.Context(), l.AppID, KindAccessToken)
	require.NoError(t, err)
	require.True(t, ok)

	close(late) // the old token reaches the process that wakes up now
	require.NoError(t, paused.cmd.Process.Signal(syscall.SIGCONT))
	require.Equal(t, newer, paused.hear(t))
	after, _, err := shelf.Token(t.Context(), l.AppID, KindAccessToken)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.EqualValues(t, 2, after.Fence)
}
