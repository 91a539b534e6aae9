package cli

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/problem"
)

// The bounds of a page (schema/openapi.yaml, parameter limit).
const (
	pageRows    = 50
	maxPageRows = 500
)

// maxWaits is how often in a row a listing of all pages waits when it is told
// to go more slowly; maxWait bounds each time.
const (
	maxWaits = 5
	maxWait  = time.Minute
)

// listing is what the commands that list have in common.
type listing struct {
	now   func() time.Time
	since string
	limit int
	all   bool
}

func (c *commandLine) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (l *listing) flags(c *commandLine, cmd *cobra.Command) {
	l.now = c.now
	cmd.Flags().StringVar(&l.since, "since", "", "only what began then or later: 2h or 3d ago, or an instant of RFC 3339")
	cmd.Flags().IntVar(&l.limit, "limit", pageRows, "at most so many, 1 to "+strconv.Itoa(maxPageRows))
	cmd.Flags().BoolVar(&l.all, "all", false, "all of them, however many")
	cmd.MarkFlagsMutuallyExclusive("limit", "all")
}

// page is what every list asks the API for.
type page struct {
	since  *time.Time
	limit  *int
	cursor *string
}

// listed are the rows of one page, or of all.
type listed[T any] struct {
	rows     []T
	document any // the API's own; of several pages, one with all rows
	more     bool
}

// read asks for one page, or for one after the other. key is what the API
// calls the rows.
func read[T any](ctx context.Context, l *listing, key string, ask func(page) (json.RawMessage, error)) (listed[T], error) {
	first, err := l.firstPage()
	if err != nil {
		return listed[T]{}, err
	}
	var got listed[T]
	all := []json.RawMessage{}
	for next := first; ; {
		raw, err := patiently(ctx, next, ask)
		if err != nil {
			return listed[T]{}, err
		}
		cursor, rows, err := got.add(raw, key)
		if err != nil {
			return listed[T]{}, err
		}
		all = append(all, rows...)
		switch {
		case !l.all:
			got.document, got.more = raw, cursor != ""
			return got, nil
		case cursor == "":
			got.document = map[string]any{key: all}
			return got, nil
		case next.cursor != nil && *next.cursor == cursor:
			return listed[T]{}, problem.New(problem.Internal, "the console gives the same page again and again")
		}
		next.cursor = &cursor
	}
}

func (l *listing) firstPage() (page, error) {
	if l.limit < 1 || l.limit > maxPageRows {
		return page{}, problem.Newf(problem.Usage, "--limit %d: must be 1 to %d", l.limit, maxPageRows)
	}
	first := page{limit: &l.limit}
	if l.all {
		first.limit = new(maxPageRows)
	}
	since, err := parseSince(l.since, l.now())
	first.since = since
	return first, err
}

// add keeps the rows of a page, and gives them as they came with the cursor of
// the page after.
func (got *listed[T]) add(raw json.RawMessage, key string) (cursor string, rows []json.RawMessage, err error) {
	fields, _, err := document[map[string]json.RawMessage](raw, nil)
	if err == nil {
		rows, _, err = document[[]json.RawMessage](fields[key], nil)
	}
	if next := fields["next_cursor"]; err == nil && next != nil {
		cursor, _, err = document[string](next, nil)
	}
	if err != nil {
		return "", nil, err
	}
	parsed, _, err := document[[]T](fields[key], nil)
	got.rows = append(got.rows, parsed...)
	return cursor, rows, err
}

// patiently waits where the API asks a long listing to go more slowly. The
// first page is not waited for: somebody is looking at the screen.
func patiently(ctx context.Context, p page, ask func(page) (json.RawMessage, error)) (json.RawMessage, error) {
	for waits := 0; ; waits++ {
		raw, err := ask(p)
		var refused *refusal
		if p.cursor == nil || waits == maxWaits || !errors.As(err, &refused) || refused.problem.Kind != problem.TooManyRequests {
			return raw, err
		}
		if !rested(ctx, min(max(refused.retryAfter, time.Second), maxWait)) {
			return nil, err
		}
	}
}

var daysShape = regexp.MustCompile(`^(\d{1,5})d(.*)$`)

// parseSince takes a span back from now (90m, 2h, 3d, 1d12h) or an instant.
func parseSince(text string, now time.Time) (*time.Time, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no bound is an answer
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return new(at.UTC()), nil
	}
	rest, days := text, 0
	if parts := daysShape.FindStringSubmatch(text); parts != nil {
		days, _ = strconv.Atoi(parts[1]) // digits only
		if rest = parts[2]; rest == "" {
			rest = "0s"
		}
	}
	span, err := time.ParseDuration(rest)
	if err != nil || span < 0 || span == 0 && days == 0 {
		return nil, problem.Newf(problem.Usage, "--since %q: must be a span such as 90m, 2h or 3d, or an instant such as 2026-03-01T08:00:00Z", text)
	}
	return new(now.UTC().Add(-span).AddDate(0, 0, -days)), nil
}

// choice is a flag that takes one of several words.
type choice struct {
	word    string
	allowed []string
}

func (c *choice) String() string { return c.word }
func (c *choice) Type() string   { return "word" }

// Set takes the words that are allowed, and no other.
func (c *choice) Set(word string) error {
	if !slices.Contains(c.allowed, word) {
		return errors.New("must be one of " + strings.Join(c.allowed, ", "))
	}
	c.word = word
	return nil
}

// choose adds a flag that takes one of the words.
func choose[T ~string](cmd *cobra.Command, name, usage string, words ...T) *choice {
	c := &choice{}
	for _, w := range words {
		c.allowed = append(c.allowed, string(w))
	}
	cmd.Flags().Var(c, name, usage+": "+strings.Join(c.allowed, ", "))
	// It fails only where the flag is not there, or has completions already.
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(c.allowed, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// given is the API's parameter for a flag: absent where the flag is empty.
func given[T ~string](text string) *T {
	if text == "" {
		return nil
	}
	return new(T(text))
}
