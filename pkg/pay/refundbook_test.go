package pay_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// paidBook is a book whose order is paid by 4200, with 100 fen.
func paidBook(t *testing.T) *pay.Book {
	t.Helper()
	book := newBook(t)
	book.Apply(paid("4200", 100), pay.Policies{})
	require.Equal(t, pay.OrderPaid, book.Order.State)
	return book
}

// wish asks for money of payment 4200.
func wish(no pay.OutRefundNo, amount pay.Fen) pay.Observation {
	return pay.Observation{
		Kind: pay.ObservedRefundRequested, Source: pay.SourceCommand, ObservedAt: noon.Add(time.Hour), MchID: "1900000109", OutTradeNo: "T20260301000001",
		TransactionID: "4200", Currency: pay.CNY, OutRefundNo: no, RefundAmount: amount, Origin: pay.RefundByCommand,
		Digest: fmt.Sprintf("%s/%d", no, amount), Reason: "the tea was cold",
	}
}

// word is what WeChat says of a refund of payment 4200.
func word(no pay.OutRefundNo, amount pay.Fen, state pay.RefundState) pay.Observation {
	return pay.Observation{
		Kind: pay.ObservedRefund, Source: pay.SourceQuery, ObservedAt: noon.Add(2 * time.Hour), MchID: "1900000109", OutTradeNo: "T20260301000001",
		TransactionID: "4200", OutRefundNo: no, RefundAmount: amount, RefundState: state, RefundID: "5030-" + string(no), KeyID: "PUB_KEY_ID_1",
	}
}

func drivenOn(no pay.OutRefundNo, amount pay.Fen) pay.Observation {
	obs := word(no, amount, pay.RefundProcessing)
	obs.Source, obs.DrivenOn, obs.ObservedAt = pay.SourceCall, true, noon.Add(3*time.Hour)
	return obs
}

// missing is WeChat's verified word that there is no such refund, asked an hour
// after an attempt at noon that was refused for good.
func missing(no pay.OutRefundNo) pay.Observation {
	return pay.Observation{
		Kind: pay.ObservedRefundMissing, Source: pay.SourceQuery, ObservedAt: noon.Add(2 * time.Hour), MchID: "1900000109", OutTradeNo: "T20260301000001",
		OutRefundNo: no, AskedAt: noon.Add(time.Hour), Quarantine: 10 * time.Minute, Code: "USER_ACCOUNT_ABNORMAL", Reason: "refused",
	}
}

func rejectedAtNoon() []pay.Attempt {
	return []pay.Attempt{{Number: 1, StartedAt: noon, FinishedAt: noon.Add(time.Second), Outcome: pay.AttemptRejected, Status: 403, Code: "USER_ACCOUNT_ABNORMAL"}}
}

func applyAll(book *pay.Book, all ...pay.Observation) []pay.Change {
	changes := make([]pay.Change, len(all))
	for i, obs := range all {
		changes[i] = book.Apply(obs, pay.Policies{})
	}
	return changes
}

