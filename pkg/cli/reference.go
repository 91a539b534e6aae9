package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Reference writes the reference page of all commands.
func Reference() string {
	c := &commandLine{Deps: Deps{Stdout: io.Discard, Stderr: io.Discard, Lookup: func(string) (string, bool) { return "", false }}}
	root := c.root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var b strings.Builder
	b.WriteString("<!-- Generated from pkg/cli by `make generate`; do not edit. -->\n# Command line\n\n")
	b.WriteString(root.Long + " [Error codes](errors.md) tells more.\n\n")
	fmt.Fprintf(&b, "Commands that take `--url` ask the operators' API: there, else at `%s`, else at %s,\n", urlVariable, localConsole)
	fmt.Fprintf(&b, "with the token in `%s` or in the file `%s`. All others work from configuration and files.\n\n", tokenVariable, tokenFileVariable)
	b.WriteString("With `--json`, stdout holds one JSON document: the API's own, unchanged (`--all` puts the rows of all pages into one),\n(`order watch` and `event tail` print one on each line), or `{\"error\": …}`, which holds the API's problem as `problem`.\n\n")
	b.WriteString("Colours appear at a terminal only; `NO_COLOR` turns them off. `fenflow completion --help` tells how a shell completes commands and flags.\n\n")
	b.WriteString("## Flags of every command\n\n```\n" + root.PersistentFlags().FlagUsages() + "```\n\n## Commands\n")
	describe(&b, root)
	return b.String()
}

func describe(b *strings.Builder, cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		if sub.HasSubCommands() {
			describe(b, sub)
			continue
		}
		text := sub.Short
		if sub.Long != "" {
			text = sub.Long
		}
		usage := sub.UseLine() + "\n"
		if flags := sub.LocalNonPersistentFlags().FlagUsages(); flags != "" {
			usage += "\n" + flags
		}
		fmt.Fprintf(b, "\n### %s\n\n%s.\n\n```\n%s```\n", sub.CommandPath(), strings.TrimSuffix(text, "."), usage)
	}
}
