package pay_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fenflow/fenflow/pkg/pay"
)

// still is a book as it stood at one moment.
type still struct {
	Order    pay.Order
	Payments map[pay.TransactionID]pay.Payment
	Refunds  map[pay.OutRefundNo]pay.Refund

	Anomalies []pay.Anomaly
}

func snapshot(b *pay.Book) still {
	s := still{Order: *b.Order, Payments: maps.Clone(b.Payments), Refunds: map[pay.OutRefundNo]pay.Refund{}}
	for no, r := range b.Refunds {
		s.Refunds[no] = func(r pay.Refund) pay.Refund { r.Path = slices.Clone(r.Path); return r }(*r)
	}
	for _, a := range b.Anomalies {
		s.Anomalies = append(s.Anomalies, *a)
	}
	return s
}

// WeChat's truth about payments: a transaction has one amount for ever.
func truthOfPayments() map[pay.TransactionID]pay.Fen {
	return map[pay.TransactionID]pay.Fen{"4200": 100, "4201": 100, "4202": 99}
}

func drawTransaction(t *rapid.T) pay.TransactionID {
	return rapid.SampledFrom([]pay.TransactionID{"4200", "4201", "4202"}).Draw(t, "transaction")
}

func drawRefundNo(t *rapid.T) pay.OutRefundNo {
	return rapid.SampledFrom([]pay.OutRefundNo{"R1", "R2", "R3", "P1", "P2", "auto-4200", "auto-4201", "auto-4202", "auto-4201-2", "auto-4202-2"}).Draw(t, "refund")
}

// anything draws whatever could reach a book, in any sense or none: refunds that
// change their amount, their payment or their end included.
func anything() *rapid.Generator[pay.Observation] {
	return rapid.Custom(func(t *rapid.T) pay.Observation {
		at := noon.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "minute")) * time.Minute)
		amount := pay.Fen(rapid.SampledFrom([]int64{1, 40, 60, 99, 100, 0, -1, 101}).Draw(t, "amount"))
		var obs pay.Observation
		switch rapid.IntRange(0, 7).Draw(t, "kind") {
		case 0:
			obs = anyObservation().Draw(t, "order")
			if rapid.Bool().Draw(t, "asked") {
				obs.Source = pay.SourceQuery
			}
		case 6, 7:
			obs = anyDecision(t)
		case 1:
			obs = wish(drawRefundNo(t), amount)
			obs.TransactionID = drawTransaction(t)
		case 2:
			obs = missing(drawRefundNo(t))
			obs.AskedAt = at
			if rapid.Bool().Draw(t, "a person's word") {
				obs.Source, obs.Act = pay.SourceOperator, act()
			}
		default:
			obs = word(drawRefundNo(t), amount, rapid.SampledFrom([]pay.RefundState{"processing", "succeeded", "closed", "abnormal"}).Draw(t, "state"))
			obs.TransactionID = drawTransaction(t)
			obs.DrivenOn = obs.RefundState == pay.RefundProcessing && rapid.Bool().Draw(t, "driven on")
			obs.RefundID = rapid.SampledFrom([]string{"", obs.RefundID, obs.RefundID, obs.RefundID, "5030-other"}).Draw(t, "refund_id")
		}
		obs.ObservedAt = at
		return obs
	})
}

// ledger watches a book through a whole story and complains as soon as one of
// the promises about money does not hold.
type ledger struct {
	t        *rapid.T
	book     *pay.Book
	policies pay.Policies
	keys     map[string]int // of events
	facts    map[string]int // fact and refund
}

func newLedger(t *rapid.T, policies pay.Policies) *ledger {
	l := &ledger{t: t, book: bookForProperty(), policies: policies, keys: map[string]int{}, facts: map[string]int{}}
	l.book.Attempts = map[pay.OutRefundNo][]pay.Attempt{}
	for _, no := range []pay.OutRefundNo{"R1", "auto-4201", "auto-4202"} {
		l.book.Attempts[no] = rejectedAtNoon()
	}
	l.book.Attempts["R3"] = blockedAtNoon()
	return l
}

