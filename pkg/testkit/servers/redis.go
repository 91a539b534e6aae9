package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fenflow/fenflow/pkg/testkit/scratch"
)

// RedisOptions say where and how a Redis runs.
type RedisOptions struct {
	// Bin is the redis-server program; see provision.Redis.
	Bin string
	// Dir holds the append-only file and is kept; without it data lives in a
	// temporary folder until Close.
	Dir string
	// Port on 127.0.0.1; 0 picks a free one.
	Port int
	// Log gets the server's own log; nil drops it.
	Log io.Writer
}

// Redis is a private Redis server on loopback.
type Redis struct {
	options   RedisOptions
	temporary bool
	port      *scratch.Port
	child     *child
}

// StartRedis starts a server and returns once it answers.
func StartRedis(ctx context.Context, options RedisOptions) (*Redis, error) {
	if options.Bin == "" {
		return nil, errors.New("start Redis: Bin is not set")
	}
	r := &Redis{options: options, temporary: options.Dir == ""}
	if err := r.prepare(); err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start Redis: %w", err), r.Close())
	}
	return r, nil
}

func (r *Redis) prepare() error {
	var err error
	if r.options.Port != 0 {
		r.port = scratch.FixedPort(r.options.Port)
	} else if r.port, err = scratch.ReservePort(); err != nil {
		return err
	}
	if !r.temporary {
		return os.MkdirAll(r.options.Dir, 0o700)
	}
	r.options.Dir, err = os.MkdirTemp("", "fenflow-redis-")
	return err
}

// URL is the server's address.
func (r *Redis) URL() string { return "redis://" + r.port.Addr() + "/0" }

// Port is the server's port on 127.0.0.1; it stays through restarts.
func (r *Redis) Port() int { return r.port.Number }

// Pid is the server's process, 0 while it is stopped.
func (r *Redis) Pid() int {
	if r.child == nil || !r.child.running() {
		return 0
	}
	return r.child.pid()
}

// Stop shuts the server down cleanly and keeps its data.
func (r *Redis) Stop() error {
	if r.child == nil {
		return nil
	}
	return r.child.stop(syscall.SIGTERM)
}

// Kill ends the server with SIGKILL and keeps its data.
func (r *Redis) Kill() error {
	if r.child == nil {
		return nil
	}
	return r.child.stop()
}

// Restart stops the server if it runs and starts it with the same data and port.
func (r *Redis) Restart() error {
	if err := r.Stop(); err != nil {
		return fmt.Errorf("restart Redis: %w", err)
	}
	if err := r.start(context.Background()); err != nil {
		return fmt.Errorf("restart Redis: %w", err)
	}
	return nil
}

// Close stops the server for good and removes temporary data.
func (r *Redis) Close() error {
	err := r.Stop()
	if r.temporary {
		err = errors.Join(err, os.RemoveAll(r.options.Dir))
	}
	return errors.Join(err, r.port.Release())
}

func (r *Redis) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	// An evicted task would be a lost wake-up, so memory pressure must show as an error.
	cmd := exec.Command(r.options.Bin, "--bind", "127.0.0.1", "--port", strconv.Itoa(r.port.Number), //nolint:noctx // it lives until Stop
		"--dir", r.options.Dir, "--appendonly", "yes", "--appendfsync", "everysec",
		"--maxmemory-policy", "noeviction", "--save", "", "--daemonize", "no", "--logfile", "")
	cmd.Dir, cmd.Env = r.options.Dir, serverEnvironment()
	c, err := start(cmd, r.options.Log, nil, syscall.SIGKILL)
	if err != nil {
		return err
	}
	r.child = c
	return r.awaitReady(ctx)
}

// awaitReady asks until this very process answers: another program may have
// taken the port.
func (r *Redis) awaitReady(ctx context.Context) error {
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		if !r.child.running() {
			return r.child.earlyEnd()
		}
		if redisAnswers(ctx, r.port.Addr(), r.child.pid()) {
			return nil
		}
		select {
		case <-r.child.ended:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait until it is ready: %w: %s", ctx.Err(), r.child.words), r.child.stop())
		case <-poll.C:
		}
	}
}

func redisAnswers(ctx context.Context, addr string, pid int) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close() //nolint:errcheck // nothing was left unread that matters
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	// PING is refused while the append-only file loads; INFO names the process.
	if _, err := conn.Write([]byte("PING\r\nINFO server\r\nQUIT\r\n")); err != nil {
		return false
	}
	var answer strings.Builder
	_, _ = io.Copy(&answer, bufio.NewReader(conn))
	text := answer.String()
	return strings.HasPrefix(text, "+PONG") && strings.Contains(text, fmt.Sprintf("process_id:%d\r\n", pid))
}
