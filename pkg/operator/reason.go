package operator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	// maxReason is in characters, as schema/openapi.yaml says.
	maxReason = 500
	// maxReasonBytes leaves room for every character as a pair of \u escapes.
	maxReasonBytes = 8 << 10
)

// readReason reads the body of an act that needs nothing but a reason:
// {"reason": "…"} and nothing else.
func readReason(w http.ResponseWriter, r *http.Request) (string, error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return "", problem.New(problem.UnsupportedMedia, "this request is application/json")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReasonBytes))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return "", problem.Newf(problem.TooLarge, "the body is larger than %d bytes", maxReasonBytes)
	case err != nil:
		return "", problem.Wrap(problem.Malformed, err, "the body did not arrive whole")
	case !utf8.Valid(raw):
		return "", problem.New(problem.Malformed, "the body is not UTF-8")
	}
	var fields map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(raw))
	if dec.Decode(&fields) != nil || fields == nil {
		return "", problem.New(problem.Malformed, "the body is not one JSON object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", problem.New(problem.Malformed, "there is something after the JSON object")
	}
	return checkReason(fields)
}

func checkReason(fields map[string]json.RawMessage) (string, error) {
	var problems []problem.Field
	for name := range fields {
		if name != "reason" {
			problems = append(problems, problem.Field{Field: printable(name), Message: "is not a field of this request; the field is reason"})
		}
	}
	var reason string
	raw, given := fields["reason"]
	switch {
	case !given:
		problems = append(problems, problem.Field{Field: "reason", Message: "is missing; say why, for the audit log"})
	case raw[0] != '"' || json.Unmarshal(raw, &reason) != nil:
		problems = append(problems, problem.Field{Field: "reason", Message: "must be a string"})
	default:
		if rule := reasonRule(reason); rule != "" {
			problems = append(problems, problem.Field{Field: "reason", Message: rule})
		}
	}
	if len(problems) > 0 {
		return "", problem.InvalidFields(problems...)
	}
	return reason, nil
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
