package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

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
