package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fenflow/fenflow/pkg/testkit/scratch"
)

const (
	// Superuser owns every database of a server that we started.
	Superuser = "fenflow"
	// startWithin bounds one start: recovery after a kill included.
	startWithin = 60 * time.Second
	readyPoll   = 5 * time.Millisecond
	startTries  = 5
)

// PostgresOptions say where and how a PostgreSQL runs.
type PostgresOptions struct {
	// BinDir holds postgres and initdb; see provision.Postgres.
	BinDir string
	// DataDir is kept and used again; a new cluster is made in it when it is
	// missing or empty. Without it data lives in a temporary folder until Close.
	DataDir string
	// Port on 127.0.0.1; 0 picks a free one.
	Port int
	// Log gets the server's own log; nil drops it.
	Log io.Writer
	// Settings add to or replace the durable defaults.
	Settings map[string]string
}

// Postgres is a private PostgreSQL server on loopback.
type Postgres struct {
	options PostgresOptions
	who     account
	data    string
	home    *home // of temporary data; nil when the caller chose the folder
	port    *scratch.Port
	child   *child
}

// StartPostgres starts a server and returns once it accepts connections.
func StartPostgres(ctx context.Context, options PostgresOptions) (*Postgres, error) {
	if options.BinDir == "" {
		return nil, errors.New("start PostgreSQL: BinDir is not set")
	}
	who, err := postgresAccount()
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	p := &Postgres{options: options, who: who, data: options.DataDir}
	if err := p.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), p.free())
	}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), p.Close())
	}
	return p, nil
}

// prepare finds a place for the data, fills it, and takes a port.
func (p *Postgres) prepare(ctx context.Context) error {
	var err error
	if p.data == "" {
		if p.home, err = newHome(ctx, p.who); err != nil {
			return fmt.Errorf("make a place for the data: %w", err)
		}
		p.data = filepath.Join(p.home.dir, "data")
	}
	if err := prepareCluster(ctx, p.options.BinDir, p.data, p.who, p.home == nil); err != nil {
		return err
	}
	if p.options.Port != 0 {
		p.port = scratch.FixedPort(p.options.Port)
		return nil
	}
	p.port, err = scratch.ReservePort()
	return err
}

// URL is the lib/pq address of a database. Whoever reaches 127.0.0.1 is
// trusted: the server holds test data only.
func (p *Postgres) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(Superuser), Host: p.port.Addr(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Port is the server's port on 127.0.0.1; it stays through restarts.
func (p *Postgres) Port() int { return p.port.Number }

// DataDir is the cluster's folder.
func (p *Postgres) DataDir() string { return p.data }

// Pid is the server's process, 0 while it is stopped.
func (p *Postgres) Pid() int {
	if p.child == nil || !p.child.running() {
		return 0
	}
	return p.child.pid()
}

// Stop shuts the server down cleanly and keeps its data; connections are cut.
func (p *Postgres) Stop() error {
	if p.child == nil {
		return nil
	}
	// SIGINT is the fast shutdown, SIGQUIT the immediate one (PostgreSQL manual, "Shutting Down the Server").
	return p.child.stop(syscall.SIGINT, syscall.SIGQUIT)
}

// Kill ends the server and its sessions with SIGKILL, as a crash would, and
// keeps its data. The server process is halted first, so that it neither
// starts new sessions nor notices the end of old ones.
func (p *Postgres) Kill() error {
	if p.child == nil || !p.child.running() {
		return nil
	}
	if err := p.child.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for _, session := range offspring(p.child.pid()) {
		_ = syscall.Kill(session, syscall.SIGKILL) // it may have ended by itself
	}
	return p.child.stop()
}

// Restart stops the server if it runs and starts it with the same data and port.
func (p *Postgres) Restart() error {
	if err := p.Stop(); err != nil {
		return fmt.Errorf("restart PostgreSQL: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	if err := p.start(ctx); err != nil {
		return fmt.Errorf("restart PostgreSQL: %w", err)
	}
	return nil
}

// Close stops the server for good and removes temporary data.
func (p *Postgres) Close() error {
	if p.home == nil || p.child == nil {
		return errors.Join(p.Stop(), p.free())
	}
	// Nobody reads temporary data again: the immediate shutdown does not write it out.
	return errors.Join(p.child.stop(syscall.SIGQUIT), p.free())
}

func (p *Postgres) free() error {
	var err error
	if p.home != nil {
		err = p.home.remove()
	}
	if p.port != nil {
		err = errors.Join(err, p.port.Release())
	}
	return err
}

// start tries a few times, because another program may hold the port for a
// moment and killed sessions may still hold the old shared memory.
func (p *Postgres) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var err error
	for range startTries {
		if err = p.startOnce(ctx); err == nil || !passing(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
	return err
}

func passing(err error) bool {
	text := err.Error()
	return strings.Contains(text, "Address already in use") || strings.Contains(text, "pre-existing shared memory block")
}

func (p *Postgres) startOnce(ctx context.Context) error {
	if err := writeSettings(p.data, p.port.Number, p.options.Settings); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(p.options.BinDir, "postgres"), "-D", p.data) //nolint:noctx // it lives until Stop, not until the end of a context
	cmd.Dir, cmd.Env = p.data, serverEnvironment()
	// SIGQUIT has the server end its sessions at once, which SIGKILL would not.
	c, err := start(cmd, p.options.Log, p.who.credential(), syscall.SIGQUIT)
	if err != nil {
		return err
	}
	p.child = c
	return p.awaitReady(ctx)
}

// awaitReady watches postmaster.pid: its first line is the process, its eighth
// says "ready" once connections are accepted; pg_ctl waits the same way.
func (p *Postgres) awaitReady(ctx context.Context) error {
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		text, err := os.ReadFile(filepath.Join(p.data, "postmaster.pid"))
		if err == nil && isReady(string(text), p.child.pid()) {
			return nil
		}
		select {
		case <-p.child.ended:
			return p.child.earlyEnd()
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait until it is ready: %w: %s", ctx.Err(), p.child.words), p.child.stop())
		case <-poll.C:
		}
	}
}

func isReady(pidFile string, pid int) bool {
	lines := strings.Split(pidFile, "\n")
	return len(lines) >= 8 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

// serverEnvironment leaves out the caller's PG* and locale variables.
func serverEnvironment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}