func (l *ledger) apply(obs pay.Observation) pay.Change {
	before := snapshot(l.book)
	c := l.book.Apply(obs, l.policies)
	l.count(c)
	l.checkSteps(before)
	l.checkMoney(before, obs, c)
	l.checkAnomalies(before, obs, c)
	l.checkSequence(before, c)
	after := snapshot(l.book)
	again := l.book.Apply(obs, l.policies)
	if again.Touched || again.Notified || len(again.Events)+len(again.History)+len(again.Anomalies)+len(again.Decided)+len(again.Audits) > 0 || again.Payment != nil || again.NewRefund != nil {
		l.t.Fatalf("applying %s a second time changed something: %+v", obs.Kind, again)
	}
	if !reflect.DeepEqual(after, snapshot(l.book)) {
		l.t.Fatalf("applying %s a second time changed the book", obs.Kind)
	}
	return c
}

// count: the same fact is told once, under one id.
func (l *ledger) count(c pay.Change) {
	for _, e := range c.Events {
		l.keys[e.Key()]++
		if l.keys[e.Key()] > 1 {
			l.t.Fatalf("event %s was told twice", e.Key())
		}
		if e.Refund != nil {
			l.facts[string(e.Fact)+" "+string(e.Refund.OutRefundNo)]++
		} else {
			l.facts[string(e.Fact)]++
		}
	}
	for what, n := range l.facts {
		var no string
		if _, err := fmt.Sscanf(what, "refund.abnormal %s", &no); err != nil && n > 1 && what != string(pay.FactOrderAnomaly) {
			l.t.Fatalf("%s was told %d times", what, n)
		}
	}
}

// checkSteps: no refund leaves the table, vanishes, or changes its terms.
func (l *ledger) checkSteps(before still) {
	for no, r := range l.book.Refunds {
		old, known := before.Refunds[no]
		at, steps := old.State, r.Path
		if known {
			steps = r.Path[len(old.Path):]
		} else if at = pay.RefundRequested; r.Origin == pay.RefundByPlatform {
			at = pay.RefundProcessing
		}
		for _, to := range steps {
			if !pay.CanMoveRefund(at, to) {
				l.t.Fatalf("refund %s took the step %s → %s", no, at, to)
			}
			at = to
		}
		if at != r.State {
			l.t.Fatalf("refund %s is %s, and its path ends at %s", no, r.State, at)
		}
		if known && (old.Amount != r.Amount || old.TransactionID != r.TransactionID || old.Origin != r.Origin || old.Digest != r.Digest || old.RefundID != "" && old.RefundID != r.RefundID) {
			l.t.Fatalf("refund %s changed its terms", no)
		}
		if r.State.Unresolved() == r.NextCheckAt.IsZero() {
			l.t.Fatalf("refund %s is %s with next_check_at %v", no, r.State, r.NextCheckAt)
		}
	}
	for no := range before.Refunds {
		if l.book.Refunds[no] == nil {
			l.t.Fatalf("refund %s is gone", no)
		}
	}
}

// checkMoney: the payments' sums are those over the refunds; a request of ours
// never goes over what came in; WeChat's word may, with an anomaly.
func (l *ledger) checkMoney(before still, obs pay.Observation, c pay.Change) {
	for id, p := range l.book.Payments {
		var refunded, reserved pay.Fen
		for _, r := range l.book.Refunds {
			switch {
			case r.TransactionID != id:
			case r.State == pay.RefundSucceeded:
				refunded += r.Amount
			case r.State.Unresolved():
				reserved += r.Amount
			}
		}
		if p.Refunded != refunded || p.Reserved != reserved {
			l.t.Fatalf("payment %s says %d refunded, %d reserved; its refunds say %d and %d", id, p.Refunded, p.Reserved, refunded, reserved)
		}
		if p.Refunded < 0 || p.Reserved < 0 || p.Overrun < 0 || p.Refunded+p.Reserved > p.Amount+p.Overrun {
			l.t.Fatalf("payment %s of %d gives back %d + %d, overrun %d", id, p.Amount, p.Refunded, p.Reserved, p.Overrun)
		}
		grown := p.Overrun > before.Payments[id].Overrun
		if grown && obs.Kind != pay.ObservedRefund {
			l.t.Fatalf("%s raised the overrun of payment %s", obs.Kind, id)
		}
		if told := slices.ContainsFunc(c.Anomalies, func(a pay.Anomaly) bool { return a.Kind == pay.AnomalyRefundOverrun && a.TransactionID == id }); told != grown {
			l.t.Fatalf("overrun of payment %s grew: %v, anomaly: %v", id, grown, told)
		}
	}
	for id, p := range before.Payments {
		if now, kept := l.book.Payments[id]; !kept || now.Amount != p.Amount {
			l.t.Fatalf("payment %s is gone or changed", id)
		}
	}
}

