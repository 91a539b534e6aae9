package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/cli"
	"github.com/fenflow/fenflow/pkg/problem"
)

// TestRehearsalScripts hold what the command line says of dry runs and of replays
// out of the archive, at a console that keeps answers ready.
func TestRehearsalScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/rehearse",
		UpdateScripts: os.Getenv("FENFLOW_UPDATE_GOLDEN") != "",
		Setup: func(e *testscript.Env) error {
			console := httptest.NewServer(bySchema(t, rehearsing()))
			e.Defer(console.Close)
			e.Setenv("GORACE", "atexit_sleep_ms=0") // each command is a process, which the race detector lets linger for a second
			e.Setenv("FENFLOW_URL", console.URL)
			e.Setenv("FENFLOW_TOKEN", operator)
			return nil
		},
	})
}

type asked struct {
	DeliveryIDs []string `json:"delivery_ids"`
	Orders      []struct {
		OutTradeNo string `json:"out_trade_no"`
		Sequence   int64
	}
}

// rehearsing is a console whose messages say by their last digits what becomes of
// them: 1 pays an order, 2 pays it a second time, 3 is known, 4 is of an order that
// nobody knows, 5 cannot be read, 6 is busy, 7 is discarded, 8 is a hint, 9 is of an
// order that has moved by the time of the replay.
func rehearsing() http.Handler {
	mux := http.NewServeMux()
	var busy, taken atomic.Bool
	write := func(w http.ResponseWriter, document any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(document)
	}
	read := func(r *http.Request) (a asked) {
		_ = json.NewDecoder(r.Body).Decode(&a)
		return a
	}
	mux.HandleFunc("POST /operator/v1/rehearsals", func(w http.ResponseWriter, r *http.Request) {
		write(w, rehearsalOf(read(r).DeliveryIDs))
	})
	mux.HandleFunc("POST /operator/v1/rehearsed-replays", func(w http.ResponseWriter, r *http.Request) {
		a := read(r)
		for _, o := range a.Orders {
			switch {
			case strings.HasSuffix(o.OutTradeNo, "9"):
				refuse(w, problem.New(problem.OrderMoved, "order "+o.OutTradeNo+" of merchant 1900000109 had sequence 3, and has 4 now"))
				return
			case strings.HasPrefix(o.OutTradeNo, "T-1") && busy.CompareAndSwap(false, true):
				refuse(w, problem.New(problem.RowsBusy, ""))
				return
			}
		}
		write(w, rehearsalOf(a.DeliveryIDs))
	})
	mux.HandleFunc("GET /operator/v1/replayable-notifications", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		rows := []any{}
		for n := range 3 {
			rows = append(rows, map[string]any{"delivery_id": messageID(10*n + 1), "mchid": "1900000109", "kind": "notify_v3", "received_at": "2026-03-02T08:00:00Z"})
		}
		switch {
		case q.Get("mchid") != "":
			write(w, map[string]any{"notifications": []any{}, "count": 0})
		case q.Get("cursor") == "" && q.Get("limit") != "3":
			write(w, map[string]any{"notifications": rows[:2], "count": 3, "next_cursor": "more"})
		case q.Get("cursor") == "":
			write(w, map[string]any{"notifications": rows, "count": 100000, "next_cursor": "more"})
		default:
			write(w, map[string]any{"notifications": rows[2:]})
		}
	})
	mux.HandleFunc("POST /operator/v1/notification-replays", func(w http.ResponseWriter, r *http.Request) {
		sent := []string{}
		for _, id := range read(r).DeliveryIDs {
			if strings.HasSuffix(id, "0099") {
				refuse(w, problem.New(problem.UnknownDelivery, id))
				return
			}
			if !strings.HasSuffix(id, "7") {
				sent = append(sent, id)
			}
		}
		write(w, map[string]any{"delivery_ids": sent, "position": 12})
	})
	mux.HandleFunc("GET /operator/v1/replay-lane", func(w http.ResponseWriter, _ *http.Request) {
		if taken.CompareAndSwap(false, true) { // somebody looks once before the lane is through
			write(w, map[string]any{"acknowledged": 11, "waiting": 1})
			return
		}
		write(w, map[string]any{"acknowledged": 12, "waiting": 0})
	})
	mux.HandleFunc("GET /operator/v1/dead-letters", func(w http.ResponseWriter, r *http.Request) {
		letters := []any{}
		for _, id := range r.URL.Query()["delivery_id"] {
			l := oneLetter(id)
			switch id[len(id)-1] {
			case '4':
				l["state"], l["reason"], l["next_retry_at"] = "waiting", "unknown_order", "2026-03-02T08:01:00Z"
			case '5':
				l["state"], l["reason"], l["detail"] = "open", "malformed", "nobody reads \x1b[2J this"
			case '9':
				l["state"] = "resolved"
			default:
				continue
			}
			letters = append(letters, l)
		}
		write(w, map[string]any{"letters": letters})
	})
	mux.HandleFunc("POST /operator/v1/dead-letters/{id}/discard", func(w http.ResponseWriter, r *http.Request) {
		l := oneLetter(r.PathValue("id"))
		l["state"] = "discarded"
		l["discard"] = map[string]any{"actor": "token:ada", "reason": "a forgery \x1b[2J", "at": "2026-03-02T08:02:00Z", "again": true}
		if strings.HasSuffix(r.PathValue("id"), "6") {
			l["discard"] = map[string]any{"again": true}
		}
		write(w, l)
	})
	mux.HandleFunc("GET /operator/v1/audit", func(w http.ResponseWriter, _ *http.Request) {
		write(w, map[string]any{"entries": []any{map[string]any{
			"audit_id": messageID(1), "at": "2026-03-02T08:00:00Z", "actor": "token:ada", "action": "notification.replay", "subject": messageID(2),
			"detail": map[string]any{"count": 3, "delivery_ids": []string{messageID(2), messageID(3), messageID(4)}},
		}}})
	})
	return mux
}

