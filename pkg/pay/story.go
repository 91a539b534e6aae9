package pay

import "time"

// Story is everything our books tell about one order, as of one moment.
type Story struct {
	Order     Order
	History   []HistoryEntry // by sequence
	Payments  []Payment      // by the time they were learned of
	Refunds   []RefundStory  // by the time they were requested
	Anomalies []Anomaly
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

// Book is the story's order with all that was decided so far: a copy, to see
// what an observation would do.
func (s Story) Book() *Book {
	order := s.Order
	b := &Book{Order: &order, Payments: map[TransactionID]Payment{}, Refunds: map[OutRefundNo]*Refund{}, Attempts: map[OutRefundNo][]Attempt{}}
	for _, p := range s.Payments {
		b.Payments[p.TransactionID] = p
	}
	for _, r := range s.Refunds {
		refund := r.Refund
		b.Refunds[r.OutRefundNo], b.Attempts[r.OutRefundNo] = &refund, r.Attempts
	}
	for _, a := range s.Anomalies {
		b.Anomalies = append(b.Anomalies, &a)
	}
	return b
}
