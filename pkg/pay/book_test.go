package pay_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

var noon = time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)

func newBook(t *testing.T) *pay.Book {
	t.Helper()
	book, c := pay.NewOrder(pay.Order{
		MchID: "1900000109", OutTradeNo: "T20260301000001", AppID: "wx8888888888888888",
		Client: pay.ClientJSAPI, Protocol: pay.ProtocolV3, Amount: 100, Currency: pay.CNY, OpenID: "o-1",
		CreatedAt: noon, ExpiresAt: noon.Add(2 * time.Hour), NextCheckAt: noon.Add(time.Minute),
	}, pay.SourceCommand)
	require.Equal(t, []pay.Fact{pay.FactOrderCreated}, facts(c))
	return book
}

func paid(tx pay.TransactionID, amount pay.Fen) pay.Observation {
	return pay.Observation{
		Kind: pay.ObservedPaid, Source: pay.SourceNotification, ObservedAt: noon.Add(time.Minute),
		MchID: "1900000109", AppID: "wx8888888888888888", OutTradeNo: "T20260301000001",
		TransactionID: tx, Amount: amount, PayerTotal: amount, Currency: pay.CNY, PaidAt: noon.Add(30 * time.Second),
	}
}

func says(kind pay.ObservationKind) pay.Observation {
	return pay.Observation{
		Kind: kind, Source: pay.SourceQuery, ObservedAt: noon.Add(time.Minute), MchID: "1900000109", OutTradeNo: "T20260301000001",
		Credential: pay.Credential{PrepayID: "wx-prepay", ExpiresAt: noon.Add(2 * time.Hour)}, Code: "PARAM_ERROR",
	}
}

func facts(changes ...pay.Change) []pay.Fact {
	var out []pay.Fact
	for _, c := range changes {
		for _, e := range c.Events {
			out = append(out, e.Fact)
		}
	}
	return out
}

func TestBook_Apply(t *testing.T) {
	t.Parallel()
	prepared, closed, refused := says(pay.ObservedPrepared), says(pay.ObservedClosed), says(pay.ObservedRefused)
	hold := pay.Policies{LatePayment: pay.PolicyHold}

	for _, tc := range []struct {
		name     string
		policies pay.Policies
		given    []pay.Observation
		state    pay.OrderState
		late     bool
		facts    []pay.Fact
	}{
		{"is paid after a credential", pay.Policies{}, []pay.Observation{prepared, paid("4200", 100)}, pay.OrderPaid, false, []pay.Fact{"order.prepared", "order.paid"}},
		{"is paid before its credential is known", pay.Policies{}, []pay.Observation{paid("4200", 100), prepared}, pay.OrderPaid, false, []pay.Fact{"order.paid"}},
		{"is paid once however often it is told", pay.Policies{}, []pay.Observation{prepared, paid("4200", 100), paid("4200", 100), paid("4200", 100)}, pay.OrderPaid, false, []pay.Fact{"order.prepared", "order.paid"}},
		{"never goes back from paid", pay.Policies{}, []pay.Observation{paid("4200", 100), closed, refused, says(pay.ObservedOpen)}, pay.OrderPaid, false, []pay.Fact{"order.paid"}},
		{"takes late money after closing", pay.Policies{}, []pay.Observation{prepared, closed, paid("4200", 100)}, pay.OrderPaid, true, []pay.Fact{"order.prepared", "order.closed", "order.anomaly", "order.paid"}},
		{"takes late money after a refusal", pay.Policies{}, []pay.Observation{refused, paid("4200", 100)}, pay.OrderPaid, true, []pay.Fact{"order.failed", "order.anomaly", "order.paid"}},
		{"holds late money where the merchant wants it held", hold, []pay.Observation{closed, paid("4200", 100), paid("4200", 100)}, pay.OrderClosed, false, []pay.Fact{"order.closed", "order.anomaly"}},
		{"delivers once when money comes twice", pay.Policies{}, []pay.Observation{paid("4200", 100), paid("4201", 100), paid("4201", 100)}, pay.OrderPaid, false, []pay.Fact{"order.paid", "order.anomaly", "refund.requested"}},
		{"does not deliver for the wrong amount", pay.Policies{}, []pay.Observation{prepared, paid("4200", 99), closed}, pay.OrderAwaitingPayment, false, []pay.Fact{"order.prepared", "order.anomaly"}},
		{"delivers when the right amount follows the wrong one", pay.Policies{}, []pay.Observation{paid("4200", 1), paid("4201", 100)}, pay.OrderPaid, false, []pay.Fact{"order.anomaly", "order.paid"}},
		{"is not refused once it has a credential", pay.Policies{}, []pay.Observation{prepared, refused}, pay.OrderAwaitingPayment, false, []pay.Fact{"order.prepared"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			book := newBook(t)
			var changes []pay.Change
			for _, obs := range tc.given {
				changes = append(changes, book.Apply(obs, tc.policies))
			}
			require.Equal(t, tc.state, book.Order.State)
			require.Equal(t, tc.late, book.Order.Late)
			require.Equal(t, tc.facts, facts(changes...))
			if !book.Order.State.Open() {
				return
			}
			require.False(t, book.Order.NextCheckAt.IsZero(), "an unresolved order is asked about again")
		})
	}
}