func TestBook_Apply_moves_a_refund(t *testing.T) {
	t.Parallel()
	const no = pay.OutRefundNo("R1")
	processing, succeeded := word(no, 60, pay.RefundProcessing), word(no, 60, pay.RefundSucceeded)
	closed, abnormal := word(no, 60, pay.RefundClosed), word(no, 60, pay.RefundAbnormal)
	type sums struct{ refunded, reserved pay.Fen }
	for _, tc := range []struct {
		name  string
		given []pay.Observation
		path  []pay.RefundState
		sums  sums
		facts []pay.Fact
	}{
		{"is set aside when it is asked for", []pay.Observation{wish(no, 60)}, nil, sums{0, 60}, []pay.Fact{"refund.requested"}},
		{"is asked for once", []pay.Observation{wish(no, 60), wish(no, 60), wish(no, 60)}, nil, sums{0, 60}, []pay.Fact{"refund.requested"}},
		{"is taken by WeChat", []pay.Observation{wish(no, 60), processing, processing}, []pay.RefundState{"processing"}, sums{0, 60}, []pay.Fact{"refund.requested"}},
		{"succeeds", []pay.Observation{wish(no, 60), processing, succeeded, succeeded}, []pay.RefundState{"processing", "succeeded"}, sums{60, 0}, []pay.Fact{"refund.requested", "refund.succeeded"}},
		{"succeeds before the call is answered", []pay.Observation{wish(no, 60), succeeded, processing}, []pay.RefundState{"processing", "succeeded"}, sums{60, 0}, []pay.Fact{"refund.requested", "refund.succeeded"}},
		{"is closed", []pay.Observation{wish(no, 60), processing, closed, closed, processing}, []pay.RefundState{"processing", "closed"}, sums{0, 0}, []pay.Fact{"refund.requested", "refund.closed"}},
		{"is abnormal and holds its money", []pay.Observation{wish(no, 60), processing, abnormal, abnormal, processing}, []pay.RefundState{"processing", "abnormal"}, sums{0, 60}, []pay.Fact{"refund.requested", "refund.abnormal"}},
		{"is driven on and succeeds", []pay.Observation{wish(no, 60), abnormal, drivenOn(no, 60), succeeded}, []pay.RefundState{"processing", "abnormal", "processing", "succeeded"}, sums{60, 0}, []pay.Fact{"refund.requested", "refund.abnormal", "refund.succeeded"}},
		{"is driven on in the merchant platform", []pay.Observation{wish(no, 60), abnormal, processing, succeeded}, []pay.RefundState{"processing", "abnormal", "processing", "succeeded"}, sums{60, 0}, []pay.Fact{"refund.requested", "refund.abnormal", "refund.succeeded"}},
		{"stays driven on when an old word comes again", []pay.Observation{wish(no, 60), abnormal, drivenOn(no, 60), abnormal}, []pay.RefundState{"processing", "abnormal", "processing"}, sums{0, 60}, []pay.Fact{"refund.requested", "refund.abnormal"}},
		{"is not closed after it succeeded", []pay.Observation{wish(no, 60), succeeded, closed, abnormal}, []pay.RefundState{"processing", "succeeded"}, sums{60, 0}, []pay.Fact{"refund.requested", "refund.succeeded"}},
		{"is learned of from the merchant platform", []pay.Observation{processing, processing}, nil, sums{0, 60}, nil},
		{"is learned of when all is over", []pay.Observation{succeeded, succeeded}, []pay.RefundState{"succeeded"}, sums{60, 0}, []pay.Fact{"refund.succeeded"}},
		{"is learned of closed", []pay.Observation{closed}, []pay.RefundState{"closed"}, sums{0, 0}, []pay.Fact{"refund.closed"}},
		{"fails when nothing is there", []pay.Observation{wish(no, 60), missing(no), missing(no)}, []pay.RefundState{"failed"}, sums{0, 0}, []pay.Fact{"refund.requested", "refund.failed"}},
		{"is believed when WeChat owns up to it after all", []pay.Observation{wish(no, 60), missing(no), succeeded}, []pay.RefundState{"failed", "processing", "succeeded"}, sums{60, 0}, []pay.Fact{"refund.requested", "refund.failed", "refund.succeeded"}},
		{"is under way after all", []pay.Observation{wish(no, 60), missing(no), processing}, []pay.RefundState{"failed", "processing"}, sums{0, 60}, []pay.Fact{"refund.requested", "refund.failed"}},
		{"stays failed when WeChat closed it", []pay.Observation{wish(no, 60), missing(no), closed}, []pay.RefundState{"failed"}, sums{0, 0}, []pay.Fact{"refund.requested", "refund.failed"}},
		{"is not missing once WeChat had it", []pay.Observation{wish(no, 60), processing, missing(no)}, []pay.RefundState{"processing"}, sums{0, 60}, []pay.Fact{"refund.requested"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			book := paidBook(t)
			book.Attempts = map[pay.OutRefundNo][]pay.Attempt{no: rejectedAtNoon()}
			changes := applyAll(book, tc.given...)
			require.Equal(t, tc.facts, facts(changes...))
			require.Equal(t, tc.path, book.Refunds[no].Path)
			payment := book.Payments["4200"]
			require.Equal(t, []pay.Fen{tc.sums.refunded, tc.sums.reserved}, []pay.Fen{payment.Refunded, payment.Reserved})
			require.Zero(t, payment.Overrun)
			require.Equal(t, book.Refunds[no].State.Unresolved(), !book.Refunds[no].NextCheckAt.IsZero(), "what is unresolved is asked about again, and nothing else")
			require.Equal(t, pay.OrderPaid, book.Order.State, "paid never goes back")
		})
	}
}

