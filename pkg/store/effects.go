package store

import (
	"maps"
	"slices"
	"time"

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

// decidedAnomaly is one that needs nobody's decision any more.
type decidedAnomaly struct {
	MchID         string    `db:"mchid"`
	TransactionID string    `db:"transaction_id"`
	Kind          string    `db:"kind"`
	OutTradeNo    string    `db:"out_trade_no"`
	OutRefundNo   string    `db:"out_refund_no"`
	Policy        string    `db:"policy"`
	State         string    `db:"state"`
	ExpectedFen   int64     `db:"expected_fen"`
	ActualFen     int64     `db:"actual_fen"`
	ObservedAt    time.Time `db:"observed_at"`
}

func (d decidedAnomaly) anomaly() pay.Anomaly {
	return pay.Anomaly{
		Kind: pay.AnomalyKind(d.Kind), MchID: pay.MchID(d.MchID), OutTradeNo: pay.OutTradeNo(d.OutTradeNo), TransactionID: pay.TransactionID(d.TransactionID),
		OutRefundNo: pay.OutRefundNo(d.OutRefundNo), Policy: pay.Policy(d.Policy), State: pay.AnomalyState(d.State),
		ExpectedFen: pay.Fen(d.ExpectedFen), ActualFen: pay.Fen(d.ActualFen), ObservedAt: instant(d.ObservedAt),
	}
}