func TestBook_Apply_turns_the_wrong_money_into_an_anomaly_and_keeps_the_payment(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	c := book.Apply(paid("4200", 101), pay.Policies{})
	require.Nil(t, c.Letter)
	require.Equal(t, pay.TransactionID("4200"), c.Payment.TransactionID)
	require.Equal(t, pay.AnomalyAmountMismatch, c.Anomalies[0].Kind)
	require.Equal(t, pay.AnomalyOpen, c.Anomalies[0].State)
	require.Equal(t, pay.Fen(100), c.Anomalies[0].ExpectedFen)
	require.Equal(t, pay.Fen(101), c.Anomalies[0].ActualFen)
}

func TestBook_Apply_compares_the_total_and_not_what_the_purse_paid(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	withCoupon := paid("4200", 100)
	withCoupon.PayerTotal = 90
	book.Apply(withCoupon, pay.Policies{})
	require.Equal(t, pay.OrderPaid, book.Order.State)
}

func TestBook_Apply_letters_what_cannot_be_about_this_order(t *testing.T) {
	t.Parallel()
	alter := func(f func(*pay.Observation)) pay.Observation {
		obs := paid("4200", 100)
		f(&obs)
		return obs
	}
	for name, tc := range map[string]struct {
		obs  pay.Observation
		want pay.LetterReason
	}{
		"other merchant": {alter(func(o *pay.Observation) { o.MchID = "1900000110" }), pay.LetterMismatch},
		"other app":      {alter(func(o *pay.Observation) { o.AppID = "wx0" }), pay.LetterMismatch},
		"other currency": {alter(func(o *pay.Observation) { o.Currency = "USD" }), pay.LetterMismatch},
		"other number":   {alter(func(o *pay.Observation) { o.OutTradeNo = "T2" }), pay.LetterMismatch},
		"no transaction": {alter(func(o *pay.Observation) { o.TransactionID = "" }), pay.LetterMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := newBook(t)
			before := *book.Order
			c := book.Apply(tc.obs, pay.Policies{})
			require.NotNil(t, c.Letter)
			require.Equal(t, tc.want, c.Letter.Reason)
			require.Equal(t, before, *book.Order)
			require.Empty(t, book.Payments)
		})
	}
}

func TestBook_Apply_keeps_money_for_an_order_that_is_not_known_yet(t *testing.T) {
	t.Parallel()
	book := &pay.Book{Payments: map[pay.TransactionID]pay.Payment{}}
	c := book.Apply(paid("4200", 100), pay.Policies{})
	require.Equal(t, pay.LetterUnknownOrder, c.Letter.Reason)
	require.Equal(t, pay.LetterWaiting, c.Letter.Reason.InitialState())
	require.Equal(t, pay.Change{}, book.Apply(says(pay.ObservedClosed), pay.Policies{}))
}

func TestBook_Apply_writes_a_history_without_gaps(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	next := book.Order.Sequence + 1
	for _, obs := range []pay.Observation{says(pay.ObservedPrepared), says(pay.ObservedClosed), paid("4200", 100), paid("4201", 100)} {
		for _, h := range book.Apply(obs, pay.Policies{}).History {
			require.Equal(t, next, h.Sequence)
			next++
		}
	}
	require.Equal(t, next-1, book.Order.Sequence)
}

// Two workers may renew at once, and a Native order's later code_url puts the earlier
// one out of use, whichever is booked last.
func TestBook_keeps_the_credential_of_the_later_call(t *testing.T) {
	t.Parallel()
	prepared := func(url string, until time.Time) pay.Observation {
		obs := says(pay.ObservedPrepared)
		obs.Credential = pay.Credential{CodeURL: url, ExpiresAt: until}
		return obs
	}
	book, now := newBook(t), noon.Add(2*time.Hour)
	for _, step := range []struct {
		url, want string
		until     time.Time
	}{{"first", "first", now}, {"later", "later", now.Add(2 * time.Second)}, {"earlier", "later", now.Add(time.Second)}, {"renewed", "renewed", now.Add(time.Hour)}} {
		book.Apply(prepared(step.url, step.until), pay.Policies{})
		require.Equal(t, step.want, book.Order.Credential.CodeURL)
	}
}
