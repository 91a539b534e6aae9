package store

import (
	"github.com/fenflow/fenflow/pkg/pay"
)

// openBook is the book of one locked order, with what it held when it was
// opened and what the batch is going to say about it.
type openBook struct {
	pay.Book
	opened   int64                             // the order's sequence
	checked  bool                              // a query's answer is newer than the row says
	payments map[pay.TransactionID]pay.Payment // as they were read

	refundsTold bool               // some observation is about a refund
	decisions   bool               // some observation is a decision
	ends        bool               // some observation may close or fail the order
	told        []*pay.Observation // of payments
}

// expect notes what an observation may come to ask of the book.
func (b *openBook) expect(obs *pay.Observation) {
	switch obs.Kind {
	case pay.ObservedPaid:
		b.told = append(b.told, obs)
	case pay.ObservedClosed, pay.ObservedRefused:
		b.ends = true
	case pay.ObservedRefundRequested, pay.ObservedRefund, pay.ObservedRefundMissing:
		b.refundsTold = true
	case pay.ObservedDecision:
		b.decisions = true
	case pay.ObservedOpen, pay.ObservedPrepared:
	}
}

// wantsRefunds says whether deciding may touch a refund. The payment of an open
// order, by far the commonest message, does not, and costs no statement for it:
// only money that does not fit can make a refund by itself.
func (b *openBook) wantsRefunds() bool {
	if b.Order == nil || b.refundsTold || b.decisions {
		return b.Order != nil
	}
	for _, obs := range b.told {
		if _, known := b.Payments[obs.TransactionID]; known {
			continue
		}
		fits := b.Order.State.Open() && !b.ends && obs.Amount == b.Order.Amount && obs.TransactionID == b.told[0].TransactionID
		if !fits {
			return true
		}
	}
	return false
}

// wantsAnomalies says whether deciding may move an anomaly: by a word about it,
// or because all of its money is back.
func (b *openBook) wantsAnomalies() bool { return b.Order != nil && (b.refundsTold || b.decisions) }

// looked notes when WeChat Pay last answered a query, and that an order which
// came to an end has no call due but a query.
func (b *openBook) looked(obs *pay.Observation) {
	if b.Order == nil {
		return
	}
	if obs.Source == pay.SourceQuery && isAboutOrder(obs.Kind) && obs.ObservedAt.After(b.Order.CheckedAt) {
		b.Order.CheckedAt, b.checked = obs.ObservedAt, true
	}
	if b.moved() && !b.Order.State.Open() {
		b.Order.CheckAPI = pay.APIOrderQuery
	}
}

// moved says whether the order's row must be written.
func (b *openBook) moved() bool { return b.Order != nil && b.Order.Sequence != b.opened }

func isAboutOrder(kind pay.ObservationKind) bool {
	return kind == pay.ObservedPaid || kind == pay.ObservedOpen || kind == pay.ObservedClosed
}

func isAboutRefund(kind pay.ObservationKind) bool {
	return kind == pay.ObservedRefundRequested || kind == pay.ObservedRefund || kind == pay.ObservedRefundMissing
}
