package pay_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func act() *pay.Act {
	return &pay.Act{ID: "0195563c-7d00-7000-8000-00000000000a", Actor: "token:night-shift", Reason: "the shop gave cash"}
}

// givenUp is a person's word that a refund which WeChat Pay says it lacks, without a
// signature, is at its end: asked an hour after noon.
func givenUp(no pay.OutRefundNo) pay.Observation {
	obs := missing(no)
	obs.Source, obs.Act = pay.SourceOperator, act()
	return obs
}

func blockedAtNoon() []pay.Attempt {
	return []pay.Attempt{{Number: 1, StartedAt: noon, FinishedAt: noon.Add(time.Second), Outcome: pay.AttemptBlocked, Status: 403, Code: "NO_AUTH"}}
}

// A person's word stands for the signature that is missing, and for nothing else.
func TestBook_Apply_gives_up_only_what_cannot_be_under_way(t *testing.T) {
	t.Parallel()
	at := func(minutes float64) time.Time { return noon.Add(time.Duration(minutes * float64(time.Minute))) }
	attempt := func(number int, minutes float64, outcome pay.AttemptOutcome) pay.Attempt {
		return pay.Attempt{Number: number, StartedAt: at(minutes), FinishedAt: at(minutes).Add(time.Second), Outcome: outcome, Code: "X"}
	}
	lost := func(number int, minutes float64) pay.Attempt {
		return pay.Attempt{Number: number, StartedAt: at(minutes), Outcome: pay.AttemptUnknown}
	}
	rejected, blocked, unknown := pay.AttemptRejected, pay.AttemptBlocked, pay.AttemptUnknown
	for name, tc := range map[string]struct {
		attempts []pay.Attempt
		asked    time.Time
		why      string // empty: it may
	}{
		"never sent":                               {nil, at(60), "never sent"},
		"rejected":                                 {[]pay.Attempt{attempt(1, 0, rejected)}, at(1), ""},
		"blocked":                                  {[]pay.Attempt{attempt(1, 0, blocked)}, at(1), ""},
		"blocked after a rejection":                {[]pay.Attempt{attempt(1, 0, rejected), attempt(2, 1, blocked)}, at(2), ""},
		"blocked, asked before":                    {[]pay.Attempt{attempt(1, 0, blocked)}, at(0), "asked before"},
		"rejected, asked in that moment":           {[]pay.Attempt{attempt(1, 0, rejected)}, at(0).Add(time.Second), "asked before"},
		"never asked":                              {[]pay.Attempt{attempt(1, 0, rejected)}, time.Time{}, "asked before"},
		"accepted":                                 {[]pay.Attempt{attempt(1, 0, pay.AttemptAccepted)}, at(600), "accepted attempt 1"},
		"accepted, then blocked":                   {[]pay.Attempt{attempt(1, 0, pay.AttemptAccepted), attempt(2, 1, blocked)}, at(600), "accepted attempt 1"},
		"for want of money":                        {[]pay.Attempt{attempt(1, 0, pay.AttemptNotEnough)}, at(600), "sent again by itself"},
		"unknown, old":                             {[]pay.Attempt{attempt(1, 0, unknown)}, at(600), "not known"},
		"lost, old":                                {[]pay.Attempt{lost(1, 0)}, at(600), "not known"},
		"unknown after a rejection":                {[]pay.Attempt{attempt(1, 0, rejected), attempt(2, 1, unknown)}, at(600), "not known"},
		"rejected after a young unknown":           {[]pay.Attempt{attempt(1, 0, unknown), attempt(2, 1, rejected)}, at(9.99), "attempt 1 may still be under way until 2026-03-01T04:10:00Z"},
		"blocked after a young lost one":           {[]pay.Attempt{lost(1, 0), attempt(2, 1, blocked)}, at(9.99), "may still be under way"},
		"blocked after an old lost one":            {[]pay.Attempt{lost(1, 0), attempt(2, 1, blocked)}, at(10), ""},
		"the latest counts, however they are read": {[]pay.Attempt{attempt(2, 15, blocked), attempt(1, 0, unknown)}, at(16), ""},
		"the latest counts, not the first read":    {[]pay.Attempt{attempt(2, 5, unknown), attempt(1, 0, blocked)}, at(600), "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := paidBook(t)
			book.Attempts = map[pay.OutRefundNo][]pay.Attempt{"R1": tc.attempts}
			obs := givenUp("R1")
			obs.AskedAt = tc.asked
			applyAll(book, wish("R1", 60))
			sequence := book.Order.Sequence
			c := book.Apply(obs, pay.Policies{})
			if tc.why != "" {
				require.Equal(t, pay.RefusedGiveUp, c.Refusal.Reason)
				require.Contains(t, c.Refusal.Detail, tc.why)
				require.Equal(t, pay.RefundRequested, book.Refunds["R1"].State)
				require.Equal(t, pay.Fen(60), book.Payments["4200"].Reserved)
				require.Equal(t, sequence, book.Order.Sequence)
				require.Empty(t, c.Audits)
				return
			}
			require.Nil(t, c.Refusal)
			require.Equal(t, pay.RefundFailed, book.Refunds["R1"].State)
			require.Zero(t, book.Refunds["R1"].NextCheckAt)
			require.Zero(t, book.Payments["4200"].Reserved)
		})
	}
}

