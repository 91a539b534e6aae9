package cli_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/cli"
)

// session runs command lines against the test's console.
func session(t *testing.T, change func(*cli.Deps), env map[string]string, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	console := httptest.NewServer(bySchema(t, readyAnswers(t)))
	t.Cleanup(console.Close)
	var out, errs bytes.Buffer
	d := cli.Deps{Stdout: &out, Stderr: &errs, Lookup: func(name string) (string, bool) {
		if value, ok := env[name]; ok {
			return value, true
		}
		value, ok := map[string]string{"FENFLOW_URL": console.URL, "FENFLOW_TOKEN": reader}[name]
		return value, ok
	}}
	change(&d)
	exit = cli.Run(t.Context(), d, args)
	return exit, out.String(), errs.String()
}

func terminal(d *cli.Deps) { d.Terminal = true }

func TestColours_are_for_terminals_that_want_them(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change   func(*cli.Deps)
		env      map[string]string
		args     []string
		coloured bool
	}{
		"a terminal":             {terminal, nil, []string{"order", "ls"}, true},
		"a terminal, NO_COLOR":   {terminal, map[string]string{"NO_COLOR": "1"}, []string{"order", "ls"}, false},
		"a pipe":                 {func(*cli.Deps) {}, nil, []string{"order", "ls"}, false},
		"a document, a terminal": {terminal, nil, []string{"order", "ls", "--json"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exit, stdout, stderr := session(t, tc.change, tc.env, tc.args...)
			require.Zero(t, exit, stderr)
			if tc.coloured {
				require.Contains(t, stdout, "\x1b[32mpaid\x1b[0m              8.80 CNY", "colours take no room")
				return
			}
			require.NotContains(t, stdout, "\x1b")
		})
	}
}

func TestTerminal_is_never_given_what_a_stranger_wrote(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"order", "show", "TEA|*3"},
		{"dead-letter", "show", "0195563c-7d00-7000-8000-000000000009"},
		{"dead-letter", "show", "0195563c-7d00-7000-8000-000000000009", "--body", "-"},
		{"rejected", "ls"},
		{"rejected", "show", "7"},
		{"rejected", "show", "7", "--body", "-"},
		{"rejected", "reverify", "7"},
		{"rejected", "reverify", "8"},
		{"notification", "show", "0195563c-7d00-7000-8000-000000000009"},
	} {
		exit, stdout, stderr := session(t, terminal, map[string]string{"NO_COLOR": "1"}, args...)
		require.Contains(t, []int{0, 5}, exit, stderr)
		require.NotEmpty(t, stdout)
		require.NotContains(t, stdout, "\x1b")
		require.NotContains(t, stdout, "\u202e")
	}
}

func replayArgs(more ...string) []string {
	return append([]string{"dead-letter", "replay", "--where", "reason=mismatch", "--reason", "x"}, more...)
}

func TestReplay_asks_at_a_terminal(t *testing.T) {
	t.Parallel()
	may := map[string]string{"FENFLOW_TOKEN": operator, "NO_COLOR": "1"}
	for answer, exit := range map[string]int{"y\n": 5, "YES\n": 5, "\n": 5, "no\n": 5, "": 2} { // of three, one opens again
		t.Run(answer, func(t *testing.T) {
			t.Parallel()
			got, stdout, stderr := session(t, func(d *cli.Deps) { d.Terminal, d.Stdin = true, strings.NewReader(answer) }, may, replayArgs()...)
			require.Equal(t, exit, got, stderr)
			require.Contains(t, stderr, "Replay 3 open dead letters, of reason mismatch? [y/N] ")
			switch answer {
			case "y\n", "YES\n":
				require.Contains(t, stdout, "3 dead letters: 2 resolved, 1 open again, 0 waiting.")
			case "":
				require.Contains(t, stderr, "say --yes")
			default:
				require.Equal(t, "Nothing was replayed.\n", stdout)
			}
		})
	}
}

func TestReverify_asks_at_a_terminal_and_tells_what_was_not_published(t *testing.T) {
	t.Parallel()
	may := map[string]string{"FENFLOW_TOKEN": operator, "NO_COLOR": "1"}
	at := func(stdin string) func(*cli.Deps) {
		return func(d *cli.Deps) { d.Terminal, d.Stdin = true, strings.NewReader(stdin) }
	}
	exit, stdout, stderr := session(t, at("n\n"), may, "rejected", "reverify", "--where", "reason=bad_signature", "--publish", "--reason", "x")
	require.Equal(t, 5, exit, stderr)
	require.NotContains(t, stderr, "[y/N]", "nothing passes: there is nothing to ask")
	require.Contains(t, stdout, "1 sample: 0 would pass, 1 would be refused again, 0 published.")

	ask := []string{"rejected", "reverify", "--where", "reason=unknown_serial", "--publish", "--reason", "x"}
	exit, stdout, stderr = session(t, at("n\n"), may, ask...)
	require.Equal(t, 5, exit)
	require.Contains(t, stderr, "Publish 1 notification of 1 sample? [y/N] ")
	require.Equal(t, "Nothing was published.\n", stdout)
	exit, stdout, _ = session(t, at("y\n"), may, ask...)
	require.Equal(t, 7, exit)
	require.Contains(t, stdout, "not published: the broker is away")

	exit, stdout, stderr = session(t, func(*cli.Deps) {}, may, "rejected", "reverify", "8", "--publish", "--reason", "x")
	require.Equal(t, 7, exit, stderr)
	require.Contains(t, stdout, "not published: the broker is away")
	exit, _, stderr = session(t, func(*cli.Deps) {}, nil, "rejected", "reverify", "8", "--publish", "--reason", "x")
	require.Equal(t, 6, exit, "a token of role read")
	require.Contains(t, stderr, "FEN-3008")
	exit, stdout, _ = session(t, func(*cli.Deps) {}, nil, "notification", "ls")
	require.Zero(t, exit)
	require.Contains(t, stdout, "None among the latest.\nThere are more")
}

