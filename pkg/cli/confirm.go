package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/problem"
)

// confirmed asks somebody at the terminal, and takes nothing but a yes for one. Where
// there is nobody, alone says what that means.
func (c *commandLine) confirmed(ctx context.Context, question, alone string) (bool, error) {
	nobody := &problem.Error{Kind: problem.Usage, Detail: alone, NextStep: "Run it at a terminal, or say --yes."}
	if c.Stdin == nil {
		return false, nobody
	}
	_, _ = io.WriteString(c.Stderr, question+" [y/N] ") // nobody is left to tell
	type reply struct {
		line string
		err  error
	}
	said := make(chan reply, 1) // whoever answers too late keeps nobody
	go func() {
		line, err := bufio.NewReader(c.Stdin).ReadString('\n')
		said <- reply{line, err}
	}()
	select {
	case <-ctx.Done():
		return false, nil
	case r := <-said:
		if errors.Is(r.err, io.EOF) && r.line == "" {
			return false, nobody
		}
		word := strings.ToLower(strings.TrimSpace(r.line))
		return word == "y" || word == "yes", nil
	}
}

// sure makes sure that what a command is about to do is meant: what says it as
// a sentence begins, such as "Give back 8.80 CNY".
func (c *commandLine) sure(ctx context.Context, what string, yes bool) (bool, error) {
	if yes {
		return true, nil
	}
	return c.confirmed(ctx, plain(what)+"?", plain(what)+": there is nobody to ask whether that is meant")
}

// declined is the answer of a command that was not meant.
func declined() answer {
	return answer{document: map[string]bool{"done": false}, text: "Nothing was done.\n", exit: problem.ExitRefused}
}

// because adds the flag that every act has.
func because(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why; it goes into the audit log")
	// It fails only where the flag is not there.
	_ = cmd.MarkFlagRequired("reason")
}

// theReason is what the audit log is told.
func theReason(text string) (string, error) {
	if text = strings.TrimSpace(text); text == "" {
		return "", problem.New(problem.Usage, "--reason must say why: it goes into the audit log")
	}
	return text, nil
}

// theNumber is a number that was given as an argument.
func theNumber(text string) (string, error) {
	number := strings.TrimSpace(text)
	if strings.Trim(number, ".") == "" { // a path of dots leads elsewhere
		return "", problem.Newf(problem.Usage, "%q is no number", text)
	}
	return number, nil
}
