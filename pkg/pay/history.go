package pay

import "time"

// HistoryEntry is one line of an order's story. It is appended, never changed.
type HistoryEntry struct {
	MchID         MchID
	OutTradeNo    OutTradeNo
	Sequence      int64  // the order's sequence after this entry
	What          string // created, prepared, refused, closed, paid, renewed, refund_<state>, decision_<decision>, or an anomaly's kind
	Source        Source
	From, To      OrderState // equal where the state did not move
	TransactionID TransactionID
	OutRefundNo   OutRefundNo
	RefundFrom    RefundState // empty: the refund is new
	RefundTo      RefundState // empty: the entry is about no refund
	DeliveryID    DeliveryID
	KeyID         string
	Detail        string
	At            time.Time
}