func TestBook_Apply_keeps_what_WeChat_tells_of_a_refund(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	applyAll(book, wish("R1", 60))
	r := book.Refunds["R1"]
	require.Equal(t, pay.APIRefund, r.CheckAPI, "what was not sent is sent")
	require.Equal(t, "the tea was cold", r.Reason)
	require.Equal(t, pay.FundsDefault, r.Funds)
	done := word("R1", 60, pay.RefundSucceeded)
	done.SucceededAt, done.ReceivedAccount = noon.Add(90*time.Minute), "支付用户零钱"
	c := book.Apply(done, pay.Policies{})
	require.Same(t, r, c.Refund)
	require.Equal(t, "5030-R1", r.RefundID)
	require.Equal(t, noon.Add(90*time.Minute), r.SucceededAt)
	require.Equal(t, "支付用户零钱", r.ReceivedAccount)
	last := c.History[len(c.History)-1]
	require.Equal(t, "refund_succeeded", last.What)
	require.Equal(t, pay.RefundProcessing, last.RefundFrom)
	require.Equal(t, pay.RefundSucceeded, last.RefundTo)
	require.Equal(t, "PUB_KEY_ID_1", last.KeyID)
	require.Equal(t, last.Sequence, r.Sequence)
	require.Equal(t, *r, *c.Events[0].Refund, "the event tells the refund as it stands")
}

func TestBook_Apply_takes_a_platforms_refund_as_its_own_origin(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	c := book.Apply(word("by-hand", 30, pay.RefundProcessing), pay.Policies{RefundFunds: pay.FundsAvailable})
	require.NotNil(t, c.NewRefund)
	require.Equal(t, pay.RefundByPlatform, c.NewRefund.Origin)
	require.Equal(t, pay.FundsDefault, c.NewRefund.Funds)
	require.Equal(t, pay.CNY, c.NewRefund.Currency, "its payment's")
	require.Equal(t, pay.APIRefundQuery, c.NewRefund.CheckAPI, "it is asked about and never sent")
	again := wish("by-hand", 30)
	again.Digest = "" // as of a refund that nobody asked us for
	require.Equal(t, pay.RefusedNumberTaken, book.Apply(again, pay.Policies{}).Refusal.Reason)
}

func TestBook_Apply_takes_the_money_from_where_the_merchant_wants(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	policies := pay.Policies{RefundFunds: pay.FundsAvailable}
	book.Apply(paid("4200", 100), policies)
	book.Apply(paid("4201", 100), policies)
	book.Apply(wish("R1", 60), policies)
	require.Equal(t, pay.FundsAvailable, book.Refunds["R1"].Funds)
	require.Equal(t, pay.FundsAvailable, book.Refunds["auto-4201"].Funds)
}

