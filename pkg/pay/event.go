package pay

import (
	"strconv"
	"strings"
	"time"
)

// Fact is the noun and past participle of an event, such as "order.paid".
type Fact string

// The facts that are published today.
const (
	FactOrderCreated  Fact = "order.created"
	FactOrderPrepared Fact = "order.prepared"
	FactOrderPaid     Fact = "order.paid"
	FactOrderClosed   Fact = "order.closed"
	FactOrderFailed   Fact = "order.failed"
	FactOrderAnomaly  Fact = "order.anomaly"

	FactRefundRequested Fact = "refund.requested"
	FactRefundSucceeded Fact = "refund.succeeded"
	FactRefundClosed    Fact = "refund.closed"
	FactRefundAbnormal  Fact = "refund.abnormal"
	FactRefundFailed    Fact = "refund.failed"
)

// Event is a fact for others: the whole order as of then.
type Event struct {
	Fact    Fact
	At      time.Time
	Order   Order    // as it stands after the fact
	Anomaly *Anomaly // of FactOrderAnomaly
	Refund  *Refund  // of the facts about a refund
	// Decided is what was decided about a known anomaly, and for a refund its
	// number; empty: the anomaly is told of for the first time.
	Decided []string
}

// Key names the fact for ever: merchant, number, fact, and the transaction
// or refund where the fact is about one. The event's id is derived from it, so that the
// same fact has the same id after any replay or restore.
func (e Event) Key() string {
	parts := []string{string(e.Order.MchID), string(e.Order.OutTradeNo), string(e.Fact)}
	switch {
	case e.Anomaly != nil:
		// No kind is a decision's name: the two cannot be taken for each other.
		parts = append(parts, e.Decided...)
		parts = append(parts, string(e.Anomaly.Kind), string(e.Anomaly.TransactionID))
		if e.Anomaly.OutRefundNo != "" {
			parts = append(parts, string(e.Anomaly.OutRefundNo))
		}
	case e.Refund != nil:
		parts = append(parts, string(e.Refund.OutRefundNo))
		// A refund can become abnormal again after it was driven on, and fail
		// only once: rounds before the first are not told apart.
		if e.Fact == FactRefundAbnormal && e.Refund.AbnormalRounds > 1 {
			parts = append(parts, strconv.Itoa(e.Refund.AbnormalRounds))
		}
	case e.Fact == FactOrderPaid:
		parts = append(parts, string(e.Order.TransactionID))
	}
	return strings.Join(parts, "/")
}

// Outgoing is an event on its way to the bus, as the outbox holds it.
type Outgoing struct {
	EventID    string // UUIDv5 of the key
	MchID      MchID
	OutTradeNo OutTradeNo
	Fact       Fact
	Payload    []byte // CloudEvents JSON
	CreatedAt  time.Time
}

// Publication is the broker's receipt for one event.
type Publication struct {
	EventID   string
	Sequence  uint64 // position in the EVENT stream
	Duplicate bool   // the stream had it already
	At        time.Time
}
