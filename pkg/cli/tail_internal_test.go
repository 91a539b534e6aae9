package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

// scripted is a console that gives one answer after the other, and then ends
// the context of whoever asks.
type scripted struct {
	mu      sync.Mutex
	answers []string // pages, or the code of a problem
	asked   []string
	end     context.CancelFunc
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.URL.RawQuery)
	next := s.answers[0]
	s.answers = s.answers[1:]
	if len(s.answers) == 0 {
		s.end()
	}
	if entry, is := problem.ByCode(next); is {
		w.Header().Set("Content-Type", problem.ContentType)
		w.WriteHeader(entry.Status)
		_ = json.NewEncoder(w).Encode(problem.DocumentOf(problem.New(entry.Kind, ""), ""))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(next))
}

func eventPage(cursor, more string, sequences ...int) string {
	events := make([]string, len(sequences))
	for i, n := range sequences {
		events[i] = fmt.Sprintf(`{"sequence":%d,"stored_at":"2026-03-01T04:00:00Z","mchid":"1900000109","fact":"order.paid","event":{
			"specversion":"1.0","id":"e-%d","subject":"TEA-%d\u202e","data":{"out_trade_no":"TEA","amount_fen":880,"currency":"CNY"}}}`, n, n, n)
	}
	return `{"events":[` + strings.Join(events, ",") + `],"stream":{"made_at":"2026-03-01T00:00:00Z","first_sequence":1,"last_sequence":9},
		"restarted":false,"gaps":[],"more":` + more + `,"next_cursor":"` + cursor + `"}`
}

// tailing runs one tail against the script and gives what it printed.
func tailing(t *testing.T, change func(*tail), answers ...string) (stdout, stderr string, asked []string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	console := &scripted{answers: answers, end: func() {}}
	server := httptest.NewServer(console)
	t.Cleanup(server.Close)
	var out, errs bytes.Buffer
	tl := &tail{c: &commandLine{Deps: Deps{Stdout: &out, Stderr: &errs}}, left: tailRows, every: time.Microsecond}
	change(tl)
	if tl.follow {
		console.end = cancel
	}
	err = tl.run(ctx, remote{url: server.URL, client: server.Client()}, operatorapi.ListEventsParams{})
	return out.String(), errs.String(), console.asked, err
}

func following(tl *tail) { tl.follow = true }

func TestTail_follows_and_outlives_a_console_that_goes(t *testing.T) {
	t.Parallel()
	stdout, stderr, asked, err := tailing(t, following,
		eventPage("a", "false", 1, 2), "FEN-5002", "FEN-5003", eventPage("b", "false"), eventPage("c", "false", 3), eventPage("d", "false"))
	require.NoError(t, err)
	require.Equal(t, 4, strings.Count(stdout, "\n"), "%s", stdout)
	require.Contains(t, stdout, `TEA-3\u202e`, "what would turn a line round is shown as what it is")
	require.Equal(t, 2, strings.Count(stderr, "\n"), "said once when it goes, once when it is back: %s", stderr)
	require.Contains(t, stderr, "FEN-5002")
	require.Contains(t, stderr, "answers again")
	require.Equal(t, []string{"limit=20", "cursor=a&limit=500", "cursor=a&limit=500", "cursor=a&limit=500", "cursor=b&limit=500", "cursor=c&limit=500"}, asked)
}

func TestTail_ends_where_waiting_cannot_help(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []string
		want    problem.Kind
	}{
		"a token that was revoked meanwhile": {[]string{eventPage("a", "false", 1), "FEN-3010", ""}, problem.TokenRejected},
		"a console that never was there":     {[]string{"FEN-5002", ""}, problem.DatabaseUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, _, err := tailing(t, following, c.answers...)
			require.Equal(t, c.want, problem.KindOf(err))
		})
	}
}

func TestTail_reads_all_pages_from_a_place_on_and_as_many_as_asked_for(t *testing.T) {
	t.Parallel()
	stdout, _, asked, err := tailing(t, func(tl *tail) { tl.all = true }, eventPage("a", "true", 1, 2), eventPage("b", "true", 3), eventPage("c", "false"))
	require.NoError(t, err)
	require.Len(t, asked, 3)
	require.Equal(t, 4, strings.Count(stdout, "\n"))

	_, _, asked, err = tailing(t, func(tl *tail) { tl.left = 3 }, eventPage("a", "true", 1, 2), eventPage("b", "true", 3))
	require.NoError(t, err)
	require.Equal(t, []string{"limit=3", "cursor=a&limit=1"}, asked, "a page may be smaller than asked for")
}

func TestTail_says_what_is_missing_beside_what_programs_read(t *testing.T) {
	t.Parallel()
	holes := strings.Replace(eventPage("a", "false", 3, 9), `"gaps":[]`, `"gaps":[{"from":1,"to":2},{"from":5,"to":5},{"from":10,"to":11}]`, 1)
	holes = strings.Replace(holes, `"restarted":false`, `"restarted":true`, 1)
	holes = strings.Replace(holes, `"events":[`, `"events":[{"sequence":2,"stored_at":"2026-03-01T04:00:00Z","mchid":"x","fact":"y","unreadable":"no JSON"},`, 1)
	stdout, stderr, _, err := tailing(t, func(tl *tail) { tl.c.json = true }, holes)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	require.Len(t, lines, 2)
	for _, line := range lines {
		var e map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		require.NotContains(t, line, "\u202e")
		require.Contains(t, e["subject"], "\u202e", "the same to a program")
	}
	for _, want := range []string{"made anew", "Sequences 1 to 2 are", "Sequence 5 is", "Sequences 10 to 11 are", "Sequence 2 holds no event: no JSON"} {
		require.Contains(t, stderr, want)
	}
}