func messageID(n int) string { return fmt.Sprintf("0195563c-7d00-7000-8000-%012d", n) }

func rehearsalOf(ids []string) map[string]any {
	totals := map[string]int{}
	for _, name := range []string{"applied", "unchanged", "lettered", "archived", "busy", "refused", "history", "payments", "anomalies", "refunds", "events", "resolved"} {
		totals[name] = 0
	}
	rows := make([]any, len(ids))
	for i, id := range ids {
		row := rehearsedOf(id)
		rows[i] = row
		totals[row["outcome"].(string)]++
		for _, list := range []string{"history", "payments", "anomalies", "refunds", "events"} {
			if l, has := row[list].([]any); has {
				totals[list] += len(l)
			}
		}
	}
	totals["deliveries"] = len(ids)
	return map[string]any{"deliveries": rows, "totals": totals}
}

func rehearsedOf(id string) map[string]any {
	number := strings.TrimLeft(id[24:], "0")
	order := map[string]any{"mchid": "1900000109", "out_trade_no": "T-" + number, "sequence": 2, "sequence_after": 3, "state": "awaiting_payment", "state_after": "paid"}
	row := map[string]any{"delivery_id": id, "mchid": "1900000109", "kind": "notify_v3", "outcome": "applied", "order": order}
	event := map[string]any{"event_id": "e-" + number, "fact": "order.paid", "sequence": 3}
	line := map[string]any{"sequence": 3, "what": "paid", "from": "awaiting_payment", "to": "paid"}
	payment := map[string]any{"new": true, "transaction_id": "42" + number, "amount_fen": 880, "refunded_fen": 0, "reserved_fen": 0, "overrun_fen": 0, "paid_at": "2026-03-02T08:00:00Z"}
	switch number[len(number)-1] {
	case '1', '9':
		row["history"], row["events"], row["payments"] = []any{line}, []any{event}, []any{payment}
		row["letter"] = map[string]any{"state": "open", "state_after": "resolved"}
		row["wakes"] = []string{messageID(4)}
	case '2': // of the order of 1
		order["out_trade_no"] = "T-" + number[:len(number)-1] + "1"
		order["sequence"], order["sequence_after"], order["state"], event["fact"] = 3, 5, "paid", "order.anomaly"
		row["history"], row["payments"] = []any{line, line}, []any{payment}
		row["events"] = []any{event, map[string]any{"event_id": "f", "fact": "refund.requested", "sequence": 5}}
		row["anomalies"] = []any{map[string]any{"new": true, "kind": "double_payment", "transaction_id": "42", "policy": "refund", "state": "open", "expected_fen": 880, "actual_fen": 880}}
		row["refunds"] = []any{map[string]any{"new": true, "out_refund_no": "AUTO-42", "transaction_id": "42", "amount_fen": 880, "origin": "policy", "state_after": "requested"}}
	case '3':
		row["outcome"], order["sequence_after"], order["state"] = "unchanged", 2, "paid"
	case '4':
		row["outcome"], row["reason"], row["detail"] = "lettered", "unknown_order", "payment 424 of 880 fen is for an order that is not known yet"
		row["order"] = map[string]any{"mchid": "1900000110", "out_trade_no": "T|\x1b[31m*4", "sequence": 0, "sequence_after": 0}
		row["mchid"], row["letter"] = "1900000110", map[string]any{"state_after": "waiting"}
	case '5':
		row["outcome"], row["reason"], row["detail"] = "lettered", "malformed", "nobody reads \x1b[2J this"
		delete(row, "order")
	case '6':
		row["outcome"], row["order"] = "busy", map[string]any{"mchid": "1900000109", "out_trade_no": "T-" + number}
	case '7':
		row["outcome"], row["detail"] = "refused", "a person discarded it"
		delete(row, "order")
	case '8':
		row["outcome"], row["asks_refund"], row["kind"] = "archived", "R-8", "notify_v2_refund"
		delete(row, "order")
	}
	return row
}

