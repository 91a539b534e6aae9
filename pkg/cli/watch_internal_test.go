package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

// story is one look: the order's state and its moments, of which those of kind
// event with a ! are not published yet.
func story(state string, moments ...string) seenStory {
	s := seenStory{Order: operatorapi.Order{OutTradeNo: "T-000001", State: operatorapi.OrderState(state)}}
	for _, what := range moments {
		kind, more := "history", ""
		if name, is := strings.CutPrefix(what, "event "); is {
			kind = "event"
			if name, is = strings.CutSuffix(name, "!"); !is {
				more = `,"published_at":"2026-03-01T04:00:00Z"`
			}
			what = name
		}
		s.Timeline = append(s.Timeline, json.RawMessage(fmt.Sprintf(`{"at":"2026-03-01T04:00:00Z","kind":%q,"what":%q%s}`, kind, what, more)))
	}
	return s
}

// looks are what a watcher sees, one after the other; the last one stays.
type looks struct {
	t     *testing.T
	seen  []any // seenStory or error
	made  []time.Duration
	begun time.Time
	said  []string
}

func (l *looks) watcher() *watcher {
	l.begun = time.Now()
	return &watcher{seen: map[string]bool{}, tell: func(text string) { l.said = append(l.said, strings.TrimSpace(text)) }, look: func(context.Context) (seenStory, error) {
		l.made = append(l.made, time.Since(l.begun))
		now := l.seen[0]
		if len(l.seen) > 1 {
			l.seen = l.seen[1:]
		}
		if err, is := now.(error); is {
			return seenStory{}, err
		}
		return now.(seenStory), nil
	}, moment: func(raw json.RawMessage) error {
		var m operatorapi.Moment
		require.NoError(l.t, json.Unmarshal(raw, &m))
		l.said = append(l.said, string(m.Kind)+" "+m.What)
		return nil
	}}
}

func TestWatch_tells_each_moment_once_and_ends_with_the_order(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &looks{t: t, seen: []any{
			story("created", "created"), story("created", "created"), story("paid", "created", "paid", "event order.paid!"),
			story("paid", "created", "paid", "event order.paid"),
		}}
		last, err := l.watcher().watch(t.Context())
		require.NoError(t, err)
		require.Equal(t, "paid", string(last.Order.State))
		require.Equal(t, []string{"history created", "history paid", "event order.paid", "event order.paid"}, l.said, "an event is told again when it is published")
		require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}, l.made)
	})
}

func TestWatch_goes_on_while_a_refund_is_on_its_way(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		going, gone := story("paid"), story("paid")
		going.Refunds = []operatorapi.Refund{{State: "succeeded"}, {State: "abnormal"}}
		gone.Refunds = []operatorapi.Refund{{State: "succeeded"}, {State: "failed"}}
		l := &looks{t: t, seen: []any{going, going, gone}}
		_, err := l.watcher().watch(t.Context())
		require.NoError(t, err)
		require.Len(t, l.made, 3)
	})
}

func TestWatch_says_that_the_console_is_away_and_goes_on(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := problem.New(problem.Unhealthy, "no answer")
		l := &looks{t: t, seen: []any{
			story("created", "created"), away, away, problem.New(problem.DatabaseUnavailable, ""), away, away, away,
			story("closed", "created", "closed"),
		}}
		_, err := l.watcher().watch(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"history created", "The console is away; the watch goes on.", "The console is back.", "history closed"}, l.said)
		require.Equal(t, []time.Duration{0, 1, 3, 7, 15, 25, 35, 45}, seconds(l.made), "less and less often, and no less than each ten seconds")
	})
}

func seconds(spans []time.Duration) []time.Duration {
	whole := make([]time.Duration, len(spans))
	for i, d := range spans {
		whole[i] = d / time.Second
	}
	return whole
}

func TestWatch_goes_as_slowly_as_it_is_asked_to(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &refusal{problem: problem.New(problem.TooManyRequests, ""), retryAfter: 30 * time.Second}
		l := &looks{t: t, seen: []any{story("created"), slow, story("closed")}}
		_, err := l.watcher().watch(t.Context())
		require.NoError(t, err)
		require.Equal(t, []time.Duration{0, 1, 31}, seconds(l.made))
		require.Empty(t, l.said, "it is there")
	})
}