func TestBook_Apply_refuses_a_refund(t *testing.T) {
	t.Parallel()
	alter := func(f func(*pay.Observation)) pay.Observation {
		obs := wish("R9", 10)
		f(&obs)
		return obs
	}
	for name, tc := range map[string]struct {
		given []pay.Observation
		wish  pay.Observation
		want  pay.RefusalReason
		says  string
	}{
		"of an unknown payment":           {nil, alter(func(o *pay.Observation) { o.TransactionID = "4299" }), pay.RefusedUnknownPayment, "4299"},
		"of more than the payment":        {nil, wish("R9", 101), pay.RefusedTooMuch, "100 of 100 are left"},
		"of nothing":                      {nil, wish("R9", 0), pay.RefusedTooMuch, ""},
		"of less than nothing":            {nil, wish("R9", -1), pay.RefusedTooMuch, ""},
		"of more than is left under way":  {[]pay.Observation{wish("R1", 60)}, wish("R9", 41), pay.RefusedTooMuch, "40 of 100 are left: 0 are refunded, 60 are on their way"},
		"of more than is left for good":   {[]pay.Observation{wish("R1", 60), word("R1", 60, pay.RefundSucceeded)}, wish("R9", 41), pay.RefusedTooMuch, "40 of 100 are left: 60 are refunded"},
		"of what is held as abnormal":     {[]pay.Observation{wish("R1", 100), word("R1", 100, pay.RefundAbnormal)}, wish("R9", 1), pay.RefusedTooMuch, "0 of 100 are left"},
		"after WeChat gave too much back": {[]pay.Observation{word("R1", 60, pay.RefundSucceeded), word("R2", 60, pay.RefundSucceeded)}, wish("R9", 1), pay.RefusedTooMuch, "0 of 100 are left"},
		"under a number with other terms": {[]pay.Observation{wish("R9", 60)}, wish("R9", 10), pay.RefusedNumberTaken, "R9"},
		"a second after a year":           {nil, alter(func(o *pay.Observation) { o.ObservedAt = noon.Add(30*time.Second + pay.RefundableFor + time.Second) }), pay.RefusedTooLate, "2026-03-01"},
		"of a failed number on new terms": {[]pay.Observation{wish("R9", 60), missing("R9")}, wish("R9", 10), pay.RefusedNumberTaken, "R9"},
		"under the policy's number anew":  {[]pay.Observation{paid("4201", 100)}, wish("auto-4201", 10), pay.RefusedNumberTaken, "auto-4201"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := paidBook(t)
			book.Attempts = map[pay.OutRefundNo][]pay.Attempt{"R9": rejectedAtNoon()}
			applyAll(book, tc.given...)
			before := snapshot(book)
			c := book.Apply(tc.wish, pay.Policies{})
			require.Equal(t, tc.want, c.Refusal.Reason)
			require.Contains(t, c.Refusal.Detail, tc.says)
			require.Equal(t, pay.Change{Refusal: c.Refusal}, c, "a refusal changes nothing")
			require.Equal(t, before, snapshot(book))
		})
	}
}

func TestBook_Apply_refuses_a_refund_of_an_unknown_order(t *testing.T) {
	t.Parallel()
	book := &pay.Book{Payments: map[pay.TransactionID]pay.Payment{}}
	require.Equal(t, pay.RefusedUnknownPayment, book.Apply(wish("R1", 1), pay.Policies{}).Refusal.Reason)
	require.Equal(t, pay.LetterUnknownOrder, book.Apply(word("R1", 1, pay.RefundSucceeded), pay.Policies{}).Letter.Reason)
	require.Equal(t, pay.Change{}, book.Apply(missing("R1"), pay.Policies{}))
}

func TestBook_Apply_refunds_on_the_last_day(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	last := wish("R1", 10)
	last.ObservedAt = noon.Add(30*time.Second + pay.RefundableFor)
	require.NotNil(t, book.Apply(last, pay.Policies{}).NewRefund)
}

func TestBook_Apply_takes_fifty_refunds_of_a_payment(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	book.Attempts = map[pay.OutRefundNo][]pay.Attempt{"R0": rejectedAtNoon()}
	applyAll(book, wish("R0", 1), missing("R0")) // WeChat never had it, and does not count it
	for i := 1; i <= pay.MaxRefundsOfPayment; i++ {
		no := pay.OutRefundNo(fmt.Sprintf("R%d", i))
		require.Nil(t, book.Apply(wish(no, 1), pay.Policies{}).Refusal, no)
		if i%2 == 0 {
			applyAll(book, word(no, 1, pay.RefundClosed)) // counts all the same
		}
	}
	c := book.Apply(wish("R51", 1), pay.Policies{})
	require.Equal(t, pay.RefusedTooMany, c.Refusal.Reason)
	require.Nil(t, book.Apply(wish("R50", 1), pay.Policies{}).Refusal, "a repeat is no new one")
}

