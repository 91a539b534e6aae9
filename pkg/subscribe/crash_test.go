package subscribe

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The business system is killed at one step again and again, in the middle of
// four events at a time, and started anew. Events are told up to three times
// and in any order; the broker repeats what was not acknowledged.
func TestInbox_has_one_effect_per_order_under_kill_9(t *testing.T) {
	t.Parallel()
	const lives = 6
	steps := []life{
		{Step: StepReceive}, {Step: StepBegin}, {Step: StepRemember}, {Step: StepHandle},
		{Step: StepHandle, Racing: true}, // in the middle of the commit
		{Step: StepCommit}, {Step: StepAcknowledge},
	}
	for _, step := range steps {
		name := "after " + string(step.Step)
		if step.Racing {
			name = "during commit"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			facts := storyOf(150)
			w.publish(t, disordered(facts)...)
			step.NATS, step.DB = w.broker.URL(), w.dbURL
			for n := range lives {
				step.After = int64(10 + 7*n)
				requireKilled(t, start(t, step))
			}
			require.Less(t, w.remembered(t), len(facts), "it must die at work, not at rest")
			step.After = 0
			last := start(t, step)
			w.drained(t)
			last.end(t)
			w.requireOneEffect(t, facts)
		})
	}
}

// child is a business system as a process.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

func start(t *testing.T, l life) *child {
	t.Helper()
	text, err := json.Marshal(l)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	stdin, err := cmd.StdinPipe() // its end, also with this process, ends the child
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return &child{cmd: cmd, stdin: stdin}
}

func requireKilled(t *testing.T, c *child) {
	t.Helper()
	var exit *exec.ExitError
	require.ErrorAs(t, c.cmd.Wait(), &exit, "it must not end by itself")
	status, ok := exit.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	require.Equal(t, syscall.SIGKILL, status.Signal(), "%s", exit)
}

// end lets it stop in peace.
func (c *child) end(t *testing.T) {
	t.Helper()
	require.NoError(t, c.stdin.Close())
	require.NoError(t, c.cmd.Wait())
}