// checkAnomalies: an anomaly keeps what it is about and moves from open to one
// end; whatever moved is told to the store; accepted money is there, and money
// that is all back needs nobody.
func (l *ledger) checkAnomalies(before still, obs pay.Observation, c pay.Change) {
	for i, a := range l.book.Anomalies {
		was := pay.Anomaly{State: pay.AnomalyOpen}
		if i < len(before.Anomalies) {
			was = before.Anomalies[i]
		}
		p, overrun := l.book.Payments[a.TransactionID], a.Kind == pay.AnomalyRefundOverrun
		switch {
		case was.State != pay.AnomalyOpen && was != *a:
			l.t.Fatalf("a decided anomaly changed: %+v, now %+v", was, *a)
		case i < len(before.Anomalies) && (was != *a) != slices.Contains(c.Decided, a):
			l.t.Fatalf("changed %v, told of %v: %+v, now %+v", was != *a, slices.Contains(c.Decided, a), was, *a)
		case !overrun && (p.Refunded >= p.Amount) && a.State == pay.AnomalyOpen:
			l.t.Fatalf("payment %s is all back, and its anomaly is open", a.TransactionID)
		case a.State == pay.AnomalyRefunded && (overrun || p.Refunded < p.Amount):
			l.t.Fatalf("anomaly %+v is refunded, and payment %s gave back %d of %d", *a, p.TransactionID, p.Refunded, p.Amount)
		case was.State == pay.AnomalyOpen && a.State == pay.AnomalyAccepted && !overrun && p.Reserved > 0:
			l.t.Fatalf("anomaly %+v was accepted while %d fen leave", *a, p.Reserved)
		case a.State != pay.AnomalyOpen && a.DecidedAt.IsZero(), a.Decision != "" && (a.DecidedBy == "" || a.DecidedAt.IsZero()):
			l.t.Fatalf("anomaly %+v does not say by whom or when", *a)
		}
	}
	if from, o := before.Order, l.book.Order; from.State.Open() && o.State == pay.OrderClosed {
		for id, p := range l.book.Payments {
			if p.Refunded < p.Amount {
				l.t.Fatalf("%s by %s closed the order while payment %s has %d fen", obs.Kind, obs.Source, id, p.Amount-p.Refunded)
			}
		}
	}
}

// checkSequence: the history has no gap, and a paid order stays paid.
func (l *ledger) checkSequence(before still, c pay.Change) {
	next := before.Order.Sequence
	for _, h := range c.History {
		next++
		if h.Sequence != next {
			l.t.Fatalf("history goes from %d to %d", next-1, h.Sequence)
		}
	}
	if l.book.Order.Sequence != next || (next > before.Order.Sequence) != c.Touched {
		l.t.Fatalf("the order is at %d, its history at %d, touched %v", l.book.Order.Sequence, next, c.Touched)
	}
	from, to := before.Order.State, l.book.Order.State
	if from != to && !pay.CanMove(from, to) {
		l.t.Fatalf("the order moved %s → %s", from, to)
	}
}

func anyPolicies(t *rapid.T) pay.Policies {
	return pay.Policies{
		LatePayment:    rapid.SampledFrom([]pay.Policy{"", pay.PolicyHold, pay.PolicyRefund}).Draw(t, "late"),
		DoublePayment:  rapid.SampledFrom([]pay.Policy{"", pay.PolicyHold}).Draw(t, "double"),
		AmountMismatch: rapid.SampledFrom([]pay.Policy{"", pay.PolicyRefund}).Draw(t, "amount"),
	}
}

