package servers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// tailBytes of a server's last words go into the error when it ends early.
	tailBytes = 2 << 10
	// pipeWait bounds the wait for grandchildren that still hold the output pipe.
	pipeWait = 10 * time.Second
	// stopPatience is how long each kind of shutdown may take.
	stopPatience = 20 * time.Second
)

// child is a server process that does not outlive this one.
type child struct {
	cmd   *exec.Cmd
	words *tail
	ended chan struct{} // closed once the process is reaped
}

// start runs the program; orphaned is the signal it gets when this process dies.
func start(cmd *exec.Cmd, log io.Writer, who *syscall.Credential, orphaned syscall.Signal) (*child, error) {
	c := &child{cmd: cmd, words: &tail{next: log}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = c.words, c.words, pipeWait
	cmd.SysProcAttr = attributes(who, orphaned)
	started := make(chan error)
	go c.live(started, orphaned)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return c, nil
}

// live starts the process and waits for its end on one locked thread: Linux
// sends the parent-death signal when the forking thread ends, and Go ends idle
// threads at will. Locked here, the thread lives exactly as long as the child.
func (c *child) live(started chan<- error, orphaned syscall.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := c.cmd.Start(); err != nil {
		started <- err
		return
	}
	unwatch := watch(c.cmd.Process.Pid, orphaned)
	started <- nil
	_ = c.cmd.Wait() // the exit state is read from ProcessState, the words from the tail
	unwatch()
	close(c.ended)
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) running() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// signal sends sig; a process that has already ended is no error.
func (c *child) signal(sig os.Signal) error {
	if err := c.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", c.cmd.Path, err)
	}
	return nil
}

// stop asks with each signal in turn, waits a while after each, and kills in
// the end.
func (c *child) stop(polite ...os.Signal) error {
	for _, sig := range append(polite, os.Kill) {
		if err := c.signal(sig); err != nil {
			return err
		}
		select {
		case <-c.ended:
			return nil
		case <-time.After(stopPatience):
		}
	}
	return fmt.Errorf("%s (pid %d) does not end, not even when killed", c.cmd.Path, c.pid())
}

// earlyEnd describes a process that ended before it was of use.
func (c *child) earlyEnd() error {
	return fmt.Errorf("%s ended at once (%s): %s", c.cmd.Path, c.cmd.ProcessState, c.words)
}

// tail passes a server's output on and keeps the end of it.
type tail struct {
	mu   sync.Mutex
	next io.Writer
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - tailBytes; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	if t.next != nil {
		// A log that cannot be written must not end the server: the pipe stays read.
		_, _ = t.next.Write(p)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.kept))
}
