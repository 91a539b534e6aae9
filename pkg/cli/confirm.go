package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/fenflow/fenflow/pkg/problem"
)

// confirm asks at a terminal whether something is meant. Where nobody can be
// asked, it takes --yes: act is what would be done, such as "replay 3 letters".
func (c *commandLine) confirm(ctx context.Context, act string) (bool, error) {
	nobody := &problem.Error{
		Kind: problem.Usage, Detail: "this would " + act + "; there is nobody to ask whether they are meant",
		NextStep: "Run it at a terminal, or say --yes.",
	}
	if c.Stdin == nil {
		return false, nobody
	}
	_, _ = io.WriteString(c.Stderr, strings.ToUpper(act[:1])+act[1:]+"? [y/N] ") // nobody is left to tell
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
