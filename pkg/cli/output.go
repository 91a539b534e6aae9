package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/fenflow/fenflow/pkg/problem"
)

// answer is what a command has to say: a document for programs, text for
// people.
type answer struct {
	document any
	text     string
	exit     int
	said     bool // while it went on; nothing is left to print
}

func (c *commandLine) print(a answer) error {
	if a.said {
		return nil
	}
	var err error
	if c.json {
		err = writeJSON(c.Stdout, a.document)
	} else {
		_, err = io.WriteString(c.Stdout, a.text)
	}
	if err != nil {
		return problem.Wrap(problem.Internal, err, "write the answer")
	}
	return nil
}

// failure is the document of a command that failed.
type failure struct {
	Error failureBody `json:"error"`
}

type failureBody struct {
	Code     string          `json:"code"`
	Message  string          `json:"message"`
	NextStep string          `json:"next_step"`
	ExitCode int             `json:"exit_code"`
	Errors   []problem.Field `json:"errors,omitempty"`
	Problem  json.RawMessage `json:"problem,omitempty"` // what the operators' API answered
}

// fail tells an error once and gives its exit code. An operator at the command
// line may see the cause, which an HTTP client may not.
func (c *commandLine) fail(err error) int {
	document := problem.DocumentOf(err, "")
	exit := problem.ExitCodeOf(err)
	var refused *refusal
	byAPI := errors.As(err, &refused)
	if !c.json {
		text := problem.Text(err)
		if byAPI {
			text = refused.text()
		}
		_, _ = fmt.Fprintln(c.Stderr, text) // nobody is left to tell
		return exit
	}
	body := failureBody{Code: document.Code, Message: err.Error(), NextStep: document.NextStep, ExitCode: exit, Errors: document.Errors}
	if byAPI {
		body.Problem = refused.document
	}
	write := writeJSON
	if c.lines {
		write = writeLine
	}
	if write(c.Stdout, failure{body}) != nil {
		return problem.ExitInternal
	}
	return exit
}

func writeJSON(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document) //nolint:wrapcheck // the caller names the step
}

// writeLine writes a document on one line, where there is one on each.
func writeLine(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(document) //nolint:wrapcheck // the caller names the step
}

// table lays out rows in columns.
func table(rows ...[]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t")) // a strings.Builder never fails
	}
	_ = w.Flush()
	return b.String()
}
