package recovery

import (
	"cmp"
	"slices"
	"time"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
)

// fact is something that subscribers were told, with the order as of then.
type fact struct {
	pay.ToldEvent

	order event.Order
	// overrun: more went back of this order's money than had come. Which refund went
	// over hangs on the order in which all of them became known.
	overrun bool
}

// story is what was told of one order, in the order in which it came about:
// each change of an order has a sequence of its own.
type story []fact

// storiesOf reads what was told. What does not parse was not told by us.
func storiesOf(told []pay.ToldEvent) map[pay.OrderKey]story {
	stories := map[pay.OrderKey]story{}
	for _, e := range told {
		parsed, err := event.Parse(e.Payload)
		if err != nil {
			continue
		}
		key := pay.OrderKey{MchID: e.MchID, OutTradeNo: e.OutTradeNo}
		stories[key] = append(stories[key], fact{ToldEvent: e, order: parsed.Data})
	}
	for _, facts := range stories {
		overrun := slices.ContainsFunc(facts, func(f fact) bool { return f.Fact == pay.FactOrderAnomaly && f.refund() != "" })
		for i := range facts {
			facts[i].overrun = overrun
		}
		slices.SortStableFunc(facts, func(a, b fact) int {
			return cmp.Or(cmp.Compare(a.order.Sequence, b.order.Sequence), cmp.Compare(a.Sequence, b.Sequence))
		})
	}
	return stories
}

// transaction is the payment that a fact is about.
func (f fact) transaction() pay.TransactionID {
	switch {
	case f.order.Anomaly != nil:
		return pay.TransactionID(f.order.Anomaly.TransactionID)
	case f.order.Refund != nil:
		return pay.TransactionID(f.order.Refund.TransactionID)
	case f.Fact == pay.FactOrderPaid:
		return pay.TransactionID(f.order.TransactionID)
	}
	return ""
}

// refund is the refund that a fact is about.
func (f fact) refund() pay.OutRefundNo {
	switch {
	case f.order.Refund != nil:
		return pay.OutRefundNo(f.order.Refund.OutRefundNo)
	case f.order.Anomaly != nil:
		return pay.OutRefundNo(f.order.Anomaly.OutRefundNo)
	}
	return ""
}

// ofPayment says whether a payment's arrival brought the fact about.
func (f fact) ofPayment() bool {
	return f.Fact == pay.FactOrderPaid || f.Fact == pay.FactOrderAnomaly && f.refund() == ""
}

// ofRefundsCourse says whether WeChat Pay's word about a refund did.
func (f fact) ofRefundsCourse() bool {
	switch f.Fact {
	case pay.FactRefundSucceeded, pay.FactRefundClosed, pay.FactRefundAbnormal:
		return true
	case pay.FactOrderAnomaly:
		return f.refund() != ""
	default:
		return false
	}
}

// binds says whether the fact must be in the books before anything that came
// about later: it decides what that means.
func (f fact) binds() bool {
	switch f.Fact {
	case pay.FactOrderPrepared:
		return false
	case pay.FactRefundSucceeded, pay.FactRefundAbnormal:
		return f.overrun
	default:
		return true
	}
}

// done says whether the fact is in the books. book is nil for an order that is
// not there.
func (f fact) done(book *pay.OrderBook) bool {
	if book == nil {
		return false
	}
	refund, known := book.Refunds[f.refund()]
	switch f.Fact {
	case pay.FactOrderCreated:
		return true
	case pay.FactOrderPrepared:
		return book.Order.State != pay.OrderCreated
	case pay.FactOrderPaid:
		return book.Order.TransactionID == f.transaction()
	case pay.FactOrderClosed:
		return !book.Order.ClosedAt.IsZero()
	case pay.FactOrderFailed:
		return book.Order.FailureCode != ""
	case pay.FactOrderAnomaly:
		return slices.ContainsFunc(book.Anomalies, func(a pay.Anomaly) bool {
			return string(a.Kind) == f.order.Anomaly.Kind && a.TransactionID == f.transaction() && a.OutRefundNo == f.refund()
		})
	case pay.FactRefundRequested:
		return known
	case pay.FactRefundFailed:
		return known && refund.State != pay.RefundRequested
	case pay.FactRefundClosed:
		return known && refund.State == pay.RefundClosed
	case pay.FactRefundSucceeded, pay.FactRefundAbnormal: // the reconciler follows what is in the books
		return known
	}
	return true // a later version's: not ours to judge
}

// before gives what came about before the first fact that fits; where none does,
// what was told before an instant.
func (s story) before(at time.Time, fits func(fact) bool) story {
	if i := slices.IndexFunc(s, fits); i >= 0 {
		return s[:i]
	}
	if i := slices.IndexFunc(s, func(f fact) bool { return f.StoredAt.After(at) }); i >= 0 {
		return s[:i]
	}
	return s
}

// beforeWord gives what came about before an observation of a notification.
func (s story) beforeWord(obs *pay.Observation, at time.Time) story {
	return s.before(at, func(f fact) bool {
		if obs.Kind == pay.ObservedRefund {
			return f.ofRefundsCourse() && f.refund() == obs.OutRefundNo
		}
		return f.ofPayment() && f.transaction() == obs.TransactionID
	})
}

// find gives the first fact of a kind about a refund.
func (s story) find(kind pay.Fact, refund pay.OutRefundNo) (fact, bool) {
	for _, f := range s {
		if f.Fact == kind && f.refund() == refund {
			return f, true
		}
	}
	return fact{}, false
}

// last is the highest sequence that was told.
func (s story) last() int64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].order.Sequence
}

// paidPlainly says whether there is one thing only that the order's payment can
// mean: it was placed, paid once if at all, and never closed or refused.
func (s story) paidPlainly() bool {
	paid := 0
	for _, f := range s {
		switch f.Fact {
		case pay.FactOrderPaid:
			paid++
		case pay.FactOrderClosed, pay.FactOrderFailed, pay.FactOrderAnomaly:
			return false
		default:
		}
	}
	return paid <= 1
}

// paidBy is the payment that paid the order, as far as it was told.
func (s story) paidBy() pay.TransactionID {
	for _, f := range s {
		if f.Fact == pay.FactOrderPaid {
			return f.transaction()
		}
	}
	return ""
}

// policies are the merchant's rules as they were when its money was judged:
// they may have been changed since.
func (s story) policies(rules pay.Policies) pay.Policies {
	for _, f := range s {
		if f.order.Anomaly == nil {
			continue
		}
		policy := pay.Policy(f.order.Anomaly.Policy)
		switch pay.AnomalyKind(f.order.Anomaly.Kind) {
		case pay.AnomalyLatePayment:
			rules.LatePayment = policy
		case pay.AnomalyDoublePayment:
			rules.DoublePayment = policy
		case pay.AnomalyAmountMismatch:
			rules.AmountMismatch = policy
		case pay.AnomalyRefundOverrun: // is always held
		}
	}
	return rules
}