func TestBook_Apply_letters_what_contradicts_a_refund(t *testing.T) {
	t.Parallel()
	alter := func(f func(*pay.Observation)) pay.Observation {
		obs := word("R1", 60, pay.RefundSucceeded)
		f(&obs)
		return obs
	}
	for name, tc := range map[string]struct {
		obs      pay.Observation
		want     pay.LetterReason
		checkNow bool
	}{
		"another amount":    {alter(func(o *pay.Observation) { o.RefundAmount = 61 }), pay.LetterMismatch, false},
		"no amount":         {alter(func(o *pay.Observation) { o.RefundAmount = 0 }), pay.LetterMalformed, false},
		"another refund_id": {alter(func(o *pay.Observation) { o.RefundID = "5030-other" }), pay.LetterMismatch, false},
		"another payment":   {alter(func(o *pay.Observation) { o.TransactionID = "4201" }), pay.LetterMismatch, false},
		"unknown payment":   {alter(func(o *pay.Observation) { o.TransactionID = "4299" }), pay.LetterUnknownOrder, true},
		"another merchant":  {alter(func(o *pay.Observation) { o.MchID = "1900000110" }), pay.LetterMismatch, false},
		"another order":     {alter(func(o *pay.Observation) { o.OutTradeNo = "T2" }), pay.LetterMismatch, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := paidBook(t)
			applyAll(book, paid("4201", 100), wish("R1", 60), word("R1", 60, pay.RefundProcessing))
			before := snapshot(book)
			c := book.Apply(tc.obs, pay.Policies{})
			require.NotNil(t, c.Letter)
			require.Equal(t, tc.want, c.Letter.Reason, c.Letter.Detail)
			require.Equal(t, tc.checkNow, c.CheckNow)
			require.Equal(t, pay.OutcomeLettered, c.Outcome())
			require.Empty(t, c.Events)
			require.Equal(t, before, snapshot(book))
		})
	}
	book := paidBook(t)
	applyAll(book, wish("R1", 60), word("R1", 60, pay.RefundClosed))
	require.Equal(t, pay.LetterMismatch, book.Apply(word("R1", 60, pay.RefundSucceeded), pay.Policies{}).Letter.Reason, "closed is the end of a number")
}

func TestBook_Apply_books_more_than_came_in_as_an_overrun(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	applyAll(book, wish("R1", 60))
	c := book.Apply(word("by-hand", 60, pay.RefundSucceeded), pay.Policies{})
	require.Equal(t, []pay.Fact{pay.FactOrderAnomaly, pay.FactRefundSucceeded}, facts(c))
	require.Len(t, c.Anomalies, 1)
	a := c.Anomalies[0]
	require.Equal(t, pay.AnomalyRefundOverrun, a.Kind)
	require.Equal(t, pay.PolicyHold, a.Policy)
	require.Equal(t, pay.AnomalyOpen, a.State)
	require.Equal(t, pay.OutRefundNo("by-hand"), a.OutRefundNo)
	require.Equal(t, []pay.Fen{100, 120}, []pay.Fen{a.ExpectedFen, a.ActualFen})
	p := book.Payments["4200"]
	require.Equal(t, []pay.Fen{60, 60, 20}, []pay.Fen{p.Refunded, p.Reserved, p.Overrun})

	applyAll(book, word("R1", 60, pay.RefundClosed))
	p = book.Payments["4200"]
	require.Equal(t, []pay.Fen{60, 0, 0}, []pay.Fen{p.Refunded, p.Reserved, p.Overrun}, "it was never paid out")
}

func TestBook_Apply_books_a_refund_that_was_given_up_and_paid_all_the_same(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	book.Attempts = map[pay.OutRefundNo][]pay.Attempt{"R1": rejectedAtNoon()}
	applyAll(book, wish("R1", 60), missing("R1"), wish("R2", 60))
	c := book.Apply(word("R1", 60, pay.RefundSucceeded), pay.Policies{})
	require.Equal(t, []pay.Fact{pay.FactOrderAnomaly, pay.FactRefundSucceeded}, facts(c))
	require.Equal(t, pay.OutRefundNo("R1"), c.Anomalies[0].OutRefundNo)
	p := book.Payments["4200"]
	require.Equal(t, []pay.Fen{60, 60, 20}, []pay.Fen{p.Refunded, p.Reserved, p.Overrun})
	require.Empty(t, book.Refunds["R1"].FailureCode)
}

func TestBook_Apply_ends_an_anomaly_when_its_payment_is_given_back_in_full(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	book.Apply(paid("4201", 100), pay.Policies{DoublePayment: pay.PolicyHold})
	of := func(obs pay.Observation) pay.Observation { obs.TransactionID = "4201"; return obs }
	applyAll(book, of(wish("R1", 60)), of(wish("R2", 40)))
	require.Empty(t, book.Apply(of(word("R1", 60, pay.RefundSucceeded)), pay.Policies{}).Decided)
	decided := book.Apply(of(word("R2", 40, pay.RefundSucceeded)), pay.Policies{}).Decided
	require.Len(t, decided, 1)
	require.Equal(t, pay.AnomalyRefunded, decided[0].State)
	require.Equal(t, word("", 0, "").ObservedAt, decided[0].DecidedAt)
	require.Empty(t, decided[0].Decision, "nobody decided it")
	require.Empty(t, book.Apply(of(word("R2", 40, pay.RefundSucceeded)), pay.Policies{}).Decided)
}

