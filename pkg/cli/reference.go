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
	asking, alone := split(root)
	fmt.Fprintf(&b, "These ask the operators' API at `--url`, else at `%s`, else at %s, with the token in `%s`\nor in the file `%s`: %s.\n\n", urlVariable, localConsole, tokenVariable, tokenFileVariable, asking)
	fmt.Fprintf(&b, "These work without a console, from configuration, files and what those name: %s.\n\n", alone)
	b.WriteString("With `--json`, stdout holds one JSON document: the API's own, unchanged (`--all` puts the rows of all pages into one),\nor `{\"error\": …}`, which holds the API's problem as `problem`. `event tail` and `order watch` print JSON Lines: one\ndocument on each line.\n\n")
	b.WriteString("Colours appear at a terminal only; `NO_COLOR` turns them off. `fenflow completion --help` tells how a shell completes commands and flags.\n\n")
	b.WriteString("## Flags of every command\n\n```\n" + root.PersistentFlags().FlagUsages() + "```\n\n## Commands\n")
	describe(&b, root)
	return b.String()
}

// split names the commands that ask a console, and those that do not: a group by its
// own name where all of it is alike.
func split(root *cobra.Command) (asking, alone string) {
	var with, without []string
	for _, cmd := range root.Commands() {
		if cmd.Hidden || cmd.Name() == "help" {
			continue
		}
		var asks, works []string
		for _, leaf := range leaves(cmd) {
			name := "`" + strings.TrimPrefix(leaf.CommandPath(), root.Name()+" ") + "`"
			if leaf.Flags().Lookup("url") != nil {
				asks = append(asks, name)
			} else {
				works = append(works, name)
			}
		}
		group := []string{"`" + cmd.Name() + "`"}
		switch {
		case len(works) == 0:
			with = append(with, group...)
		case len(asks) == 0:
			without = append(without, group...)
		default:
			with, without = append(with, asks...), append(without, works...)
		}
	}
	return strings.Join(with, ", "), strings.Join(without, ", ")
}

func leaves(cmd *cobra.Command) []*cobra.Command {
	if !cmd.HasSubCommands() {
		return []*cobra.Command{cmd}
	}
	var all []*cobra.Command
	for _, sub := range cmd.Commands() {
		all = append(all, leaves(sub)...)
	}
	return all
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
