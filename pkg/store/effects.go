package store

import (
	"maps"
	"slices"

	"github.com/fenflow/fenflow/pkg/pay"
)

// standing is a book before an entry.
type standing struct {
	payments map[pay.TransactionID]pay.Payment
	refunds  map[pay.OutRefundNo]pay.RefundState
}

func standingOf(book *openBook) standing {
	s := standing{payments: maps.Clone(book.Payments), refunds: map[pay.OutRefundNo]pay.RefundState{}}
	for no, r := range book.Refunds {
		s.refunds[no] = r.State
	}
	return s
}

// paymentsOf are the payments that are not as they were.
func (s standing) paymentsOf(book *openBook) []pay.PaymentEffect {
	var effects []pay.PaymentEffect
	for _, id := range slices.Sorted(maps.Keys(book.Payments)) {
		was, known := s.payments[id]
		if now := book.Payments[id]; now != was {
			effects = append(effects, pay.PaymentEffect{New: !known, Payment: now})
		}
	}
	return effects
}

// refundsOf are the refunds that are not where they were. One of another order's,
// which is in the book for its number alone, never moves in it.
func (s standing) refundsOf(book *openBook) []pay.RefundEffect {
	var effects []pay.RefundEffect
	for _, no := range slices.Sorted(maps.Keys(book.Refunds)) {
		now := *book.Refunds[no]
		if was := s.refunds[no]; now.State != was {
			effects = append(effects, pay.RefundEffect{StateWas: was, Refund: now})
		}
	}
	return effects
}