func TestBook_Apply_gives_doubled_money_back_once(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	doubled := paid("4201", 100)
	doubled.KeyID = "PUB_KEY_ID_1"
	c := book.Apply(doubled, pay.Policies{})
	require.Equal(t, []pay.Fact{pay.FactOrderAnomaly, pay.FactRefundRequested}, facts(c))
	r := c.NewRefund
	require.Equal(t, pay.AutoRefundNo("4201"), r.OutRefundNo)
	require.Equal(t, pay.RefundByPolicy, r.Origin)
	require.Equal(t, pay.TransactionID("4201"), r.TransactionID)
	require.Equal(t, pay.Fen(100), r.Amount)
	require.Equal(t, "double_payment", r.Digest)
	require.Equal(t, pay.Fen(100), book.Payments["4201"].Reserved)
	require.Zero(t, book.Payments["4200"].Reserved)
	last := c.History[len(c.History)-1]
	require.Equal(t, pay.SourcePolicy, last.Source)
	require.Empty(t, last.KeyID, "nobody signed our own wish")
	require.Equal(t, pay.Change{}, book.Apply(paid("4201", 100), pay.Policies{}))

	done := word("auto-4201", 100, pay.RefundSucceeded)
	done.TransactionID = "4201"
	decided := book.Apply(done, pay.Policies{}).Decided
	require.Len(t, decided, 1)
	require.Equal(t, pay.AnomalyRefunded, decided[0].State)
}

func TestBook_Apply_leaves_doubled_money_to_a_person_when_its_refunds_number_is_taken(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	applyAll(book, word("auto-4201", 10, pay.RefundProcessing)) // somebody made it elsewhere, of another payment
	c := book.Apply(paid("4201", 100), pay.Policies{})
	require.Equal(t, []pay.Fact{pay.FactOrderAnomaly}, facts(c))
	require.Equal(t, pay.AnomalyOpen, c.Anomalies[0].State)
	require.Equal(t, pay.Fen(10), book.Refunds["auto-4201"].Amount)
	require.Zero(t, book.Payments["4201"].Reserved)
}

func TestBook_Apply_follows_the_policy_for_each_anomaly(t *testing.T) {
	t.Parallel()
	late := func(t *testing.T) *pay.Book {
		t.Helper()
		b := newBook(t)
		b.Apply(says(pay.ObservedClosed), pay.Policies{})
		return b
	}
	for name, tc := range map[string]struct {
		book     func(*testing.T) *pay.Book
		amount   pay.Fen
		policies pay.Policies
		state    pay.AnomalyState
		facts    []pay.Fact
	}{
		"late, accept":   {late, 100, pay.Policies{}, pay.AnomalyAccepted, []pay.Fact{"order.anomaly", "order.paid"}},
		"late, refund":   {late, 100, pay.Policies{LatePayment: pay.PolicyRefund}, pay.AnomalyOpen, []pay.Fact{"order.anomaly", "refund.requested"}},
		"late, hold":     {late, 100, pay.Policies{LatePayment: pay.PolicyHold}, pay.AnomalyOpen, []pay.Fact{"order.anomaly"}},
		"double":         {paidBook, 100, pay.Policies{}, pay.AnomalyOpen, []pay.Fact{"order.anomaly", "refund.requested"}},
		"double, hold":   {paidBook, 100, pay.Policies{DoublePayment: pay.PolicyHold}, pay.AnomalyOpen, []pay.Fact{"order.anomaly"}},
		"wrong":          {newBook, 99, pay.Policies{}, pay.AnomalyOpen, []pay.Fact{"order.anomaly"}},
		"wrong, refund":  {newBook, 99, pay.Policies{AmountMismatch: pay.PolicyRefund}, pay.AnomalyOpen, []pay.Fact{"order.anomaly", "refund.requested"}},
		"wrong, accept":  {newBook, 99, pay.Policies{AmountMismatch: pay.PolicyAccept}, pay.AnomalyOpen, []pay.Fact{"order.anomaly"}},
		"double, accept": {paidBook, 100, pay.Policies{DoublePayment: pay.PolicyAccept}, pay.AnomalyOpen, []pay.Fact{"order.anomaly"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := tc.book(t)
			c := book.Apply(paid("4242", tc.amount), tc.policies)
			require.Equal(t, tc.facts, facts(c))
			require.Equal(t, tc.state, c.Anomalies[0].State)
			if c.NewRefund != nil {
				require.Equal(t, tc.amount, c.NewRefund.Amount)
			}
			require.Equal(t, pay.Change{}, book.Apply(paid("4242", tc.amount), tc.policies))
		})
	}
}

