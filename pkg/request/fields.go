package request

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
	// MaxShort bounds fields whose shape is checked anyway.
	MaxShort = 64
	// MaxAmountFen is ours: 100 million yuan is a mistake, not a price.
	MaxAmountFen = 10_000_000_000

	maxShown    = 64 // characters of a bad value that an answer repeats
	maxProblems = 32 // so that a small request cannot ask for a large answer
)

// Fields takes the fields of an object one by one and gathers what is wrong
// with each, so that whoever asks learns of everything at once.
type Fields struct {
	object   object
	asked    map[string]bool
	problems []problem.Field
	// secret: no value is repeated, because answers and logs must not hold it;
	// and rare characters of names are taken, because the values are encrypted.
	secret bool
}

// Read reads a body that is one flat JSON object. Its error is a problem.
func Read(raw []byte) (*Fields, error) {
	o, twice, err := parseObject(raw)
	if err != nil {
		return nil, problem.New(problem.Malformed, err.Error())
	}
	return &Fields{object: o, asked: map[string]bool{}, problems: twice}, nil
}

// ReadSecret is Read of a body none of whose values may be repeated.
func ReadSecret(raw []byte) (*Fields, error) {
	f, err := Read(raw)
	if err == nil {
		f.secret = true
	}
	return f, err
}

// take hands out a field's bytes.
func (f *Fields) take(name string) (json.RawMessage, bool) {
	f.asked[name] = true
	raw, there := f.object[name]
	return raw, there
}

// Given says whether a field is there, and that this request has such a field.
func (f *Fields) Given(name string) bool {
	_, there := f.take(name)
	return there
}

// Bad notes what is wrong with a field.
func (f *Fields) Bad(name, format string, args ...any) {
	f.problems = append(f.problems, problem.Field{Field: name, Message: fmt.Sprintf(format, args...)})
}

// Text reads a string. A field that is not there, or not right, is "".
func (f *Fields) Text(name string, required bool, maxChars int) string {
	raw, there := f.take(name)
	if !there {
		if required {
			f.Bad(name, "is missing; it must be a string of 1 to %d characters", maxChars)
		}
		return ""
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		f.Bad(name, "is %s; it must be a string", f.shown(raw))
		return ""
	}
	if s == "" && required {
		f.Bad(name, "is empty; it must be a string of 1 to %d characters", maxChars)
		return ""
	}
	if rule := textRule(s, maxChars, f.secret); rule != "" {
		f.Bad(name, "is %s; %s", f.shown(raw), rule)
		return ""
	}
	return s
}

// Prose reads a text that people alone read, which must be there, by a rule of
// the caller's: what it breaks, if anything.
func (f *Fields) Prose(name, what string, rule func(string) string) string {
	raw, there := f.take(name)
	var s string
	switch {
	case !there:
		f.Bad(name, "is missing; %s", what)
	case raw[0] != '"' || json.Unmarshal(raw, &s) != nil:
		f.Bad(name, "is %s; it must be a string", f.shown(raw))
	default:
		if broken := rule(s); broken != "" {
			f.Bad(name, "%s", broken)
		}
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

// Fen reads an amount of money, 1 to MaxAmountFen. 1.0 and 1e2 are refused,
// too: who writes those computes with floats.
func (f *Fields) Fen(name string) int64 {
	raw, there := f.take(name)
	rule := fmt.Sprintf("it must be an integer number of fen from 1 to %d", int64(MaxAmountFen))
	if !there {
		f.Bad(name, "is missing; %s", rule)
		return 0
	}
	if !integer.Match(raw) {
		f.Bad(name, "is %s; %s, without quotes, fraction or exponent", f.shown(raw), rule)
		return 0
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 1 || n > MaxAmountFen {
		f.Bad(name, "is %s; %s", f.shown(raw), rule)
		return 0
	}
	return n
}

// Done reports every field that nobody asked for, then everything at once, as
// one problem.
func (f *Fields) Done() error {
	known := slices.Sorted(maps.Keys(f.asked))
	for _, name := range slices.Sorted(maps.Keys(f.object)) {
		if !f.asked[name] {
			f.Bad(clip(name), "is not a field of this request; %s", fieldList(known))
		}
	}
	if more := len(f.problems) - maxProblems; more > 0 {
		f.problems = append(f.problems[:maxProblems:maxProblems], problem.Field{Field: "…", Message: fmt.Sprintf("%d more problems are not listed", more)})
	}
	if len(f.problems) == 0 {
		return nil
	}
	return problem.InvalidFields(f.problems...)
}

func fieldList(known []string) string {
	if len(known) == 0 {
		return "it has none"
	}
	return "the fields are " + strings.Join(known, ", ")
}

// shown is a bad value for a person: its kind and, unless it is nobody's
// business, the beginning of it.
func (f *Fields) shown(raw json.RawMessage) string {
	if f.secret {
		return kindOf(raw)
	}
	text := string(raw)
	if utf8.RuneCountInString(text) > maxShown {
		text = string([]rune(text)[:maxShown]) + "…"
	}
	return kindOf(raw) + " (" + text + ")"
}

// clip shortens a name from outside.
func clip(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return s[:maxShown] + "…"
}
