package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

func TestPollAfter_is_the_official_cadence(t *testing.T) {
	t.Parallel()
	var minutes []int
	for n := 1; n <= 10; n++ {
		minutes = append(minutes, int(pollAfter(n, time.Minute)/time.Minute))
	}
	require.Equal(t, []int{1, 1, 1, 1, 1, 5, 10, 20, 30, 30}, minutes)
}

func TestBackoff_doubles_up_to_thirty_times_the_first(t *testing.T) {
	t.Parallel()
	var seconds []int
	for n := 1; n <= 7; n++ {
		seconds = append(seconds, int(backoff(n, 10*time.Second)/time.Second))
	}
	require.Equal(t, []int{10, 20, 40, 80, 160, 300, 300}, seconds)
}

func TestMaySend_asks_first_after_whatever_may_be_under_way(t *testing.T) {
	t.Parallel()
	over := placed()
	require.True(t, maySend(nil), "never sent")
	require.False(t, maySend([]pay.Attempt{{Number: 1, Outcome: pay.AttemptUnknown}}), "nobody came back from it")
	for outcome, may := range map[pay.AttemptOutcome]bool{
		pay.AttemptUnknown: true, pay.AttemptNotEnough: true, pay.AttemptBlocked: true,
		pay.AttemptAccepted: false, pay.AttemptRejected: false,
	} {
		// The latest counts, whatever their order in the list.
		attempts := []pay.Attempt{{Number: 2, Outcome: outcome, FinishedAt: over}, {Number: 1, Outcome: pay.AttemptUnknown, FinishedAt: over}}
		require.Equal(t, may, maySend(attempts), outcome)
	}
}

func TestUnknownInARow_counts_the_latest_only(t *testing.T) {
	t.Parallel()
	require.Equal(t, 2, unknownInARow([]pay.Attempt{
		{Number: 4, Outcome: pay.AttemptUnknown}, {Number: 1, Outcome: pay.AttemptUnknown},
		{Number: 3, Outcome: pay.AttemptUnknown}, {Number: 2, Outcome: pay.AttemptNotEnough},
	}))
}

func TestQuarantine_ends_with_the_youngest_attempt_of_unknown_outcome(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return placed().Add(time.Duration(minute) * time.Minute) }
	require.Equal(t, at(13), quarantineEnds([]pay.Attempt{
		{Number: 1, Outcome: pay.AttemptUnknown, StartedAt: at(0)},
		{Number: 2, Outcome: pay.AttemptUnknown, StartedAt: at(3)},
		{Number: 3, Outcome: pay.AttemptRejected, StartedAt: at(5)},
	}, 10*time.Minute))
}

func TestErrorCost_keeps_refused_refunds_below_six_a_second(t *testing.T) {
	t.Parallel()
	for _, perSecond := range []int{1, 6, 20, 150} {
		perError := 1 + errorCost(perSecond)
		require.LessOrEqual(t, perSecond, errorsAllowed*perError, "%d a second", perSecond)
	}
	require.Zero(t, errorCost(6))
	require.Equal(t, 3, errorCost(20))
}

func TestFailureOf_says_why_in_a_code(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"":                nil,
		"PARAM_ERROR":     &wechatpay.CallError{Class: wechatpay.ClassFinal, Status: 400, Code: "PARAM_ERROR"},
		"HTTP_502":        &wechatpay.CallError{Class: wechatpay.ClassUnknown, Status: 502},
		"NO_ANSWER":       &wechatpay.CallError{Class: wechatpay.ClassUnknown},
		"NOT_SENT":        &wechatpay.CallError{Class: wechatpay.ClassConfig},
		"APPID_NOT_EXIST": &wechatpay.CallError{Class: wechatpay.ClassConfig, Status: 403, Code: "APPID_NOT_EXIST"},
	} {
		code, _ := failureOf(err)
		require.Equal(t, want, code)
	}
}