func TestReplay_stops_where_it_is(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	ready := readyAnswers(t)
	console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			stop() // as Ctrl-C does, while the console answers
		}
		ready.ServeHTTP(w, r)
	}))
	t.Cleanup(console.Close)
	var out, errs bytes.Buffer
	env := map[string]string{"FENFLOW_URL": console.URL, "FENFLOW_TOKEN": operator}
	exit := cli.Run(ctx, cli.Deps{Stdout: &out, Stderr: &errs, Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}, replayArgs("--yes"))
	require.Equal(t, 7, exit, errs.String())
	require.Contains(t, out.String(), "3 dead letters: 0 resolved, 0 open again, 3 waiting.")
	require.Contains(t, out.String(), "Stopped; 0 dead letters more had not been asked for. The same command can be run again.")
}

func TestInterrupt_is_no_fault_of_the_console(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	console := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stop()
		<-r.Context().Done()
	}))
	t.Cleanup(console.Close)
	env := map[string]string{"FENFLOW_URL": console.URL, "FENFLOW_TOKEN": reader}
	var out, errs strings.Builder
	exit := cli.Run(ctx, cli.Deps{Stdout: &out, Stderr: &errs, Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}, []string{"status"})
	require.Equal(t, 7, exit)
	require.Contains(t, errs.String(), "interrupted before the console answered")
	require.NotContains(t, errs.String(), "FEN-5004")
}

func TestSince_is_counted_from_now(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 3, 12, 0, 0, 0, time.UTC) // orders are answered up to the end of May
	for since, found := range map[string]bool{"2h": false, "1d": false, "3d": true, "2d13h": true, "2026-05-31T23:59:59Z": true, "2026-06-01T08:00:00+08:00": false} {
		exit, stdout, stderr := session(t, func(d *cli.Deps) { d.Now = func() time.Time { return now } }, nil, "order", "ls", "--since", since)
		require.Zero(t, exit, stderr)
		require.Equal(t, found, stdout != "No order is like that.\n", since)
	}
}

func TestReference_page_is_up_to_date(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/reference/cli.md")
	require.NoError(t, err)
	require.Equal(t, cli.Reference(), string(page), "run: make generate")
}

func TestRefunds_ask_at_a_terminal_whether_they_are_meant(t *testing.T) {
	t.Parallel()
	may := map[string]string{"FENFLOW_TOKEN": operator, "NO_COLOR": "1"}
	for question, args := range map[string][]string{
		"Give back 3.30 CNY (330 fen) of payment 4200 of order TEA-0003 as refund R9? [y/N] ":           {"refund", "create", "R9", "--order", "TEA-0003", "--transaction", "4200", "--amount", "3.30", "--reason", "x"},
		"End refund R|3*@ of 3.30 CNY (330 fen), if WeChat Pay says that it has no such refund? [y/N] ": {"refund", "give-up", "R|3*@", "--reason", "x"},
		"Send the 3.30 CNY (330 fen) of refund R|3*@ to the merchant's own account? [y/N] ":             {"refund", "abnormal", "R|3*@", "--to-merchant", "--reason", "x"},
		"Give back 99999999.99 CNY (9999999999 fen) of payment 4200 as refund R\\x1b[2J9? [y/N] ":       {"refund", "create", "R\x1b[2J9", "--transaction", "4200", "--amount-fen", "9999999999", "--reason", "x"},
	} {
		for answer, exit := range map[string]int{"y\n": 0, "n\n": 5, "\n": 5, "": 2} {
			if strings.Contains(question, `\x1b`) && exit == 0 {
				continue // the API would refuse it
			}
			got, stdout, stderr := session(t, func(d *cli.Deps) { d.Terminal, d.Stdin = true, strings.NewReader(answer) }, may, args...)
			require.Equal(t, exit, got, stderr)
			require.Contains(t, stderr, question)
			require.NotContains(t, stderr, "\x1b")
			require.Equal(t, exit == 5, stdout == "Nothing was done.\n")
			require.Equal(t, exit == 0, strings.Contains(stdout, "is requested"), stdout)
		}
	}
}

func TestCards_are_not_typed_at_a_terminal_and_never_repeated(t *testing.T) {
	t.Parallel()
	may := map[string]string{"FENFLOW_TOKEN": operator, "NO_COLOR": "1"}
	args := []string{"refund", "abnormal", "R|3*@", "--to-user-bank", "ICBC_DEBIT", "--card", "-", "--reason", "x", "--yes"}
	exit, _, stderr := session(t, func(d *cli.Deps) { d.Terminal, d.Stdin = true, strings.NewReader("6222020200112233445\n张三\n") }, may, args...)
	require.Equal(t, 2, exit)
	require.Contains(t, stderr, "nothing is piped in")
	for _, bad := range []string{"", "6222020200112233445", "6222020200112233445\n张三\nx", strings.Repeat("6", 2000) + "\n张三"} {
		exit, stdout, stderr := session(t, func(d *cli.Deps) { d.Pipe = strings.NewReader(bad) }, may, args...)
		require.Equal(t, 2, exit)
		require.NotContains(t, stdout+stderr, "6222")
		require.NotContains(t, stdout+stderr, "张三")
	}
	exit, stdout, stderr := session(t, func(d *cli.Deps) { d.Pipe = strings.NewReader(" 6222020200112233445 \r\n张三\r\n\r\n") }, may, args...)
	require.Zero(t, exit, stderr)
	require.NotContains(t, stdout+stderr, "6222")
}
