package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/telemetry"
)

// Env is what a role is given.
type Env struct {
	Role     config.Role
	Config   config.Config // narrowed to the role
	Logger   *slog.Logger
	Registry *prometheus.Registry
	Health   *Health
	Build    Build
	Process  string          // another one in each process; names its connections
	Admin    string          // address of the admin port
	Reload   <-chan struct{} // one message for each SIGHUP, for config.Watcher
}

// Main is a role's work. It returns when ctx has ended and all is put down, or
// with what stopped it.
type Main func(ctx context.Context, env Env) error

// stopWithin is how long a role may take to put down its work; container
// orchestrators commonly kill after 30 seconds.
const stopWithin = 25 * time.Second

// Options are what the process around a role gives; tests give their own.
type Options struct {
	Role       config.Role
	Args       []string // flags of the role: --config FILE, --set key=value, --version
	Lookup     func(string) (string, bool)
	Environ    []string
	Stdout     io.Writer
	Stderr     io.Writer // logs
	Signals    <-chan os.Signal
	StopWithin time.Duration
}

// Run runs a role with the process's own flags, environment and signals, and
// returns the exit code. args are the flags, without the program's name.
func Run(role config.Role, args []string, main Main) int {
	signals := make(chan os.Signal, 4) // a few at once, never a flood
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	return RunWith(context.Background(), Options{
		Role: role, Args: args, Lookup: os.LookupEnv, Environ: os.Environ(),
		Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals,
	}, main)
}

// RunWith is Run with everything given.
func RunWith(ctx context.Context, o Options, main Main) int {
	if o.StopWithin <= 0 {
		o.StopWithin = stopWithin
	}
	flags, err := parseFlags(o.Role, o.Args, o.Stderr)
	switch {
	case errors.Is(err, errHelp):
		return problem.ExitOK
	case err != nil:
		return report(o.Stderr, err)
	case flags.version:
		_, _ = fmt.Fprintln(o.Stdout, ReadBuild())
		return problem.ExitOK
	}
	env, reload, err := prepare(o, flags)
	if err != nil {
		return report(o.Stderr, err)
	}
	return live(ctx, o, env, reload, main)
}

func prepare(o Options, flags flags) (Env, chan struct{}, error) {
	c, err := config.Load(config.Options{File: flags.config, Flags: flags.settings, Lookup: o.Lookup, Environ: o.Environ, Role: o.Role})
	if err != nil {
		return Env{}, nil, fmt.Errorf("load configuration: %w", err)
	}
	logger, err := telemetry.NewLogger(o.Stderr, telemetry.LogOptions{Level: c.Log.Level, Format: c.Log.Format})
	if err != nil {
		return Env{}, nil, problem.New(problem.Config, err.Error())
	}
	build := ReadBuild()
	reload := make(chan struct{}, 1) // SIGHUPs that come together count as one
	return Env{
		Role: o.Role, Config: c, Logger: logger.With("role", string(o.Role)),
		Registry: telemetry.NewRegistry(string(o.Role), build.Version),
		Health:   NewHealth(), Build: build, Process: newProcess(), Reload: reload,
	}, reload, nil
}

// live serves the admin port and runs the role until it ends or is told to.
func live(ctx context.Context, o Options, env Env, reload chan struct{}, main Main) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	admin, err := serveAdmin(ctx, env)
	if err != nil {
		return end(env, err)
	}
	env.Admin = admin.address()
	for _, n := range env.Config.Notices() {
		env.Logger.WarnContext(ctx, "configuration notice", "notice", n.String())
	}
	env.Logger.InfoContext(ctx, "role starts", "version", env.Build.Version, "admin", env.Admin, "config", env.Config.File())
	done := make(chan error, 1) // capacity 1: the role never waits for us to listen
	go func() { done <- main(ctx, env) }()
	err = supervise(ctx, o, env, reload, cancel, done)
	admin.stop()
	return end(env, err)
}

// errAskedTwice: a second signal means now.
var errAskedTwice = errors.New("asked to stop a second time: ended at once")

func supervise(ctx context.Context, o Options, env Env, reload chan struct{}, cancel context.CancelFunc, done <-chan error) error {
	stopping := ctx.Done()
	var late <-chan time.Time
	stop := func(why string) {
		env.Logger.Info("role stops", "because", why, "within", o.StopWithin.String())
		env.Health.Stop()
		cancel()
		late, stopping = time.After(o.StopWithin), nil
	}
	for {
		select {
		case err := <-done:
			if late != nil && errors.Is(err, context.Canceled) {
				return nil // told to stop, and stopped
			}
			return err
		case <-stopping:
			stop("context ended")
		case <-late:
			return fmt.Errorf("did not stop within %s: ended anyway", o.StopWithin)
		case s := <-o.Signals:
			switch {
			case s == syscall.SIGHUP:
				select {
				case reload <- struct{}{}:
				default: // one is waiting already
				}
			case late != nil:
				return errAskedTwice
			default:
				stop(s.String())
			}
		}
	}
}

// end writes what stopped the role and gives its exit code.
func end(env Env, err error) int {
	if err == nil {
		env.Logger.Info("role ended")
		return problem.ExitOK
	}
	row := problem.EntryOf(err)
	env.Logger.Error("role ended with an error", "code", row.Code, "next_step", problem.DocumentOf(err, "").NextStep, "error", err)
	return row.ExitCode
}

// report tells a person why the role did not even start.
func report(w io.Writer, err error) int {
	_, _ = fmt.Fprintln(w, problem.Text(err))
	return problem.ExitCodeOf(err)
}
