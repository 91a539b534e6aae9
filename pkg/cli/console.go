package cli

import (
	"context"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/problem"
)

// console runs the console's role in the foreground. It reads its configuration
// by itself, as every role does.
func (c *commandLine) console() *cobra.Command {
	return c.leaf("console", "Serve operators at listen.console, in the foreground, until a signal", cobra.NoArgs, func(context.Context, []string) (answer, error) {
		if c.json {
			return answer{}, problem.New(problem.Usage, "the console runs until it is stopped, and has no document to print; log.format says how it logs")
		}
		var args []string
		if c.file != "" {
			args = append(args, "--config", c.file)
		}
		for _, key := range slices.Sorted(maps.Keys(c.set)) {
			args = append(args, "--set", key+"="+c.set[key])
		}
		return answer{exit: c.Console(args)}, nil
	})
}
