package cli

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Deps are what the command line needs from the process around it.
type Deps struct {
	Stdin    io.Reader // somebody who can be asked; nil: nobody
	Pipe     io.Reader // stdin, for commands that read a file named -
	Stdout   io.Writer
	Stderr   io.Writer
	Lookup   func(string) (string, bool)
	Environ  []string
	Random   io.Reader        // of keys: crypto/rand.Reader
	Now      func() time.Time // nil: time.Now
	Terminal bool             // stdout is one: colours, and nothing that it would obey
	Build    boot.Build
	Migrator Migrator
	Tokens   Tokens
	Doctor   Doctor
	Console  func(args []string) int // runs the role; args are its flags
}

// Run executes one command line (without the program's name) and returns the
// exit code.
func Run(ctx context.Context, d Deps, args []string) int {
	c := &commandLine{Deps: d, json: wantsJSON(args)}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(""))
	root.SetOut(c.helpWriter())
	root.SetErr(d.Stderr)
	if cmd, err := root.ExecuteContextC(ctx); err != nil {
		c.json = c.json || wantsJSON(args) // a value that does not parse has unset it
		return c.fail(asUsage(cmd, err))
	}
	return c.exit
}

// commandLine is one run.
type commandLine struct {
	Deps
	json bool
	file string
	url  string
	set  map[string]string
	exit int

	jsonLines bool // with --json each document is one line
}

// wantsJSON looks for --json by itself, so that a command line that does not
// parse is answered in JSON too.
func wantsJSON(args []string) bool {
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) { // a shell asks about a line with --json
		return false
	}
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.ContainsFunc(args, func(arg string) bool {
		text, valued := strings.CutPrefix(arg, "--json=")
		on, err := strconv.ParseBool(text)
		return arg == "--json" || valued && (on || err != nil) // who writes --json=yes wants JSON, too
	})
}

// helpWriter keeps help off stdout where a program reads it.
func (c *commandLine) helpWriter() io.Writer {
	if c.json {
		return c.Stderr
	}
	return c.Stdout
}

func (c *commandLine) root() *cobra.Command {
	root := c.group("fenflow", "Operate fenflow: status, orders, refunds, dead letters, migrations, configuration, keys")
	root.Long = "fenflow operates a payment pipeline for WeChat Pay.\n\nMost commands ask a console: the one at " + urlVariable + " (else " + localConsole + "), with the token in\n" + tokenVariable + " or in the file " + tokenFileVariable + ".\n\nExit codes: 0 done, 1 internal error, 2 command line not understood, 3 configuration not usable,\n4 no such thing, 5 refused, 6 not allowed, 7 try again later, 8 migrations are pending."
	root.SilenceUsage, root.SilenceErrors = true, true
	flags := root.PersistentFlags()
	flags.StringVar(&c.file, "config", "", "configuration file (default: "+config.FileVariable+", else fenflow.yaml)")
	flags.StringToStringVar(&c.set, "set", nil, "override one setting, such as listen.admin=:9090")
	flags.BoolVar(&c.json, "json", c.json, "print one JSON document on stdout")
	root.AddCommand(c.status(), c.order(), c.account(), c.deadLetter(), c.replayArchived(), c.anomaly(), c.audit())
	root.AddCommand(c.subscriber(), c.wechat())
	root.AddCommand(c.merchant(), c.notification(), c.rejected())
	root.AddCommand(c.event(), c.doctor())
	root.AddCommand(c.refund())
	root.AddCommand(c.recover())
	root.AddCommand(c.console(), c.token())
	root.AddCommand(c.migrate(), c.config(), c.key(), c.explain(), c.health(), c.version())
	return root
}

// group is a command that only holds others.
func (c *commandLine) group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs}
	g.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 0:
			return problem.Newf(problem.Usage, "%q is not a command of %q%s", args[0], cmd.CommandPath(), suggestion(cmd, args[0]))
		case c.json:
			return problem.Newf(problem.Usage, "%q needs a command", cmd.CommandPath())
		}
		return cmd.Help()
	}
	g.AddCommand(commands...)
	return g
}

func suggestion(cmd *cobra.Command, name string) string {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return "; did you mean " + near[0] + "?"
	}
	return ""
}

// leaf is a command that does something. It returns its answer instead of
// printing it, so that there is one place that prints.
func (c *commandLine) leaf(use, short string, args cobra.PositionalArgs, do func(ctx context.Context, args []string) (answer, error)) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: func(cmd *cobra.Command, args []string) error {
		a, err := do(cmd.Context(), args)
		if err != nil {
			return err
		}
		c.exit = a.exit
		return c.print(a)
	}}
}

// asUsage: what is not one of our errors comes from the parser of the command
// line. What was not understood is explained by the command's own help.
func asUsage(cmd *cobra.Command, err error) error {
	var p *problem.Error
	if !errors.As(err, &p) {
		p = problem.New(problem.Usage, strings.ReplaceAll(err.Error(), "\n", " "))
		err = p
	}
	if p.Kind == problem.Usage && p.NextStep == "" {
		p.NextStep = "Run `" + cmd.CommandPath() + " --help`."
	}
	return err
}

func (c *commandLine) load(role config.Role) (config.Config, error) {
	return config.Load(config.Options{File: c.file, Flags: c.set, Lookup: c.Lookup, Environ: c.Environ, Role: role})
}
