package pay_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestWhyNotRetry_shortens_no_wait_of_an_unknown_outcome(t *testing.T) {
	t.Parallel()
	const quarantine = 10 * time.Minute
	attempt := func(number int, outcome pay.AttemptOutcome) pay.Attempt {
		return pay.Attempt{Number: number, StartedAt: noon, FinishedAt: noon.Add(time.Second), Outcome: outcome}
	}
	waits := pay.Refund{OutRefundNo: "R1", State: pay.RefundRequested, CheckAPI: pay.APIRefundQuery}
	as := func(change func(*pay.Refund)) pay.Refund { r := waits; change(&r); return r }
	young, old := noon.Add(quarantine-1), noon.Add(quarantine)
	for name, tc := range map[string]struct {
		refund   pay.Refund
		attempts []pay.Attempt
		held     bool
		at       time.Time
		why      string
	}{
		"too little money":                     {waits, []pay.Attempt{attempt(1, pay.AttemptNotEnough)}, false, young, ""},
		"blocked":                              {waits, []pay.Attempt{attempt(1, pay.AttemptBlocked)}, false, young, ""},
		"rejected":                             {waits, []pay.Attempt{attempt(1, pay.AttemptRejected)}, false, young, ""},
		"waits for another part":               {as(func(r *pay.Refund) { r.CheckAPI = pay.APIRefund }), nil, false, young, ""},
		"under way there":                      {as(func(r *pay.Refund) { r.State = pay.RefundProcessing }), []pay.Attempt{attempt(1, pay.AttemptAccepted)}, false, young, ""},
		"abnormal":                             {as(func(r *pay.Refund) { r.State = pay.RefundAbnormal }), []pay.Attempt{attempt(1, pay.AttemptAccepted)}, false, young, ""},
		"unknown":                              {waits, []pay.Attempt{attempt(1, pay.AttemptUnknown)}, false, young, "until 2026-03-01T04:10:00Z"},
		"unknown, and nobody came back":        {waits, []pay.Attempt{{Number: 1, StartedAt: noon, Outcome: pay.AttemptUnknown}}, false, young, "never shortened"},
		"unknown, then rejected":               {waits, []pay.Attempt{attempt(1, pay.AttemptUnknown), attempt(2, pay.AttemptRejected)}, false, young, "attempt 1"},
		"unknown, and WeChat Pay is long away": {waits, []pay.Attempt{attempt(1, pay.AttemptUnknown)}, false, old, ""},
		"held":                                 {waits, nil, true, old, "at this moment"},
		"being driven on":                      {as(func(r *pay.Refund) { r.State, r.CheckAPI = pay.RefundAbnormal, pay.APIRefundAbnormal }), nil, false, old, "driven on"},
		"succeeded":                            {as(func(r *pay.Refund) { r.State = pay.RefundSucceeded }), nil, false, old, "is succeeded"},
		"failed":                               {as(func(r *pay.Refund) { r.State = pay.RefundFailed }), nil, false, old, "is failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			why := pay.WhyNotRetry(tc.refund, tc.attempts, tc.held, tc.at, quarantine)
			if tc.why == "" {
				require.Empty(t, why)
				return
			}
			require.Contains(t, why, tc.why)
		})
	}
}
