package replay

import (
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// rehearsal is the document of one chunk: what would change, or did.
type rehearsal struct {
	Deliveries []effect `json:"deliveries"`
	Totals     totals   `json:"totals"`
}

type effect struct {
	DeliveryID pay.DeliveryID   `json:"delivery_id"`
	MchID      pay.MchID        `json:"mchid"`
	Kind       pay.DeliveryKind `json:"kind"`
	Outcome    pay.Outcome      `json:"outcome"`
	Reason     string           `json:"reason,omitempty"` // a letter's
	Detail     string           `json:"detail,omitempty"`
	Order      *order           `json:"order,omitempty"`
	Letter     *letter          `json:"letter,omitempty"`
	History    []line           `json:"history,omitempty"`
	Payments   []payment        `json:"payments,omitempty"`
	Anomalies  []anomaly        `json:"anomalies,omitempty"`
	Refunds    []refund         `json:"refunds,omitempty"`
	Events     []event          `json:"events,omitempty"`
	Wakes      []pay.DeliveryID `json:"wakes,omitempty"`
	AsksOrder  bool             `json:"asks_order,omitempty"`
	AsksRefund pay.OutRefundNo  `json:"asks_refund,omitempty"`
}

type order struct {
	MchID         pay.MchID      `json:"mchid"`
	OutTradeNo    pay.OutTradeNo `json:"out_trade_no"`
	Sequence      *int64         `json:"sequence,omitempty"` // 0: there is none; absent: not read, somebody holds it
	SequenceAfter *int64         `json:"sequence_after,omitempty"`
	State         pay.OrderState `json:"state,omitempty"`
	StateAfter    pay.OrderState `json:"state_after,omitempty"`
}

type letter struct {
	State      pay.LetterState `json:"state,omitempty"` // absent: it has none yet
	StateAfter pay.LetterState `json:"state_after"`
}

type line struct {
	Sequence      int64             `json:"sequence"`
	What          string            `json:"what"`
	From          pay.OrderState    `json:"from"`
	To            pay.OrderState    `json:"to"`
	TransactionID pay.TransactionID `json:"transaction_id,omitempty"`
	OutRefundNo   pay.OutRefundNo   `json:"out_refund_no,omitempty"`
	RefundFrom    pay.RefundState   `json:"refund_from,omitempty"`
	RefundTo      pay.RefundState   `json:"refund_to,omitempty"`
	Detail        string            `json:"detail,omitempty"`
}

type payment struct {
	New           bool              `json:"new"`
	TransactionID pay.TransactionID `json:"transaction_id"`
	AmountFen     pay.Fen           `json:"amount_fen"`
	RefundedFen   pay.Fen           `json:"refunded_fen"`
	ReservedFen   pay.Fen           `json:"reserved_fen"`
	OverrunFen    pay.Fen           `json:"overrun_fen"`
	PaidAt        time.Time         `json:"paid_at"`
}

type anomaly struct {
	New           bool              `json:"new"`
	Kind          pay.AnomalyKind   `json:"kind"`
	TransactionID pay.TransactionID `json:"transaction_id"`
	OutRefundNo   pay.OutRefundNo   `json:"out_refund_no,omitempty"`
	Policy        pay.Policy        `json:"policy"`
	State         pay.AnomalyState  `json:"state"`
	ExpectedFen   pay.Fen           `json:"expected_fen"`
	ActualFen     pay.Fen           `json:"actual_fen"`
}

type refund struct {
	New           bool              `json:"new"`
	OutRefundNo   pay.OutRefundNo   `json:"out_refund_no"`
	TransactionID pay.TransactionID `json:"transaction_id"`
	AmountFen     pay.Fen           `json:"amount_fen"`
	Origin        pay.RefundOrigin  `json:"origin"`
	State         pay.RefundState   `json:"state,omitempty"` // absent: it is new
	StateAfter    pay.RefundState   `json:"state_after"`
}

type event struct {
	EventID  string   `json:"event_id"`
	Fact     pay.Fact `json:"fact"`
	Sequence int64    `json:"sequence"`
}

// totals add up, over a chunk or over many.
type totals struct {
	Deliveries int `json:"deliveries"`
	Applied    int `json:"applied"`
	Unchanged  int `json:"unchanged"`
	Lettered   int `json:"lettered"`
	Archived   int `json:"archived"`
	Busy       int `json:"busy"`
	Refused    int `json:"refused"`
	History    int `json:"history"`
	Payments   int `json:"payments"`
	Anomalies  int `json:"anomalies"`
	Refunds    int `json:"refunds"`
	Events     int `json:"events"`
	Resolved   int `json:"resolved"` // letters that were not
}

func rehearsalOf(effects []pay.Effect) rehearsal {
	r := rehearsal{Deliveries: make([]effect, len(effects))}
	for i := range effects {
		r.Deliveries[i] = effectOf(&effects[i])
		r.Totals.add(&effects[i])
	}
	return r
}

func (t *totals) add(e *pay.Effect) {
	t.Deliveries++
	switch e.Outcome {
	case pay.OutcomeApplied:
		t.Applied++
	case pay.OutcomeUnchanged:
		t.Unchanged++
	case pay.OutcomeLettered:
		t.Lettered++
	case pay.OutcomeArchived:
		t.Archived++
	case pay.OutcomeBusy:
		t.Busy++
	case pay.OutcomeRefused:
		t.Refused++
	}
	t.History += len(e.History)
	t.Payments += len(e.Payments)
	t.Anomalies += len(e.Anomalies)
	t.Refunds += len(e.Refunds)
	t.Events += len(e.Events)
	if l := e.Letter; l != nil && l.StateWas != "" && l.StateWas != pay.LetterResolved && l.StateIsNow == pay.LetterResolved {
		t.Resolved++
	}
}
