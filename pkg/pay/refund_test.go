package pay_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestMayFail(t *testing.T) {
	t.Parallel()
	const quarantine = 10 * time.Minute
	at := func(minutes float64) time.Time { return noon.Add(time.Duration(minutes * float64(time.Minute))) }
	attempt := func(number int, minutes float64, outcome pay.AttemptOutcome) pay.Attempt {
		return pay.Attempt{Number: number, StartedAt: at(minutes), FinishedAt: at(minutes).Add(time.Second), Outcome: outcome}
	}
	lost := func(number int, minutes float64) pay.Attempt { // nobody came back from it
		return pay.Attempt{Number: number, StartedAt: at(minutes), Outcome: pay.AttemptUnknown}
	}
	rejected, unknown := pay.AttemptRejected, pay.AttemptUnknown
	unfinished := attempt(1, 0, rejected)
	unfinished.FinishedAt = time.Time{}
	for _, tc := range []struct {
		name     string
		attempts []pay.Attempt
		asked    time.Time
		may      bool
	}{
		{"no attempts: it was never refused", nil, at(60), false},
		{"one rejection, asked after it", []pay.Attempt{attempt(1, 0, rejected)}, at(1), true},
		{"asked before the rejection", []pay.Attempt{attempt(1, 0, rejected)}, at(-1), false},
		{"asked while the call was under way", []pay.Attempt{attempt(1, 0, rejected)}, at(0), false},
		{"asked in the moment of the rejection", []pay.Attempt{attempt(1, 0, rejected)}, at(0).Add(time.Second), false},
		{"never asked", []pay.Attempt{attempt(1, 0, rejected)}, time.Time{}, false},
		{"a rejection that nobody recorded the end of", []pay.Attempt{unfinished}, at(60), false},
		{"an unknown attempt alone, old", []pay.Attempt{attempt(1, 0, unknown)}, at(600), false},
		{"a lost attempt alone, old", []pay.Attempt{lost(1, 0)}, at(600), false},
		{"rejected after a young unknown", []pay.Attempt{attempt(1, 0, unknown), attempt(2, 1, rejected)}, at(9.99), false},
		{"rejected after an unknown of ten minutes", []pay.Attempt{attempt(1, 0, unknown), attempt(2, 1, rejected)}, at(10), true},
		{"rejected after a young lost one", []pay.Attempt{lost(1, 0), attempt(2, 1, rejected)}, at(9.99), false},
		{"rejected after an old lost one", []pay.Attempt{lost(1, 0), attempt(2, 1, rejected)}, at(10), true},
		{"one old unknown and one young", []pay.Attempt{attempt(1, 0, unknown), lost(2, 20), attempt(3, 21, rejected)}, at(29), false},
		{"all unknowns old", []pay.Attempt{attempt(1, 0, unknown), lost(2, 20), attempt(3, 21, rejected)}, at(30), true},
		{"unknown after the rejection", []pay.Attempt{attempt(1, 0, rejected), attempt(2, 1, unknown)}, at(600), false},
		{"lost after the rejection", []pay.Attempt{attempt(1, 0, rejected), lost(2, 1)}, at(600), false},
		{"rejected twice, asked between", []pay.Attempt{attempt(1, 0, rejected), attempt(2, 5, rejected)}, at(3), false},
		{"rejected twice, asked after both", []pay.Attempt{attempt(1, 0, rejected), attempt(2, 5, rejected)}, at(6), true},
		{"the latest counts, in whatever order they are read", []pay.Attempt{attempt(2, 5, unknown), attempt(1, 0, rejected)}, at(600), false},
		{"the latest counts, read first", []pay.Attempt{attempt(2, 15, rejected), attempt(1, 0, unknown)}, at(16), true},
		{"for want of money", []pay.Attempt{attempt(1, 0, pay.AttemptNotEnough)}, at(600), false},
		{"for want of money after a rejection", []pay.Attempt{attempt(1, 0, rejected), attempt(2, 1, pay.AttemptNotEnough)}, at(600), false},
		{"blocked until an operator acts", []pay.Attempt{attempt(1, 0, pay.AttemptBlocked)}, at(600), false},
		{"accepted", []pay.Attempt{attempt(1, 0, pay.AttemptAccepted)}, at(600), false},
		{"rejected after want of money", []pay.Attempt{attempt(1, 0, pay.AttemptNotEnough), attempt(2, 1, rejected)}, at(2), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.may, pay.MayFail(tc.attempts, tc.asked, quarantine))

			book := paidBook(t)
			book.Attempts = map[pay.OutRefundNo][]pay.Attempt{"R1": tc.attempts}
			obs := missing("R1")
			obs.AskedAt = tc.asked
			applyAll(book, wish("R1", 60), obs)
			want, reserved := pay.RefundRequested, pay.Fen(60)
			if tc.may {
				want, reserved = pay.RefundFailed, 0
			}
			require.Equal(t, want, book.Refunds["R1"].State)
			require.Equal(t, reserved, book.Payments["4200"].Reserved)
		})
	}
}

func TestRefundTransitions_end_where_the_money_is(t *testing.T) {
	t.Parallel()
	all := []pay.RefundState{pay.RefundRequested, pay.RefundProcessing, pay.RefundSucceeded, pay.RefundClosed, pay.RefundAbnormal, pay.RefundFailed}
	for _, state := range all {
		require.False(t, pay.CanMoveRefund(pay.RefundSucceeded, state), "the buyer has it")
		require.False(t, pay.CanMoveRefund(pay.RefundClosed, state), "the number is used up")
		require.False(t, pay.CanMoveRefund(state, pay.RefundRequested), "a refund is asked for once")
		if state != pay.RefundRequested {
			require.False(t, pay.CanMoveRefund(state, pay.RefundFailed), "WeChat had it: it cannot have failed")
		}
	}
}