// An abnormal refund may become abnormal again; each round is a fact of its own.
func TestBook_Apply_tells_each_round_of_an_abnormal_refund(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	again := word("R1", 60, pay.RefundAbnormal)
	again.ObservedAt = noon.Add(4 * time.Hour)
	var keys []string
	for _, c := range applyAll(book, wish("R1", 60), word("R1", 60, pay.RefundAbnormal), drivenOn("R1", 60), again) {
		for _, e := range c.Events {
			keys = append(keys, e.Key())
		}
	}
	require.Equal(t, []string{
		"1900000109/T20260301000001/refund.requested/R1", "1900000109/T20260301000001/refund.abnormal/R1", "1900000109/T20260301000001/refund.abnormal/R1/2",
	}, keys)
	require.Equal(t, 2, book.Refunds["R1"].AbnormalRounds)
	require.Equal(t, pay.Fen(60), book.Payments["4200"].Reserved)
}

// WeChat Pay repeats a notice for a day when its acknowledgement was lost. One of
// an abnormal refund that was driven on since is no new round: the query tells.
func TestBook_Apply_takes_a_repeated_notice_of_an_abnormal_refund_for_no_new_round(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	notice := word("R1", 60, pay.RefundAbnormal)
	notice.Source = pay.SourceNotification
	applyAll(book, wish("R1", 60), notice, drivenOn("R1", 60))
	require.Equal(t, pay.RefundProcessing, book.Refunds["R1"].State)
	notice.ObservedAt = noon.Add(5 * time.Hour)
	c := book.Apply(notice, pay.Policies{})
	require.Empty(t, c.Events)
	require.Nil(t, c.Letter)
	require.Equal(t, pay.RefundProcessing, book.Refunds["R1"].State)
	require.Equal(t, 1, book.Refunds["R1"].AbnormalRounds)
}

// After a restore WeChat may have the refund: it is asked about before it is sent.
func TestBook_Apply_asks_first_about_a_refund_that_may_have_been_sent(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	asked := wish("R1", 60)
	asked.AskFirst = true
	require.Equal(t, pay.APIRefundQuery, book.Apply(asked, pay.Policies{}).NewRefund.CheckAPI)
	require.Equal(t, pay.APIRefund, book.Apply(wish("R2", 40), pay.Policies{}).NewRefund.CheckAPI)
	doubled := paid("4201", 100)
	doubled.AskFirst = true
	require.Equal(t, pay.APIRefundQuery, book.Apply(doubled, pay.Policies{}).NewRefund.CheckAPI, "a policy's, too")
}

// That we had told subscribers of a refund's failing says that it was allowed to fail:
// the attempts which proved it are lost with the books.
func TestBook_Apply_lets_a_refund_fail_by_what_was_told(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	book.Apply(wish("R1", 60), pay.Policies{})
	heard := missing("R1")
	require.Equal(t, pay.OutcomeUnchanged, book.Apply(heard, pay.Policies{}).Outcome(), "without attempts nothing proves it")
	heard.Source = pay.SourceEvent
	require.Equal(t, pay.OutcomeApplied, book.Apply(heard, pay.Policies{}).Outcome())
	require.Equal(t, pay.RefundFailed, book.Refunds["R1"].State)
	require.Zero(t, book.Payments["4200"].Reserved)
	require.Equal(t, pay.OutcomeUnchanged, book.Apply(heard, pay.Policies{}).Outcome())
}
