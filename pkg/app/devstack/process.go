package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A role that ends on its own is started again, as an orchestrator would do;
// one that ends this often in a row without ever having run for a while is
// broken, and the stack says so.
const (
	restartPause  = 300 * time.Millisecond
	quickExit     = 5 * time.Second
	maxQuickExits = 5
	stopPatience  = 15 * time.Second
)

// process is one program of the stack, kept running until it is stopped.
type process struct {
	name    string
	command func(ctx context.Context) (*exec.Cmd, error)
	logPath string
	report  func(format string, args ...any)

	mu       sync.Mutex
	pid      int
	restarts int
	killed   bool // by kill: not a sign that it is broken

	cancel context.CancelFunc
	done   chan struct{}
	failed chan error // capacity 1: at most one verdict
}

// spawn starts a process and its supervisor.
func spawn(ctx context.Context, name, logPath string, report func(string, ...any), command func(context.Context) (*exec.Cmd, error)) (*process, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &process{name: name, command: command, logPath: logPath, report: report, cancel: cancel, done: make(chan struct{}), failed: make(chan error, 1)}
	cmd, log, err := p.start(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	go p.supervise(ctx, cmd, log)
	return p, nil
}

func (p *process) start(ctx context.Context) (*exec.Cmd, *os.File, error) {
	cmd, err := p.command(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open log of %s: %w", p.name, err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := startBound(cmd); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start %s: %w", p.name, err), log.Close())
	}
	p.mu.Lock()
	p.pid = cmd.Process.Pid
	p.mu.Unlock()
	return cmd, log, nil
}

// supervise waits for the process and starts it again until it is stopped.
func (p *process) supervise(ctx context.Context, cmd *exec.Cmd, log *os.File) {
	defer close(p.done)
	quick := 0
	for {
		began := time.Now()
		ended := p.wait(ctx, cmd)
		_ = log.Close() // nothing is lost: the child wrote to the file itself
		if ctx.Err() != nil {
			return
		}
		if quick++; time.Since(began) > quickExit || p.wasKilled() {
			quick = 0
		}
		if quick >= maxQuickExits {
			p.failed <- fmt.Errorf("%s ended %d times in a row (%w); the last lines of %s:\n%s", p.name, quick, ended, p.logPath, tail(p.logPath, 12))
			return
		}
		p.report("%s ended (%v), starting it again", p.name, ended)
		next, nextLog, err := p.again(ctx)
		if err != nil {
			if ctx.Err() == nil {
				p.failed <- err
			}
			return
		}
		cmd, log = next, nextLog
		p.mu.Lock()
		p.restarts++
		p.mu.Unlock()
	}
}

func (p *process) wasKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.killed
	p.killed = false
	return was
}

func (p *process) again(ctx context.Context) (*exec.Cmd, *os.File, error) {
	select {
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-time.After(restartPause):
		return p.start(ctx)
	}
}

// wait returns when the process has ended; when the stack stops it asks
// first and insists after a while.
func (p *process) wait(ctx context.Context, cmd *exec.Cmd) error {
	ended := make(chan error, 1) // capacity 1: the waiter never blocks
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			return errors.New("exit status 0")
		}
		return err
	case <-ctx.Done():
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended in between
	select {
	case err := <-ended:
		return err
	case <-time.After(stopPatience):
		_ = cmd.Process.Kill()
		return <-ended
	}
}

// stop ends the process for good.
func (p *process) stop() {
	p.cancel()
	<-p.done
}

// kill ends it the hard way; the supervisor starts it again.
func (p *process) kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s (pid %d): %w", p.name, p.pid, err)
	}
	p.killed = true
	return nil
}

func (p *process) status() (pid, restarts int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid, p.restarts
}

// tail reads the last lines of a log, for a person to see what went wrong.
func tail(path string, lines int) string {
	raw, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return err.Error()
	}
	start := len(raw)
	for n := 0; start > 0 && n <= lines; {
		start--
		if raw[start] == '\n' {
			n++
		}
	}
	return string(raw[start:])
}
