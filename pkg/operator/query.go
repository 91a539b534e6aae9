package operator

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Limits of a query, as in schema/openapi.yaml.
const (
	maxQueryBytes  = 6 << 10 // a hundred delivery ids
	maxShown       = 64      // bytes of a bad value that an answer repeats
	defaultPerPage = 50
	maxPerPage     = 500
	maxIDs         = 100 // delivery ids in one request
)

// query takes the parameters of a request one by one and gathers what is wrong
// with each, so that a client learns of everything at once.
type query struct {
	values   url.Values
	asked    map[string]bool
	problems []problem.Field
}

func readQuery(u *url.URL) (*query, error) {
	if len(u.RawQuery) > maxQueryBytes {
		return nil, problem.Newf(problem.Malformed, "the query is longer than %d bytes", maxQueryBytes)
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, problem.New(problem.Malformed, "the query cannot be read")
	}
	return &query{values: values, asked: map[string]bool{}}, nil
}

func (q *query) bad(name, format string, args ...any) {
	q.problems = append(q.problems, problem.Field{Field: name, Message: fmt.Sprintf(format, args...)})
}

// text is a parameter's value; "" if it is not there, or not right.
func (q *query) text(name string) string {
	q.asked[name] = true
	given := q.values[name]
	switch {
	case len(given) == 0:
		return ""
	case len(given) > 1:
		q.bad(name, "is given %d times; give it once", len(given))
		return ""
	case given[0] == "":
		q.bad(name, "is empty; leave it out when it has no value")
		return ""
	}
	return given[0]
}

// deliveryIDs are the values of a parameter that may be repeated.
func (q *query) deliveryIDs(name string) []pay.DeliveryID {
	q.asked[name] = true
	given := q.values[name]
	if len(given) > maxIDs {
		q.bad(name, "is given %d times; it may be given %d times", len(given), maxIDs)
		return nil
	}
	ids := make([]pay.DeliveryID, 0, len(given))
	for _, text := range given {
		id, ok := parseDeliveryID(text)
		if !ok {
			q.bad(name, "is %s; it must be a UUID", shown(text))
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}

func (q *query) mchid() pay.MchID {
	s := q.text("mchid")
	if s == "" {
		return ""
	}
	id, err := pay.ParseMchID(s)
	if err != nil {
		q.bad("mchid", "is %s; it must be 8 to 32 digits", shown(s))
	}
	return id
}

// word is one of a closed list.
func word[T ~string](q *query, name string, words ...T) T {
	s := T(q.text(name))
	if s == "" || slices.Contains(words, s) {
		return s
	}
	q.bad(name, "is %s; it must be one of %s", shown(string(s)), joined(words))
	return ""
}

func joined[T ~string](words []T) string {
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = string(w)
	}
	return strings.Join(names, ", ")
}

func (q *query) since() time.Time { return q.instant("since") }

func (q *query) instant(name string) time.Time {
	s := q.text(name)
	if s == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil || !writable(at) {
		q.bad(name, "is %s; it must be a time as in RFC 3339, such as 2026-12-31T23:59:59Z (a + in a query is written %%2B)", shown(s))
	}
	return at.UTC()
}

// writable says whether an instant has a year of four digits in UTC, too: a worker
// is asked in JSON, which has no others.
func writable(at time.Time) bool {
	year := at.UTC().Year()
	return year >= 0 && year <= 9999
}

func (q *query) limit() int {
	s := q.text("limit")
	if s == "" {
		return defaultPerPage
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxPerPage {
		q.bad("limit", "is %s; it must be a number from 1 to %d", shown(s), maxPerPage)
		return defaultPerPage
	}
	return n
}

// done reports every parameter that nobody asked for, with all else.
func (q *query) done() error {
	known := "it has none"
	if len(q.asked) > 0 {
		known = "the parameters are " + strings.Join(slices.Sorted(maps.Keys(q.asked)), ", ")
	}
	for _, name := range slices.Sorted(maps.Keys(q.values)) {
		if !q.asked[name] {
			q.bad(printable(name), "is not a parameter of this request; %s", known)
		}
	}
	if len(q.problems) == 0 {
		return nil
	}
	return problem.InvalidFields(q.problems...)
}

func shown(s string) string { return strconv.Quote(clip(s, maxShown)) }

func printable(s string) string {
	s = clip(s, maxShown)
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
		return strconv.Quote(s)
	}
	return s
}
