package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Constants of the CloudEvents envelope.
const (
	SpecVersion = "1.0"
	ContentType = "application/json"
)

// The types of event that are published today.
const (
	TypeOrderCreated  = "fenflow.order.created.v1"
	TypeOrderPrepared = "fenflow.order.prepared.v1"
	TypeOrderPaid     = "fenflow.order.paid.v1" // deliver; written once for an order
	TypeOrderClosed   = "fenflow.order.closed.v1"
	TypeOrderFailed   = "fenflow.order.failed.v1"
	TypeOrderAnomaly  = "fenflow.order.anomaly.v1"

	TypeRefundRequested = "fenflow.refund.requested.v1" // on disk; WeChat Pay hears of it next
	TypeRefundSucceeded = "fenflow.refund.succeeded.v1" // the buyer has the money; written once for a refund
	TypeRefundClosed    = "fenflow.refund.closed.v1"    // WeChat Pay ended it without paying
	TypeRefundAbnormal  = "fenflow.refund.abnormal.v1"  // the money cannot reach the buyer: a person drives it on
	TypeRefundFailed    = "fenflow.refund.failed.v1"    // WeChat Pay never took it
)

// TypeOf gives the CloudEvents type of a fact such as "order.paid".
func TypeOf(fact string) string { return "fenflow." + fact + ".v1" }

// Source gives the CloudEvents source of a merchant's events.
func Source(mchid string) string { return "/merchants/" + mchid }

// Event is one CloudEvent. ID is the same for the same fact for ever: act on
// each id once.
type Event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject"` // out_trade_no
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            Order     `json:"data"`

	// RawData is "data" as it was received: all that can be read of a type that
	// this version does not know. It is not written.
	RawData json.RawMessage `json:"-"`
}

// Order is the whole order as of the event. Amounts are in fen (1/100 yuan).
// Sequence grows with each change: keep the copy with the highest.
type Order struct {
	MchID         string     `json:"mchid"`
	OutTradeNo    string     `json:"out_trade_no"`
	AppID         string     `json:"appid"`
	Client        string     `json:"client"`
	Protocol      string     `json:"protocol"`
	Description   string     `json:"description"`
	AmountFen     int64      `json:"amount_fen"`
	Currency      string     `json:"currency"`
	OpenID        string     `json:"openid,omitempty"`
	Attach        string     `json:"attach,omitempty"`
	State         string     `json:"state"`
	Sequence      int64      `json:"sequence"`
	Late          bool       `json:"late"`
	TransactionID string     `json:"transaction_id,omitempty"`
	PaidAt        *time.Time `json:"paid_at,omitempty"`
	ClosedAt      *time.Time `json:"closed_at,omitempty"`
	CreatedAt     time.Time  `json:"created_at"`
	ExpiresAt     time.Time  `json:"expires_at"`
	Digest        string     `json:"digest"`
	Failure       *Failure   `json:"failure,omitempty"`
	Anomaly       *Anomaly   `json:"anomaly,omitempty"` // of order.anomaly
	Refund        *Refund    `json:"refund,omitempty"`  // of the facts about a refund
}

// Refund is money of one payment of the order on its way back, as of the event.
type Refund struct {
	OutRefundNo     string     `json:"out_refund_no"`
	RefundID        string     `json:"refund_id,omitempty"` // WeChat Pay's number, once it gave one
	TransactionID   string     `json:"transaction_id"`      // the payment that is given back
	AmountFen       int64      `json:"amount_fen"`
	Currency        string     `json:"currency"`
	Reason          string     `json:"reason,omitempty"`
	Origin          string     `json:"origin"` // command, policy, operator or platform
	State           string     `json:"state"`
	CreatedAt       time.Time  `json:"created_at"`
	SucceededAt     *time.Time `json:"succeeded_at,omitempty"`
	ReceivedAccount string     `json:"received_account,omitempty"`
	Failure         *Failure   `json:"failure,omitempty"`
}

// Failure says why WeChat Pay refused an order or a refund.
type Failure struct {
	Code   string `json:"code"`
	Reason string `json:"reason,omitempty"`
}

// Anomaly is money that did not fit its order, and what was decided.
type Anomaly struct {
	Kind          string `json:"kind"`
	State         string `json:"state"`
	Policy        string `json:"policy"`
	TransactionID string `json:"transaction_id"`
	OutRefundNo   string `json:"out_refund_no,omitempty"` // of refund_overrun
	ExpectedFen   int64  `json:"expected_fen"`
	ActualFen     int64  `json:"actual_fen"`

	// Decision is accept or refund, and empty while nobody decided. An order is
	// delivered on order.paid only, whatever was decided.
	Decision  string     `json:"decision,omitempty"`
	DecidedAt *time.Time `json:"decided_at,omitempty"`
}

// Parse reads one event and refuses what is not one, so that a subscriber
// never acts on half of it. A type that this version does not know is no
// error: a later fenflow may publish it, and its subscribers must go on. Its
// Data is filled only where it is an order's; RawData always holds it.
func Parse(raw []byte) (Event, error) {
	var wire struct {
		Event
		Data json.RawMessage `json:"data"` // stands before Event's own
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return Event{}, fmt.Errorf("parse event: %w", err)
	}
	e := wire.Event
	e.RawData = wire.Data
	switch {
	case e.SpecVersion != SpecVersion:
		return Event{}, fmt.Errorf("parse event: specversion is %q, want %q", e.SpecVersion, SpecVersion)
	case e.ID == "" || e.Type == "":
		return Event{}, errors.New("parse event: id or type is missing")
	}
	order, err := parseOrder(wire.Data)
	if err != nil && (len(wire.Data) == 0 || isKnown(e.Type)) {
		return Event{}, fmt.Errorf("parse event: %w", err)
	}
	e.Data = order
	return e, nil
}

// parseOrder gives nothing where it cannot give a whole order.
func parseOrder(data json.RawMessage) (Order, error) {
	var o Order
	if len(data) == 0 {
		return Order{}, errors.New("data is missing")
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return Order{}, err
	}
	if o.MchID == "" || o.OutTradeNo == "" {
		return Order{}, errors.New("data names no order")
	}
	return o, nil
}

// isKnown says whether Data must be an order.
func isKnown(typ string) bool {
	switch typ {
	case TypeOrderCreated, TypeOrderPrepared, TypeOrderPaid, TypeOrderClosed, TypeOrderFailed, TypeOrderAnomaly,
		TypeRefundRequested, TypeRefundSucceeded, TypeRefundClosed, TypeRefundAbnormal, TypeRefundFailed:
		return true
	}
	return false
}
