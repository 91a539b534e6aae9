package pay

import "time"

// Story is everything our books tell about one order, as of one moment.
type Story struct {
	Order     Order
	History   []HistoryEntry // by sequence
	Payments  []Payment      // by the time they were learned of
	Refunds   []RefundStory  // by the time they were requested
	Anomalies []DecidedAnomaly
}

// RefundStory is a refund with every call that sent it.
type RefundStory struct {
	Refund
	Attempts []Attempt
}

// RefundMoment is a refund with its calls at an instant of the database's clock,
// by which they began.
type RefundMoment struct {
	RefundStory
	At   time.Time
	Held bool // somebody is sending it or asking about it
}

// DecidedAnomaly is an anomaly with when it was decided; zero: not yet.
type DecidedAnomaly struct {
	Anomaly
	DecidedAt time.Time
}
