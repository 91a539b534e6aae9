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
}

// Failure says why WeChat Pay refused an order.
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
	ExpectedFen   int64  `json:"expected_fen"`
	ActualFen     int64  `json:"actual_fen"`
}

// Parse reads one event and refuses what is not one, so that a subscriber
// never acts on half of it.
func Parse(raw []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(raw, &e); err != nil {
		return Event{}, fmt.Errorf("parse event: %w", err)
	}
	switch {
	case e.SpecVersion != SpecVersion:
		return Event{}, fmt.Errorf("parse event: specversion is %q, want %q", e.SpecVersion, SpecVersion)
	case e.ID == "" || e.Type == "":
		return Event{}, errors.New("parse event: id or type is missing")
	case e.Data.MchID == "" || e.Data.OutTradeNo == "":
		return Event{}, errors.New("parse event: data names no order")
	}
	return e, nil
}
