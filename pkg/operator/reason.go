package operator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	// maxReason is in characters, as schema/openapi.yaml says.
	maxReason = 500
	// maxActBytes leaves room for every character as a pair of \u escapes, or for
	// a hundred delivery ids and a reason as people write them.
	maxActBytes = 8 << 10
)

// readReason reads the body of an act that needs nothing but a reason:
// {"reason": "…"} and nothing else.
func readReason(w http.ResponseWriter, r *http.Request) (string, error) {
	f, err := readFields(w, r)
	if err != nil {
		return "", err
	}
	reason := f.reason()
	return reason, f.done()
}

// readBody reads the body of an act.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return readBodyWithin(w, r, maxActBytes)
}

func readBodyWithin(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return nil, problem.New(problem.UnsupportedMedia, "this request is application/json")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, problem.Newf(problem.TooLarge, "the body is larger than %d bytes", most)
	case err != nil:
		return nil, problem.Wrap(problem.Malformed, err, "the body did not arrive whole")
	case !utf8.Valid(raw):
		return nil, problem.New(problem.Malformed, "the body is not UTF-8")
	}
	return raw, nil
}

// readFields reads the body of an act, one JSON object.
func readFields(w http.ResponseWriter, r *http.Request) (*fields, error) {
	return readFieldsWithin(w, r, maxActBytes)
}

func readFieldsWithin(w http.ResponseWriter, r *http.Request, most int64) (*fields, error) {
	raw, err := readBodyWithin(w, r, most)
	if err != nil {
		return nil, err
	}
	f := &fields{asked: map[string]bool{}}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if dec.Decode(&f.given) != nil || f.given == nil {
		return nil, problem.New(problem.Malformed, "the body is not one JSON object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, problem.New(problem.Malformed, "there is something after the JSON object")
	}
	return f, nil
}

// fields takes the fields of a body one by one and gathers what is wrong with
// each, as query does with parameters.
type fields struct {
	given    map[string]json.RawMessage
	asked    map[string]bool
	problems []problem.Field
}

func (f *fields) bad(name, format string, args ...any) {
	f.problems = append(f.problems, problem.Field{Field: name, Message: fmt.Sprintf(format, args...)})
}

// take reads a field into what its type is called, and says whether it is there
// and right. JSON's null is no value of any field.
func (f *fields) take(name, kind string, into any) bool {
	f.asked[name] = true
	raw, given := f.given[name]
	if !given {
		return false
	}
	if string(raw) == "null" || json.Unmarshal(raw, into) != nil {
		f.bad(name, "must be %s", kind)
		return false
	}
	return true
}

func (f *fields) reason() string {
	var reason string
	if _, given := f.given["reason"]; !given {
		f.bad("reason", "is missing; say why, for the audit log")
	}
	if f.take("reason", "a string", &reason) {
		if rule := reasonRule(reason); rule != "" {
			f.bad("reason", "%s", rule)
		}
	}
	return reason
}

// done reports every field that nobody asked for, with all else.
func (f *fields) done() error {
	for _, name := range slices.Sorted(maps.Keys(f.given)) {
		if !f.asked[name] {
			f.bad(printable(name), "is not a field of this request; it may have %s", strings.Join(slices.Sorted(maps.Keys(f.asked)), ", "))
		}
	}
	if len(f.problems) == 0 {
		return nil
	}
	return problem.InvalidFields(f.problems...)
}

func reasonRule(s string) string {
	switch {
	case strings.TrimSpace(s) == "":
		return "is empty; say why, for the audit log"
	case utf8.RuneCountInString(s) > maxReason:
		return "is too long; it may have 500 characters"
	case strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && unicode.IsControl(r) || r == utf8.RuneError }):
		return "must be text, without control characters"
	}
	return ""
}
