package operator

import (
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

type storyDocument struct {
	FoundBy   string            `json:"found_by"`
	Order     orderDocument     `json:"order"`
	Payments  []paymentDocument `json:"payments"`
	Refunds   []refundDocument  `json:"refunds"`
	Anomalies []anomalyDocument `json:"anomalies"`
	Timeline  []momentDocument  `json:"timeline"`

	Acknowledgements string `json:"acknowledgements,omitempty"`
}

type paymentDocument struct {
	TransactionID string    `json:"transaction_id"`
	AmountFen     int64     `json:"amount_fen"`
	RefundedFen   int64     `json:"refunded_fen"`
	ReservedFen   int64     `json:"reserved_fen"`
	OverrunFen    int64     `json:"overrun_fen"`
	PaidAt        time.Time `json:"paid_at"`
	ObservedAt    time.Time `json:"observed_at"`
	NotifiedAt    time.Time `json:"notified_at,omitzero"`
}

type refundDocument struct {
	OutRefundNo   string            `json:"out_refund_no"`
	TransactionID string            `json:"transaction_id"`
	RefundID      string            `json:"refund_id,omitempty"`
	AmountFen     int64             `json:"amount_fen"`
	Currency      string            `json:"currency"`
	Reason        string            `json:"reason,omitempty"`
	Origin        string            `json:"origin"`
	State         string            `json:"state"`
	FailureCode   string            `json:"failure_code,omitempty"`
	FailureReason string            `json:"failure_reason,omitempty"`
	CreatedAt     time.Time         `json:"created_at"`
	UpdatedAt     time.Time         `json:"updated_at"`
	SucceededAt   time.Time         `json:"succeeded_at,omitzero"`
	NextCheckAt   time.Time         `json:"next_check_at,omitzero"`
	Attempts      []attemptDocument `json:"attempts"`
}

type attemptDocument struct {
	Number     int       `json:"number"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	Outcome    string    `json:"outcome"`
	Status     int       `json:"status,omitempty"`
	Code       string    `json:"code,omitempty"`
	RequestID  string    `json:"request_id,omitempty"`
}

type anomalyDocument struct {
	MchID          string    `json:"mchid"`
	OutTradeNo     string    `json:"out_trade_no"`
	Kind           string    `json:"kind"`
	TransactionID  string    `json:"transaction_id"`
	OutRefundNo    string    `json:"out_refund_no,omitempty"`
	Policy         string    `json:"policy"`
	State          string    `json:"state"`
	ExpectedFen    int64     `json:"expected_fen"`
	ActualFen      int64     `json:"actual_fen"`
	ObservedAt     time.Time `json:"observed_at"`
	Decision       string    `json:"decision,omitempty"`
	DecidedBy      string    `json:"decided_by,omitempty"`
	DecisionReason string    `json:"decision_reason,omitempty"`
	DecidedAt      time.Time `json:"decided_at,omitzero"`
}

type momentDocument struct {
	At             time.Time `json:"at"`
	Kind           string    `json:"kind"`
	What           string    `json:"what"`
	Source         string    `json:"source,omitempty"`
	From           string    `json:"from,omitempty"`
	To             string    `json:"to,omitempty"`
	Sequence       int64     `json:"sequence,omitempty"`
	TransactionID  string    `json:"transaction_id,omitempty"`
	OutRefundNo    string    `json:"out_refund_no,omitempty"`
	DeliveryID     string    `json:"delivery_id,omitempty"`
	NotificationID string    `json:"notification_id,omitempty"`
	KeyID          string    `json:"key_id,omitempty"`
	EventID        string    `json:"event_id,omitempty"`
	PublishedAt    time.Time `json:"published_at,omitzero"`
	StreamSequence uint64    `json:"stream_sequence,omitempty"`
	State          string    `json:"state,omitempty"`
	Actor          string    `json:"actor,omitempty"`
	Detail         string    `json:"detail,omitempty"`

	AcknowledgedBy []acknowledgedDocument `json:"acknowledged_by,omitempty"`
	ToldNotYet     []string               `json:"told_not_yet,omitempty"`
}

func storyOf(foundBy string, s pay.Story, timeline []pay.Moment) storyDocument {
	return storyDocument{
		FoundBy: foundBy, Order: orderOf(s.Order), Payments: each(s.Payments, paymentOf), Refunds: each(s.Refunds, refundOf),
		Anomalies: each(s.Anomalies, anomalyOf), Timeline: each(timeline, momentOf),
	}
}

func paymentOf(p pay.Payment) paymentDocument {
	return paymentDocument{
		TransactionID: string(p.TransactionID), AmountFen: int64(p.Amount), RefundedFen: int64(p.Refunded), ReservedFen: int64(p.Reserved),
		OverrunFen: int64(p.Overrun), PaidAt: p.PaidAt, ObservedAt: p.ObservedAt, NotifiedAt: p.NotifiedAt,
	}
}

func refundOf(r pay.RefundStory) refundDocument {
	return refundDocument{
		OutRefundNo: string(r.OutRefundNo), TransactionID: string(r.TransactionID), RefundID: r.RefundID, AmountFen: int64(r.Amount),
		Currency: r.Currency, Reason: r.Reason, Origin: string(r.Origin), State: string(r.State), FailureCode: r.FailureCode,
		FailureReason: r.FailureReason, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, SucceededAt: r.SucceededAt, NextCheckAt: r.NextCheckAt,
		Attempts: each(r.Attempts, attemptOf),
	}
}

func attemptOf(a pay.Attempt) attemptDocument {
	return attemptDocument{
		Number: a.Number, StartedAt: a.StartedAt, FinishedAt: a.FinishedAt, Outcome: string(a.Outcome), Status: a.Status, Code: a.Code, RequestID: a.RequestID,
	}
}

func anomalyOf(a pay.Anomaly) anomalyDocument {
	return anomalyDocument{
		MchID: string(a.MchID), OutTradeNo: string(a.OutTradeNo), Kind: string(a.Kind), TransactionID: string(a.TransactionID), OutRefundNo: string(a.OutRefundNo), Policy: string(a.Policy), State: string(a.State),
		ExpectedFen: int64(a.ExpectedFen), ActualFen: int64(a.ActualFen), ObservedAt: a.ObservedAt,
		Decision: string(a.Decision), DecidedBy: a.DecidedBy, DecisionReason: a.DecisionReason, DecidedAt: a.DecidedAt,
	}
}

func momentOf(m pay.Moment) momentDocument {
	return momentDocument{
		At: m.At, Kind: m.Kind, What: m.What, Source: m.Source, From: m.From, To: m.To, Sequence: m.Sequence,
		TransactionID: string(m.TransactionID), OutRefundNo: string(m.OutRefundNo), DeliveryID: string(m.DeliveryID),
		NotificationID: m.NotificationID, KeyID: m.KeyID, EventID: m.EventID, PublishedAt: m.PublishedAt,
		StreamSequence: m.StreamSequence, State: m.State, Actor: m.Actor, Detail: m.Detail,
	}
}
