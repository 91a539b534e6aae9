package ingest

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	maxShown    = 64 // characters of a bad value that an answer repeats
	maxProblems = 32 // so that a small request cannot ask for a large answer
)

// fieldReader takes the fields of an object one by one and gathers what is
// wrong with each, so that a shop learns of everything at once.
type fieldReader struct {
	object   object
	asked    map[string]bool
	problems []problem.Field
	// secret: no value is repeated, because answers and logs must not hold it;
	// and rare characters of names are taken, because the values are encrypted.
	secret bool
}

func newFieldReader(o object, already []problem.Field) *fieldReader {
	return &fieldReader{object: o, asked: map[string]bool{}, problems: already}
}

// take hands out a field's bytes.
func (f *fieldReader) take(name string) (json.RawMessage, bool) {
	f.asked[name] = true
	raw, there := f.object[name]
	return raw, there
}

func (f *fieldReader) bad(name, format string, args ...any) {
	f.problems = append(f.problems, problem.Field{Field: name, Message: fmt.Sprintf(format, args...)})
}

// text reads a string. A field that is not there, or not right, is "".
func (f *fieldReader) text(name string, required bool, maxChars int) string {
	raw, there := f.take(name)
	if !there {
		if required {
			f.bad(name, "is missing; it must be a string of 1 to %d characters", maxChars)
		}
		return ""
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		f.bad(name, "is %s; it must be a string", f.shown(raw))
		return ""
	}
	if s == "" && required {
		f.bad(name, "is empty; it must be a string of 1 to %d characters", maxChars)
		return ""
	}
	if rule := textRule(s, maxChars, f.secret); rule != "" {
		f.bad(name, "is %s; %s", f.shown(raw), rule)
		return ""
	}
	return s
}

// textRule says which rule a text breaks, if any. wide lets characters of four
// bytes through.
func textRule(s string, maxChars int, wide bool) string {
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return fmt.Sprintf("it must have 1 to %d characters; leave it out when there is none", maxChars)
	case n > maxChars:
		return fmt.Sprintf("it has %d characters and may have %d", n, maxChars)
	}
	for _, r := range s {
		switch {
		case r == utf8.RuneError: // what broken \u escapes turn into
			return "it must be valid Unicode, without U+FFFD"
		case r > 0xFFFF && !wide:
			return fmt.Sprintf("it holds %q, and WeChat Pay takes no characters of four UTF-8 bytes, such as emoji", r)
		case unicode.IsControl(r):
			return "it must not hold control characters"
		}
	}
	return ""
}

// integer is JSON's shape of a whole number: no fraction, no exponent.
var integer = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// fen reads an amount of money. 1.0 and 1e2 are refused, too: who writes those
// computes with floats.
func (f *fieldReader) fen(name string, limit int64) int64 {
	raw, there := f.take(name)
	rule := fmt.Sprintf("it must be an integer number of fen from 1 to %d", limit)
	if !there {
		f.bad(name, "is missing; %s", rule)
		return 0
	}
	if !integer.Match(raw) {
		f.bad(name, "is %s; %s, without quotes, fraction or exponent", f.shown(raw), rule)
		return 0
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 1 || n > limit {
		f.bad(name, "is %s; %s", f.shown(raw), rule)
		return 0
	}
	return n
}

// done reports every field that nobody asked for, then everything at once.
func (f *fieldReader) done() []problem.Field {
	known := slices.Sorted(maps.Keys(f.asked))
	for _, name := range slices.Sorted(maps.Keys(f.object)) {
		if !f.asked[name] {
			f.bad(clip(name, maxShown), "is not a field of this request; %s", fieldList(known))
		}
	}
	if more := len(f.problems) - maxProblems; more > 0 {
		f.problems = append(f.problems[:maxProblems:maxProblems], problem.Field{Field: "…", Message: fmt.Sprintf("%d more problems are not listed", more)})
	}
	return f.problems
}

func fieldList(known []string) string {
	if len(known) == 0 {
		return "it has none"
	}
	return "the fields are " + strings.Join(known, ", ")
}

// shown is a bad value for a person: its kind and, unless it is nobody's
// business, the beginning of it.
func (f *fieldReader) shown(raw json.RawMessage) string {
	if f.secret {
		return kindOf(raw)
	}
	text := string(raw)
	if utf8.RuneCountInString(text) > maxShown {
		text = string([]rune(text)[:maxShown]) + "…"
	}
	return kindOf(raw) + " (" + text + ")"
}