// Messages about one order are rehearsed together, however they were named, and
// replayed so.
func TestDryRun_puts_the_messages_of_an_order_together(t *testing.T) {
	t.Parallel()
	var chunks, replayed []asked
	next := rehearsing()
	console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		var a asked
		_ = json.Unmarshal(body.Bytes(), &a)
		switch r.URL.Path {
		case "/operator/v1/rehearsals":
			chunks = append(chunks, a)
		case "/operator/v1/rehearsed-replays":
			replayed = append(replayed, a)
		}
		r.Body = http.NoBody
		again := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), &body)
		next.ServeHTTP(w, again)
	}))
	t.Cleanup(console.Close)
	env := map[string]string{"FENFLOW_URL": console.URL, "FENFLOW_TOKEN": operator}
	run := func(input string, args ...string) string {
		var out, errs bytes.Buffer
		exit := cli.Run(context.WithoutCancel(t.Context()), cli.Deps{
			Stdout: &out, Stderr: &errs, Pipe: strings.NewReader(input), Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		}, args)
		require.Zero(t, exit, errs.String()+out.String())
		return out.String()
	}
	args := []string{"replay", "--dry-run", "--json"}
	for n := range 60 {
		args = append(args, messageID(10*(n+1)+1)) // pays order T-…1
	}
	args = append(args, messageID(12), messageID(22)) // pay the first two again
	dry := run("", args...)
	require.Len(t, chunks, 4, "two, and two more once it was known what they are about")
	require.Len(t, chunks[2].DeliveryIDs, 50)
	require.Equal(t, []string{messageID(11), messageID(12), messageID(21), messageID(22), messageID(31)}, chunks[2].DeliveryIDs[:5])
	require.Len(t, chunks[3].DeliveryIDs, 12)

	run(dry, "replay", "--expect", "-", "--reason", "as rehearsed", "--json")
	require.Len(t, replayed, 3, "the first was busy once")
	require.Equal(t, chunks[2].DeliveryIDs, replayed[1].DeliveryIDs)
	require.Equal(t, chunks[3].DeliveryIDs, replayed[2].DeliveryIDs)
	require.Len(t, replayed[1].Orders, 48, "each order once, as its first message found it")
	require.Equal(t, "T-11 2", fmt.Sprint(replayed[1].Orders[0].OutTradeNo, " ", replayed[1].Orders[0].Sequence))
}