func TestBook_Apply_tells_who_gave_a_refund_up_and_why(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	book.Attempts = map[pay.OutRefundNo][]pay.Attempt{"R1": blockedAtNoon()}
	c := applyAll(book, wish("R1", 60), givenUp("R1"))[1]
	require.Equal(t, []pay.Fact{pay.FactRefundFailed}, facts(c))
	require.Len(t, c.History, 1)
	require.Equal(t, pay.SourceOperator, c.History[0].Source)
	require.Equal(t, "refund_failed", c.History[0].What)
	require.Len(t, c.Audits, 1)
	a := c.Audits[0]
	require.Equal(t, []string{act().ID, "token:night-shift", "refund.give_up", "R1"}, []string{a.ID, a.Actor, a.Action, a.Subject})
	require.Equal(t, "the shop gave cash", a.Detail["reason"])
	require.Equal(t, "T20260301000001", a.Detail["out_trade_no"])
	require.EqualValues(t, 60, a.Detail["amount_fen"])

	again := book.Apply(givenUp("R1"), pay.Policies{})
	require.False(t, again.Touched)
	require.Empty(t, again.Audits)
	require.Nil(t, again.Refusal, "it is as was asked for")
	require.Equal(t, pay.RefundFailed, again.Refund.State)
}

func TestBook_Apply_gives_up_no_refund_that_WeChat_Pay_has_or_nobody_asked_for(t *testing.T) {
	t.Parallel()
	for _, state := range []pay.RefundState{pay.RefundProcessing, pay.RefundSucceeded, pay.RefundClosed, pay.RefundAbnormal} {
		book := paidBook(t)
		book.Attempts = map[pay.OutRefundNo][]pay.Attempt{"R1": blockedAtNoon()}
		c := applyAll(book, wish("R1", 60), word("R1", 60, state), givenUp("R1"))[2]
		require.Equal(t, pay.RefusedGiveUp, c.Refusal.Reason)
		require.Contains(t, c.Refusal.Detail, "is "+string(state))
		require.Equal(t, state, book.Refunds["R1"].State)
	}
	book := paidBook(t)
	require.Equal(t, pay.RefusedGiveUp, book.Apply(givenUp("R1"), pay.Policies{}).Refusal.Reason)
}

// What WeChat Pay owns up to is booked, whoever gave it up and whatever was given
// back in its place since: the money is counted and a person is told.
func TestBook_Apply_books_a_refund_that_a_person_gave_up_and_WeChat_Pay_paid(t *testing.T) {
	t.Parallel()
	for _, attempts := range [][]pay.Attempt{blockedAtNoon(), rejectedAtNoon()} {
		book := paidBook(t)
		book.Attempts = map[pay.OutRefundNo][]pay.Attempt{"R1": attempts}
		applyAll(book, wish("R1", 60), givenUp("R1"))
		c := book.Apply(word("R1", 60, pay.RefundProcessing), pay.Policies{})
		require.Equal(t, pay.RefundProcessing, book.Refunds["R1"].State)
		require.NotZero(t, book.Refunds["R1"].NextCheckAt, "it is followed to its end")
		require.Equal(t, pay.Fen(60), book.Payments["4200"].Reserved)
		require.Empty(t, c.Anomalies)
		c = book.Apply(word("R1", 60, pay.RefundSucceeded), pay.Policies{})
		require.Equal(t, []pay.Fact{pay.FactRefundSucceeded}, facts(c))
		require.Equal(t, []pay.Fen{60, 0, 0}, sums(book))
		late := book.Apply(givenUp("R1"), pay.Policies{})
		require.NotNil(t, late.Refusal)
		require.Equal(t, pay.RefundSucceeded, book.Refunds["R1"].State)

		twice := paidBook(t)
		twice.Attempts = map[pay.OutRefundNo][]pay.Attempt{"R1": attempts}
		applyAll(twice, wish("R1", 100), givenUp("R1"), wish("R2", 100), word("R2", 100, pay.RefundSucceeded))
		c = twice.Apply(word("R1", 100, pay.RefundSucceeded), pay.Policies{})
		require.Equal(t, []pay.Fact{pay.FactOrderAnomaly, pay.FactRefundSucceeded}, facts(c))
		require.Equal(t, pay.AnomalyRefundOverrun, c.Anomalies[0].Kind)
		require.Equal(t, []pay.Fen{200, 0, 100}, sums(twice))
	}
}

func sums(book *pay.Book) []pay.Fen {
	p := book.Payments["4200"]
	return []pay.Fen{p.Refunded, p.Reserved, p.Overrun}
}

func TestBook_Apply_tells_who_asked_for_a_refund(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	asked := wish("R1", 60)
	asked.Source, asked.Origin, asked.Act = pay.SourceOperator, pay.RefundByOperator, act()
	c := book.Apply(asked, pay.Policies{})
	require.Equal(t, pay.RefundByOperator, c.NewRefund.Origin)
	require.Equal(t, pay.SourceOperator, c.History[0].Source)
	require.Len(t, c.Audits, 1)
	require.Equal(t, []string{act().ID, "token:night-shift", "refund.create", "R1"}, []string{c.Audits[0].ID, c.Audits[0].Actor, c.Audits[0].Action, c.Audits[0].Subject})
	require.Equal(t, "the shop gave cash", c.Audits[0].Detail["reason"])
	require.Equal(t, "the tea was cold", c.Audits[0].Detail["buyer_reason"])

	for _, again := range []pay.Observation{asked, wish("R1", 60)} { // the same refund, from whichever side
		c = book.Apply(again, pay.Policies{})
		require.False(t, c.Touched)
		require.Empty(t, c.Audits)
		require.Equal(t, pay.RefundByOperator, c.Refund.Origin)
	}
	other := asked
	other.Digest = "another"
	require.Equal(t, pay.RefusedNumberTaken, book.Apply(other, pay.Policies{}).Refusal.Reason)
	require.Empty(t, book.Apply(wish("R2", 10), pay.Policies{}).Audits, "a shop is no operator")
}
