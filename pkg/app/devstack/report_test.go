package devstack

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReport_is_good_only_when_every_promise_held(t *testing.T) {
	t.Parallel()
	good := Report{Orders: 3, Paid: 3, Events: 3, Refunds: 2, RefundedFen: 70, PlatformRefundedFen: 70}
	require.True(t, good.Good())
	for name, spoil := range map[string]func(*Report){
		"an order is not paid":        func(r *Report) { r.Paid, r.Events = 2, 2 },
		"an event is missing":         func(r *Report) { r.Events = 2 },
		"an event came twice":         func(r *Report) { r.DuplicateEvents = 1 },
		"a payment is lost":           func(r *Report) { r.Lost = 1 },
		"a forgery was believed":      func(r *Report) { r.ForgedAccepted = 1 },
		"a refund was doubled":        func(r *Report) { r.RefundsDoubled = 1 },
		"a refund is not told of":     func(r *Report) { r.PlatformRefundedFen = 71 },
		"a refund is made up":         func(r *Report) { r.RefundedFen = 71 },
		"the run did not come to end": func(r *Report) { r.Error = "timeout" },
	} {
		bad := good
		spoil(&bad)
		require.False(t, bad.Good(), name)
		require.NotEqual(t, good.verdict(), bad.verdict(), name)
	}
}

func TestReport_figures_without_samples_are_null(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, Report{AckMS: percentiles(nil)}.writeJSON(&out))
	var doc map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &doc))
	require.Equal(t, map[string]any{"p50": nil, "p99": nil}, doc["ack_ms"])
	require.Nil(t, doc["seconds"])
	require.Contains(t, doc, "seconds")
	require.InDelta(t, 0, doc["orders"], 0)
}

func TestPercentiles_pick_from_the_samples(t *testing.T) {
	t.Parallel()
	samples := make([]float64, 0, 100)
	for i := range 100 {
		samples = append(samples, float64(100-i))
	}
	p := percentiles(samples)
	require.InDelta(t, 51, *p.P50, 0)
	require.InDelta(t, 100, *p.P99, 0)
	require.InDelta(t, 7.13, *percentiles([]float64{7.126}).P99, 0)
}

func TestMain_answers_a_wrong_command_line_with_one_document_and_help_with_success(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"demo", "--json", "--orders", "abc"}, {"demo", "--json=true", "--bogus"}, {"demo", "--json=banana"}, {"demo", "--json", "--orders", "0"},
	} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, 2, Main(args, Parts(), &stdout, &stderr), args)
		var report Report
		require.NoError(t, json.Unmarshal(stdout.Bytes(), &report), args)
		require.NotEmpty(t, report.Error)
	}
	var stdout, stderr bytes.Buffer
	require.Zero(t, Main([]string{"demo", "--help"}, Parts(), &stdout, &stderr))
	require.Empty(t, stdout.String())
	require.Contains(t, stderr.String(), "--orders")
}