// An order with more messages than a chunk holds is expected as this very replay
// left it.
func TestExpect_does_not_stop_at_what_it_moved_itself(t *testing.T) {
	t.Parallel()
	var orders []int64
	console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var a asked
		_ = json.NewDecoder(r.Body).Decode(&a)
		orders = append(orders, a.Orders[0].Sequence)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(rehearsalOf(a.DeliveryIDs))
	}))
	t.Cleanup(console.Close)
	var rows []any
	for n := range 60 {
		row := rehearsedOf(messageID(11))
		row["delivery_id"] = messageID(100 + n)
		rows = append(rows, row)
	}
	document, err := json.Marshal(map[string]any{"deliveries": rows, "totals": rehearsalOf(nil)["totals"]})
	require.NoError(t, err)
	env := map[string]string{"FENFLOW_URL": console.URL, "FENFLOW_TOKEN": operator}
	var out bytes.Buffer
	exit := cli.Run(t.Context(), cli.Deps{Stdout: &out, Stderr: &out, Pipe: bytes.NewReader(document), Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }},
		[]string{"dead-letter", "replay", "--expect", "-", "--reason", "x", "--json"})
	require.Equal(t, problem.ExitRefused, exit, "some of them cannot be read, and are letters still: "+out.String())
	require.Len(t, orders, 2)
	require.EqualValues(t, 2, orders[0])
}

// A bulk replay that fails midway says what was done before.
func TestReplay_that_fails_midway_tells_what_was_done(t *testing.T) {
	t.Parallel()
	acts := 0
	console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && acts > 0:
			refuse(w, problem.New(problem.Forbidden, `token "night-shift" has role read`))
		case r.Method == http.MethodPost:
			acts++
			replays(w, r)
		default:
			letters := []any{}
			for _, id := range r.URL.Query()["delivery_id"] {
				l := oneLetter(id)
				l["state"] = map[int]string{0: "open", 1: "resolved"}[acts]
				letters = append(letters, l)
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"letters": letters})
		}
	}))
	t.Cleanup(console.Close)
	env := map[string]string{"FENFLOW_URL": console.URL, "FENFLOW_TOKEN": operator}
	args := []string{"dead-letter", "replay", "--reason", "x"}
	for n := range 60 {
		args = append(args, messageID(10*n+11))
	}
	run := func(args ...string) (int, string, string) {
		acts = 0
		var out, errs bytes.Buffer
		exit := cli.Run(t.Context(), cli.Deps{Stdout: &out, Stderr: &errs, Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}, args)
		return exit, out.String(), errs.String()
	}
	exit, stdout, stderr := run(args...)
	require.Equal(t, problem.ExitDenied, exit)
	require.Contains(t, stdout, "50 dead letters: 50 resolved, 0 open again, 0 waiting.")
	require.Contains(t, stdout, "Stopped; 10 dead letters more had not been asked for.")
	require.Contains(t, stderr, "FEN-3008")
	exit, stdout, _ = run(append(args, "--json")...)
	require.Equal(t, problem.ExitDenied, exit)
	var failure struct {
		Error struct {
			Code string
			Done struct{ Requested, Resolved int }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &failure), stdout)
	require.Equal(t, "FEN-3008 50 50", fmt.Sprint(failure.Error.Code, " ", failure.Error.Done.Requested, " ", failure.Error.Done.Resolved))
}

func TestReplay_of_an_archive_stops_where_it_is_and_says_how_to_go_on(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	next, acts := rehearsing(), 0
	console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "replayable-notifications"):
			rows := []any{}
			for n := range 250 {
				rows = append(rows, map[string]any{"delivery_id": messageID(10*n + 1), "mchid": "1900000109", "kind": "notify_v3", "received_at": "2026-03-02T08:00:00Z"})
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"notifications": rows, "count": 250})
			return
		case r.Method == http.MethodPost:
			if acts++; acts == 2 {
				stop() // as Ctrl-C does, while the console answers
			}
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(console.Close)
	env := map[string]string{"FENFLOW_URL": console.URL, "FENFLOW_TOKEN": operator}
	var out, errs bytes.Buffer
	exit := cli.Run(ctx, cli.Deps{Stdout: &out, Stderr: &errs, Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }},
		[]string{"replay", "--since", "2026-03-01T00:00:00Z", "--reason", "x", "--yes"})
	require.Equal(t, problem.ExitUnavailable, exit, errs.String())
	require.Equal(t, 2, acts)
	require.Contains(t, out.String(), "200 notifications: 100 settled, 0 dead letters, 100 waiting.")
	require.Contains(t, out.String(), "Stopped; 50 notifications more had not been asked for. Go on with --since 2025-03-02T09:42:39.616Z")
}
