package doctor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRun_a_check_that_panics_fails_alone_and_tells_nothing_of_it(t *testing.T) {
	t.Parallel()
	found := run(t.Context(), []check{
		{name: "a.one", look: func(context.Context) []outcome { panic(errors.New("s3cret")) }},
		{name: "a.two", look: func(context.Context) []outcome { return ok("fine") }},
		{name: "b.three", needs: []string{"a.one"}, look: func(context.Context) []outcome { return ok("fine") }},
		{name: "b.four", subject: "x", needs: []string{"a.two", "nobody"}, look: func(context.Context) []outcome { return warn("do", "middling") }},
		{name: "b.five", needs: []string{"b.four/x", "b.three"}, look: func(context.Context) []outcome { return ok("fine") }},
	})
	var verdicts []Verdict
	for _, f := range found {
		verdicts = append(verdicts, f.Verdict)
		require.NotContains(t, f.Detail+f.Fix, "s3cret")
	}
	require.Equal(t, []Verdict{Fail, OK, Skipped, Warn, Skipped}, verdicts, "in the order of the plan")
	require.Equal(t, "not looked at, because a.one failed", found[2].Detail)
	require.Equal(t, "not looked at, because b.three was not", found[4].Detail)
	require.Equal(t, Finding{"b", "b.four", "x", Warn, "middling", "do"}, found[3])
}

func TestRun_waits_for_nobody_longer_than_promised(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hang := func(context.Context) []outcome { <-release; return ok("late") } // deaf to its context
		began := time.Now()
		found := run(t.Context(), []check{
			{name: "a.hangs", look: hang}, {name: "a.slow", look: func(context.Context) []outcome { <-time.After(4 * time.Second); return ok("slow") }},
			{name: "a.after", needs: []string{"a.slow"}, look: hang}, {name: "a.last", needs: []string{"a.hangs"}, look: hang},
		})
		require.Equal(t, 9*time.Second, time.Since(began))
		require.Equal(t, []Verdict{Fail, OK, Fail, Skipped}, []Verdict{found[0].Verdict, found[1].Verdict, found[2].Verdict, found[3].Verdict})
		require.Contains(t, found[0].Detail, "no answer within 5s")
		close(release)
	})
}

func TestRun_ends_within_twenty_seconds_whatever_hangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var checks []check
		slow := func(context.Context) []outcome { <-time.After(4900 * time.Millisecond); return ok("slow") }
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			c := check{name: name, look: slow}
			if len(checks) > 0 {
				c.needs = []string{checks[len(checks)-1].name}
			}
			checks = append(checks, c)
		}
		began := time.Now()
		found := run(t.Context(), checks)
		require.LessOrEqual(t, time.Since(began), examineWithin)
		require.Equal(t, Fail, found[4].Verdict)
		require.Equal(t, Skipped, found[5].Verdict)
		<-time.After(time.Minute) // of the bubble: what hangs is gone by then
	})
}

func TestSkew_is_judged_both_ways(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for off, want := range map[time.Duration]Verdict{
		0: OK, 900 * time.Millisecond: OK, -900 * time.Millisecond: OK, time.Second: Warn, -4 * time.Second: Warn, 5 * time.Second: Fail, -time.Hour: Fail,
	} {
		o := skew(now.Add(off), now, 0, time.Second, 5*time.Second, "the clock", "Why.")[0]
		require.Equal(t, want, o.verdict, "%s: %s", off, o.detail)
	}
	require.Equal(t, OK, skew(now.Add(3*time.Second), now, 2500*time.Millisecond, time.Second, 5*time.Second, "a slow one", "")[0].verdict, "that may be the way there")
	require.Contains(t, skew(now.Add(-time.Hour), now, 0, 1, 2, "the clock", "")[0].detail, "the clock is 1h0m0s behind this machine's")
	require.Contains(t, skew(now.Add(time.Hour), now, 0, 1, 2, "the clock", "")[0].detail, "1h0m0s ahead of")
}