func TestWatch_ends_where_it_makes_no_sense(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		seen []any
		err  problem.Kind
	}{
		"away from the start": {[]any{problem.New(problem.Unhealthy, "")}, problem.Unhealthy},
		"the token is gone":   {[]any{story("created"), problem.New(problem.TokenRejected, "")}, problem.TokenRejected},
		"the order is gone":   {[]any{story("created"), problem.New(problem.UnknownNumber, "")}, problem.UnknownNumber},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, err := (&looks{t: t, seen: row.seen}).watcher().watch(t.Context())
				require.Equal(t, row.err, problem.KindOf(err))
			})
		})
	}
}

func TestWatch_ends_at_once_in_the_state_that_is_waited_for_or_with_its_time(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &looks{t: t, seen: []any{story("created"), story("awaiting_payment", "event order.prepared!")}}
		w := l.watcher()
		w.until = "awaiting_payment"
		last, err := w.watch(t.Context())
		require.NoError(t, err)
		require.Equal(t, "awaiting_payment", string(last.Order.State))

		l = &looks{t: t, seen: []any{story("created")}}
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		_, err = l.watcher().watch(ctx)
		require.NoError(t, err)
		require.Len(t, l.made, 4)
	})
}

func TestWatch_stops_when_nobody_reads(t *testing.T) {
	t.Parallel()
	w := (&looks{t: t, seen: []any{story("created", "created")}}).watcher()
	full := errors.New("disk full")
	w.moment = func(json.RawMessage) error { return full }
	_, err := w.watch(t.Context())
	require.ErrorIs(t, err, full)
}

func TestAmount_is_exact_and_means_one_thing(t *testing.T) {
	t.Parallel()
	for text, fen := range map[string]int64{"8.80": 880, "0.01": 1, "1200.00": 120000, "999999999.99": 99999999999} {
		got, err := (&money{yuan: text}).exact()
		require.NoError(t, err, text)
		require.EqualValues(t, fen, got)
	}
	for _, text := range []string{"8", "8.8", "8.800", ".80", "08.80", "8,80", "8.80 ", "-8.80", "+8.80", "1e2.00", "0.00", "8.8x", "1,200.00", "9999999999.00", "８.80"} {
		_, err := (&money{yuan: text}).exact()
		require.Equal(t, problem.Usage, problem.KindOf(err), text)
	}
	got, err := (&money{fen: 880}).exact()
	require.NoError(t, err)
	require.EqualValues(t, 880, got)
	for _, fen := range []wholeFen{0, -1} {
		_, err := (&money{fen: fen}).exact()
		require.Equal(t, problem.Usage, problem.KindOf(err))
	}
	var m money
	flags := &cobra.Command{}
	m.flags(flags)
	require.NoError(t, flags.Flags().Set("amount-fen", "1200"))
	require.EqualValues(t, 1200, m.fen)
	for _, text := range []string{"0100", "0x64", "0b11", "1_000", "1e3", "+5", " 5", "5.0", "", "９", "9223372036854775808"} { // what other flags take for 64, 100, 3 and 1000
		require.Error(t, flags.Flags().Set("amount-fen", text), text)
	}
	require.EqualValues(t, 1200, m.fen)
	require.Equal(t, "8.80 CNY (880 fen)", both(880, "CNY"))
}

func TestWatch_names_what_is_still_to_come(t *testing.T) {
	t.Parallel()
	paid := story("paid", "event order.paid")
	paid.Refunds = []operatorapi.Refund{{OutRefundNo: "R1", State: "processing"}, {OutRefundNo: "R2", State: "succeeded"}}
	_, err := (&commandLine{}).watched(paid, "", true, 2*time.Second)
	require.ErrorContains(t, err, "order T-000001 is paid after 2s, and still to come: the end of refund R1, which is processing")
	require.NotContains(t, err.Error(), "R2")
	_, err = (&commandLine{}).watched(paid, "closed", true, 2*time.Second)
	require.NotContains(t, err.Error(), "still to come", "a state was awaited")
}
