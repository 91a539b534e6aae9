package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/devstack"
	"github.com/fenflow/fenflow/pkg/testkit/provision"
)

// pageCommandTime bounds one command of a page.
const pageCommandTime = 3 * time.Minute

// step is one command of a page, with what the page says it prints.
type step struct {
	line    int
	command string
	prints  []string
}

// stepsOf reads the blocks marked console: a line that begins with "$ " is a
// command, and what follows is what it prints, line by line in that order; "…"
// stands for anything, and what is printed between is left out on the page.
func stepsOf(page string) []step {
	var steps []step
	inside := false
	for i, line := range strings.Split(page, "\n") {
		switch command, is := strings.CutPrefix(line, "$ "); {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case is:
			steps = append(steps, step{line: i + 1, command: command})
		case line != "" && line != "…":
			last := &steps[len(steps)-1]
			last.prints = append(last.prints, line)
		}
	}
	return steps
}

// matches looks for the lines of the page among those that were printed.
func (s step) matches(printed string) (missing string) {
	lines := strings.Split(printed, "\n")
	for _, want := range s.prints {
		shape := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(strings.Join(strings.Fields(want), " ")), "…", ".*") + "$")
		found := false
		for !found && len(lines) > 0 {
			found = shape.MatchString(strings.Join(strings.Fields(lines[0]), " "))
			lines = lines[1:]
		}
		if !found {
			return want
		}
	}
	return ""
}

// runPage runs the commands of a page of the manual, as it stands, as an operator's
// shell would: ID is the last id that was printed. Commands of the test's own are
// those of the machine that runs the roles, which is the test here.
func runPage(t *testing.T, stack *devstack.Stack, file, dir string, own map[string]func() error) {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	bin := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(bin, "fenflow")))
	postgres, err := provision.Postgres(t.Context(), t.Output())
	require.NoError(t, err)
	environment := append(os.Environ(), stack.Environment("console", "worker")...)
	environment = append(environment, "PATH="+strings.Join([]string{bin, postgres, os.Getenv("PATH")}, ":"), "FENFLOW_URL="+stack.ConsoleURL(), "FENFLOW_TOKEN="+stack.Token(),
		"FENFLOW_CONFIG="+stack.ConfigFile("worker"), "NO_COLOR=1", "USER=ada", "GORACE=atexit_sleep_ms=0")
	id := ""
	steps := stepsOf(string(raw))
	require.NotEmpty(t, steps)
	for _, s := range steps {
		if do, mine := own[s.command]; mine {
			require.NoError(t, do(), "%s:%d: $ %s", file, s.line, s.command)
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), pageCommandTime)
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", regexp.MustCompile(`\bID\b`).ReplaceAllString(s.command, id))
		cmd.Dir, cmd.Env = dir, environment
		out, err := cmd.CombinedOutput()
		cancel()
		require.NoError(t, err, "%s:%d: $ %s\n%s", file, s.line, s.command, out)
		require.Empty(t, s.matches(string(out)), "%s:%d: $ %s does not print this line; it prints:\n%s", file, s.line, s.command, out)
		if found := uuidShape.FindString(string(out)); found != "" {
			id = found
		}
	}
}
