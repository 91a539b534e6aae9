package problem

import (
	"errors"
	"fmt"
	"strings"
)

// Error is an error with a kind. Detail and Fields are for the outside; Cause
// is for the log.
type Error struct {
	Kind     Kind
	Detail   string // what happened, for whoever asked; no secrets, no bodies
	NextStep string // overrides the table's, where a better one is known
	Fields   []Field
	Cause    error
}

// Field is what is wrong with one field of a request.
type Field struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// New makes an error of a kind.
func New(kind Kind, detail string) *Error { return &Error{Kind: kind, Detail: detail} }

// Newf makes an error of a kind; it takes no %w (see Wrap).
func Newf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// Wrap gives an error a kind. The detail is for the outside, the cause is not.
func Wrap(kind Kind, cause error, detail string) *Error {
	return &Error{Kind: kind, Detail: detail, Cause: cause}
}

// InvalidFields reports all bad fields of a request at once.
func InvalidFields(fields ...Field) *Error {
	detail := fmt.Sprintf("%d fields are invalid", len(fields))
	if len(fields) == 1 {
		detail = "1 field is invalid"
	}
	return &Error{Kind: Invalid, Detail: detail, Fields: fields}
}

// InvalidConfig reports what is wrong with one key of the configuration.
func InvalidConfig(key, message string) *Error {
	return &Error{Kind: Config, Detail: "1 problem", Fields: []Field{{Field: key, Message: message}}}
}

// Error tells code, title, detail, fields and cause on one line, for logs.
func (e *Error) Error() string {
	text := e.headline()
	for i, f := range e.Fields {
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		text += separator + f.String()
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// KindOf finds the kind of an error: that of the outermost Error in its chain,
// or Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// EntryOf gives the row of an error's kind.
func EntryOf(err error) Entry { return KindOf(err).Entry() }

// ExitCodeOf is the exit code for an error; 0 for nil.
func ExitCodeOf(err error) int {
	if err == nil {
		return ExitOK
	}
	return EntryOf(err).ExitCode
}

func (e *Error) headline() string {
	row := e.Kind.Entry()
	if e.Detail == "" {
		return row.Code + " " + row.Title
	}
	return row.Code + " " + row.Title + ": " + e.Detail
}

// String names the field, if it has a name, and what is wrong with it.
func (f Field) String() string {
	if f.Field == "" {
		return f.Message
	}
	return f.Field + ": " + f.Message
}

// Text tells an error to a person at a terminal: what, each field on a line of
// its own, why, and the next step.
func Text(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		e = Wrap(Internal, err, "")
	}
	lines := []string{e.headline()}
	for _, f := range e.Fields {
		lines = append(lines, "  "+f.String())
	}
	if e.Cause != nil {
		lines = append(lines, "  "+e.Cause.Error())
	}
	return strings.Join(append(lines, "Next: "+DocumentOf(e, "").NextStep), "\n")
}
