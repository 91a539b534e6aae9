package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Role is one program that the stack starts as a process of its own. It
// returns its exit code.
type Role func(ctx context.Context, args []string) int

// Main reads the command line and returns the exit code: 0 when all went
// well, 1 when a run broke a promise or failed, 2 when the command line is wrong.
func Main(args []string, roles map[string]Role, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 1 && args[0] == "role" {
		return runRole(ctx, roles, args[1], args[2:], stderr)
	}
	exit := 2
	root := &cobra.Command{Use: "devstack", Short: "All of fenflow on this machine, without Docker", SilenceUsage: true, SilenceErrors: true}
	root.SetArgs(args)
	root.SetOut(stderr)
	root.SetErr(stderr)
	document := &counter{next: stdout}
	root.AddCommand(upCommand(stderr, &exit), demoCommand(document, stderr, &exit))
	if err := root.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(stderr, "devstack:", err)
		if document.written == 0 && slices.ContainsFunc(args, wantsJSON) { // a flag was wrong
			_ = Report{Error: err.Error()}.writeJSON(stdout) // the exit code says it too
		}
		return max(exit, 1)
	}
	return 0 // also of help
}

// wantsJSON knows --json and --json=true, also where the rest does not parse.
func wantsJSON(arg string) bool {
	return arg == "--json" || strings.HasPrefix(arg, "--json=") && arg != "--json=false"
}

// counter knows whether anything was written.
type counter struct {
	next    io.Writer
	written int
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.next.Write(p)
	c.written += n
	return n, err
}

func runRole(ctx context.Context, roles map[string]Role, name string, args []string, stderr io.Writer) int {
	role, ok := roles[name]
	if !ok {
		_, _ = fmt.Fprintf(stderr, "devstack: no role is called %q\n", name)
		return 2
	}
	return role(ctx, args)
}

func upCommand(stderr io.Writer, exit *int) *cobra.Command {
	o := Options{Keep: true, Log: stderr}
	cmd := &cobra.Command{
		Use: "up", Short: "Start everything and stay until Ctrl-C", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			*exit = 1
			s, err := Start(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer s.Stop()
			s.describe()
			if err := s.Failed(cmd.Context()); err != nil {
				return err
			}
			s.say("stopping")
			*exit = 0
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Dir, "dir", filepath.Join(os.TempDir(), fmt.Sprintf("fenflow-devstack-%d", os.Getuid())), "where the stack keeps its data; kept between runs")
	cmd.Flags().BoolVar(&o.FreePort, "free-ports", false, "take free ports instead of the documented ones")
	cmd.Flags().Float64Var(&o.Speed, "speed", 60, "how much faster the stand-in repeats notifications than WeChat Pay does")
	return cmd
}

// demoPatience is how long a demo waits for its last event: several rounds of
// the stand-in's compressed retry schedule.
const demoPatience = 90 * time.Second

func demoCommand(stdout, stderr io.Writer, exit *int) *cobra.Command {
	o := DemoOptions{Patience: demoPatience}
	asJSON := false
	cmd := &cobra.Command{
		Use: "demo", Short: "Place, pay and settle orders on a throw-away stack, and count", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var report Report
			err := o.check()
			if err == nil {
				*exit = 1
				report, err = demoRun(cmd.Context(), o, stderr)
				report.writeTable(stderr)
			}
			if err != nil {
				report.Error = err.Error()
			}
			if asJSON {
				if err := report.writeJSON(stdout); err != nil {
					return err
				}
			}
			if !report.Good() {
				return errors.New(report.verdict())
			}
			*exit = 0
			return nil
		},
	}
	cmd.Flags().IntVar(&o.Orders, "orders", 1000, "orders to place and pay")
	cmd.Flags().IntVar(&o.Duplicates, "duplicates", 2, "extra deliveries of each notification")
	cmd.Flags().IntVar(&o.Forged, "forged", 100, "forged notifications in the whole run")
	cmd.Flags().DurationVar(&o.PayWithin, "pay-within", 3*time.Second, "payments are spread at random over this time after their prepay")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document on stdout and nothing else")
	return cmd
}

func (o DemoOptions) check() error {
	switch {
	case o.Orders < 1:
		return fmt.Errorf("--orders is %d: place at least one", o.Orders)
	case o.Duplicates < 0, o.Forged < 0, o.PayWithin < 0:
		return errors.New("--duplicates, --forged and --pay-within cannot be negative")
	}
	return nil
}

// demoRun runs a demo on a stack of its own that leaves nothing behind.
func demoRun(ctx context.Context, o DemoOptions, stderr io.Writer) (Report, error) {
	dir, err := os.MkdirTemp("", "fenflow-demo-")
	if err != nil {
		return Report{}, fmt.Errorf("make a directory for the demo: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover is the system's to clean
	s, err := Start(ctx, Options{Dir: dir, FreePort: true, Speed: demoSpeed, Log: stderr})
	if err != nil {
		return Report{}, fmt.Errorf("start the stack: %w", err)
	}
	defer s.Stop()
	bar := newProgress(stderr, o.Orders)
	o.Progress = bar
	report, err := RunDemo(ctx, s, o)
	bar.stop()
	if err != nil || !report.Good() {
		s.keepLogs(dir)
	}
	return report, err
}

// demoSpeed makes the platform's first retry come after a quarter of a second
// instead of 15, so that a run with restarts stays short.
const demoSpeed = 60