// Whatever is said, in whatever order and however often, the promises about
// money hold after every single step.
func TestBook_keeps_its_promises_about_money_whatever_is_said(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger(t, anyPolicies(t))
		if rapid.Bool().Draw(t, "paid first") {
			l.apply(paid("4200", 100))
		}
		for _, obs := range rapid.SliceOfN(anything(), 0, 30).Draw(t, "story") {
			l.apply(obs)
		}
		if n := l.facts[string(pay.FactOrderPaid)]; n > 1 || (n == 1) != (l.book.Order.State == pay.OrderPaid) {
			t.Fatalf("%d order.paid for an order that is %s", n, l.book.Order.State)
		}
	})
}

// truth is one refund as WeChat knows it: its terms, how it ends, and every word
// that WeChat ever says of it.
type truth struct {
	no          pay.OutRefundNo
	transaction pay.TransactionID
	amount      pay.Fen
	end         pay.RefundState
	ours        bool
}

func drawTruth(t *rapid.T) []truth {
	n := rapid.IntRange(1, 4).Draw(t, "refunds")
	all := make([]truth, n)
	for i := range all {
		all[i] = truth{
			no: pay.OutRefundNo(fmt.Sprintf("R%d", i)), transaction: rapid.SampledFrom([]pay.TransactionID{"4200", "4201"}).Draw(t, "transaction"),
			amount: pay.Fen(rapid.Int64Range(1, 100).Draw(t, "amount")), ours: rapid.Bool().Draw(t, "ours"),
			end: rapid.SampledFrom([]pay.RefundState{"processing", "abnormal", "succeeded", "closed"}).Draw(t, "end"),
		}
	}
	return all
}

// words are what WeChat says of the refund up to its end, the last at least
// once; whoever listens hears them in any order.
func (r truth) words(t *rapid.T) []pay.Observation {
	states := []pay.RefundState{pay.RefundProcessing, r.end}
	if r.end == pay.RefundSucceeded || r.end == pay.RefundClosed {
		states = append(states, pay.RefundAbnormal)
	}
	var all []pay.Observation
	for i, state := range states {
		for range rapid.IntRange(0, 3).Draw(t, "times") {
			all = append(all, r.word(t, state))
		}
		if i == 1 {
			all = append(all, r.word(t, r.end))
		}
	}
	return all
}

func (r truth) word(t *rapid.T, state pay.RefundState) pay.Observation {
	obs := word(r.no, r.amount, state)
	obs.TransactionID = r.transaction
	obs.ObservedAt = noon.Add(time.Duration(rapid.IntRange(60, 600).Draw(t, "minute")) * time.Minute)
	obs.Source = rapid.SampledFrom([]pay.Source{pay.SourceNotification, pay.SourceQuery, pay.SourceCall}).Draw(t, "source")
	// Somebody may have driven it on before it ended.
	obs.DrivenOn = state == pay.RefundProcessing && r.end != pay.RefundAbnormal && rapid.Bool().Draw(t, "driven on")
	return obs
}

// The order in which WeChat's words arrive, and how often, does not matter: the
// refunds end where WeChat says, and so do the sums.
func TestBook_refunds_end_in_the_same_books_in_any_order_of_arrival(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger(t, pay.Policies{DoublePayment: pay.PolicyHold})
		l.apply(paid("4200", 100))
		l.apply(paid("4201", 100))
		known := drawTruth(t)
		var words []pay.Observation
		for i, r := range known {
			if r.ours {
				asked := wish(r.no, r.amount)
				asked.TransactionID = r.transaction
				if l.apply(asked).Refusal != nil { // then WeChat never heard of it from us: somebody else asked for it
					known[i].ours = false
				}
			}
			words = append(words, r.words(t)...)
		}
		for _, obs := range rapid.Permutation(words).Draw(t, "arrival") {
			if c := l.apply(obs); c.Letter != nil {
				t.Fatalf("%s: %s", obs.OutRefundNo, c.Letter.Detail)
			}
		}
		refunded, reserved := map[pay.TransactionID]pay.Fen{}, map[pay.TransactionID]pay.Fen{}
		for _, r := range known {
			got := l.book.Refunds[r.no]
			if got.State != r.end || (got.Origin == pay.RefundByCommand) != r.ours {
				t.Fatalf("refund %s of %s is %s, WeChat says %s", r.no, got.Origin, got.State, r.end)
			}
			switch {
			case r.end == pay.RefundSucceeded:
				refunded[r.transaction] += r.amount
			case r.end != pay.RefundClosed:
				reserved[r.transaction] += r.amount
			}
			l.mustTell(r)
		}
		for id, p := range l.book.Payments {
			want := []pay.Fen{refunded[id], reserved[id], max(refunded[id]+reserved[id]-p.Amount, 0)}
			if !slices.Equal(want, []pay.Fen{p.Refunded, p.Reserved, p.Overrun}) {
				t.Fatalf("payment %s ends with %d refunded, %d reserved, overrun %d; want %v", id, p.Refunded, p.Reserved, p.Overrun, want)
			}
		}
	})
}

