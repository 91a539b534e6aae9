package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"

	"github.com/fenflow/fenflow/pkg/problem"
)

// answer is what a command has to say: a document for programs, text for
// people.
type answer struct {
	document any
	text     string
	exit     int
	streamed bool // it was printed as it came
}

func (c *commandLine) print(a answer) error {
	var err error
	switch {
	case a.streamed:
	case c.json:
		err = c.writeJSON(a.document)
	default:
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
	Done     any             `json:"done,omitempty"`    // what was done before: the document of a command that ends well
}

// fail tells an error once and gives its exit code. An operator at the command
// line may see the cause, which an HTTP client may not.
func (c *commandLine) fail(err error) int {
	document := problem.DocumentOf(err, "")
	exit := problem.ExitCodeOf(err)
	var refused *refusal
	byAPI := errors.As(err, &refused)
	var before *partial
	halfway := errors.As(err, &before)
	if !c.json {
		if halfway {
			_, _ = io.WriteString(c.Stdout, before.text) // nobody is left to tell
		}
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
	if halfway {
		body.Done = before.document
	}
	if c.writeJSON(failure{body}) != nil {
		return problem.ExitInternal
	}
	return exit
}

func (c *commandLine) writeJSON(document any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if !c.jsonLines {
		encoder.SetIndent("", "  ")
	}
	if err := encoder.Encode(document); err != nil {
		return err //nolint:wrapcheck // the caller names the step
	}
	_, err := c.Stdout.Write(visible(text.Bytes()))
	return err //nolint:wrapcheck // as above
}

// visible writes what does not print as \u escapes, which mean the same to
// programs: a terminal would obey some of it, and a person be misled by more.
// Outside of strings JSON has none of it.
func visible(document []byte) []byte {
	hidden := func(r rune) bool { return r > unicode.MaxASCII && !unicode.IsPrint(r) || r == 0x7f }
	if !bytes.ContainsFunc(document, hidden) {
		return document
	}
	var b bytes.Buffer
	for _, r := range string(document) {
		switch high, low := utf16.EncodeRune(r); {
		case !hidden(r):
			b.WriteRune(r)
		case high != unicode.ReplacementChar:
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
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
