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
	o := Options{Keep: true, Console: true, Shop: true, Log: stderr}
	cmd := &cobra.Command{
		Use: "up", Short: "Start everything and stay until Ctrl-C", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Speed <= 0 || o.RefundSpeed <= 0 {
				return errors.New("--speed and --refund-speed must be positive")
			}
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
	cmd.Flags().Float64Var(&o.Speed, "speed", 60, "divides the waits of the stand-in: repeats of notifications, the progress of refunds")
	cmd.Flags().Float64Var(&o.RefundSpeed, "refund-speed", 1, "divides fenflow's waits of refunds (a minute between two of one payment, and so on); 1 is as in production")
	return cmd
}