// mustTell: the end of a refund is told once, and no other end.
func (l *ledger) mustTell(r truth) {
	for fact, end := range map[pay.Fact]pay.RefundState{pay.FactRefundSucceeded: pay.RefundSucceeded, pay.FactRefundClosed: pay.RefundClosed} {
		want := 0
		if end == r.end {
			want = 1
		}
		if n := l.facts[string(fact)+" "+string(r.no)]; n != want {
			l.t.Fatalf("%s of %s, which is %s, was told %d times", fact, r.no, r.end, n)
		}
	}
	requested := 0
	if r.ours {
		requested = 1
	}
	if n := l.facts[string(pay.FactRefundRequested)+" "+string(r.no)]; n != requested {
		l.t.Fatalf("refund.requested of %s was told %d times, want %d", r.no, n, requested)
	}
}

// Payments, closes, refusals and refunds in any order: an order is delivered at
// most once, every payment is kept, and money that paid no order goes back by
// exactly one refund where the policy says so.
func TestBook_gives_back_each_payment_that_paid_nothing_once(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		policies := pay.Policies{LatePayment: pay.PolicyRefund, DoublePayment: pay.PolicyRefund, AmountMismatch: pay.PolicyRefund}
		l := newLedger(t, policies)
		var story []pay.Observation
		for id, amount := range truthOfPayments() {
			for range rapid.IntRange(0, 2).Draw(t, "times paid") {
				story = append(story, paid(id, amount))
			}
			auto := word(pay.AutoRefundNo(id), amount, rapid.SampledFrom([]pay.RefundState{"processing", "succeeded", "closed", "abnormal"}).Draw(t, "auto"))
			auto.TransactionID = id
			// WeChat can only speak of a refund that we sent.
			auto.Source = pay.SourceCall
			story = append(story, auto)
		}
		for _, kind := range []pay.ObservationKind{pay.ObservedClosed, pay.ObservedRefused, pay.ObservedPrepared, pay.ObservedOpen} {
			if rapid.Bool().Draw(t, string(kind)) {
				story = append(story, says(kind))
			}
		}
		story = append(story, wish("R1", 60), wish("R2", 60), word("R1", 60, pay.RefundSucceeded))
		came := map[pay.TransactionID]bool{}
		for _, obs := range rapid.Permutation(story).Draw(t, "arrival") {
			if obs.Source == pay.SourceCall && l.book.Refunds[obs.OutRefundNo] == nil {
				continue
			}
			l.apply(obs)
			if obs.Kind == pay.ObservedPaid {
				came[obs.TransactionID] = true
			}
		}
		if l.facts[string(pay.FactOrderPaid)] > 1 {
			t.Fatal("delivered twice")
		}
		for id := range came {
			p, kept := l.book.Payments[id]
			if !kept {
				t.Fatalf("payment %s is in no book", id)
			}
			auto := l.book.Refunds[pay.AutoRefundNo(id)]
			paidIt := l.book.Order.State == pay.OrderPaid && l.book.Order.TransactionID == id
			if paidIt != (auto == nil) {
				t.Fatalf("payment %s paid the order: %v, automatic refund: %v", id, paidIt, auto != nil)
			}
			if auto != nil && (auto.Amount != p.Amount || auto.TransactionID != id || auto.Origin != pay.RefundByPolicy) {
				t.Fatalf("payment %s of %d has the automatic refund %+v", id, p.Amount, *auto)
			}
		}
		if len(l.book.Payments) != len(came) {
			t.Fatalf("%d payments are kept, %d came", len(l.book.Payments), len(came))
		}
	})
}
