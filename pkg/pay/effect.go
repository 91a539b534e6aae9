package pay

// The outcomes that only a rehearsal knows: nothing is said of the books.
const (
	OutcomeBusy    Outcome = "busy"    // somebody else holds a row that it needs
	OutcomeRefused Outcome = "refused" // it must not be settled again; Cause says why
)

// OrderKey is what an order is found by.
type OrderKey struct {
	MchID      MchID
	OutTradeNo OutTradeNo
}

// Effect is what settling one entry does to the books, row by row, or would do.
type Effect struct {
	Delivery  DeliveryID
	MchID     MchID
	Kind      DeliveryKind
	Outcome   Outcome
	Cause     *LetterCause // of OutcomeLettered; of OutcomeRefused without a reason
	Order     *OrderEffect // nil: it names no order that could be read
	History   []HistoryEntry
	Payments  []PaymentEffect
	Anomalies []AnomalyEffect
	Refunds   []RefundEffect
	Events    []EventEffect
	Letter    *LetterEffect // nil: it has no letter, before or after
	Wakes     []DeliveryID  // letters that waited for this payment, and are tried again

	// What WeChat Pay is asked about at once, which moves nothing by itself.
	AsksOrder  bool
	AsksRefund OutRefundNo
}

// OrderEffect is the order that an entry names, before and after. Sequence 0 and
// an empty state: there is no such order.
type OrderEffect struct {
	OrderKey
	Known         bool // what follows was read; not so of a busy order
	SequenceWas   int64
	SequenceIsNow int64
	StateWas      OrderState
	StateIsNow    OrderState
}

// PaymentEffect is a payment that is new, or whose sums moved.
type PaymentEffect struct {
	New bool
	Payment
}

// AnomalyEffect is an anomaly that is new, or was decided.
type AnomalyEffect struct {
	New bool
	Anomaly
}

// RefundEffect is a refund that is new (StateWas is empty) or moved.
type RefundEffect struct {
	StateWas RefundState
	Refund
}

// EventEffect is an event that subscribers are told.
type EventEffect struct {
	EventID  string
	Fact     Fact
	Sequence int64 // of the order, as the event tells it
}

// LetterEffect is what becomes of a delivery's letter. Empty: there was none.
type LetterEffect struct {
	StateWas   LetterState
	StateIsNow LetterState
}

// Changes says whether anything but the archive differs afterwards.
func (e Effect) Changes() bool {
	moved := e.Letter != nil && e.Letter.StateWas != e.Letter.StateIsNow
	return moved || e.AsksOrder || e.AsksRefund != "" || len(e.Wakes)+len(e.History)+len(e.Payments)+len(e.Anomalies)+len(e.Refunds)+len(e.Events) > 0
}

// ReplayAct is an operator's word that entries are to be settled again, given for
// the books as they were seen.
type ReplayAct struct {
	Actor  string
	Reason string
	Orders map[OrderKey]int64 // their sequences; 0: there was no such order
}

// Stored is a delivery whose bytes we have, with its letter where it has one.
type Stored struct {
	Delivery    Delivery
	LetterState LetterState // empty: it has none
	Attempts    int         // readings that were counted before they began and did not end
}

// Lane is how far the lane of replayed notifications has come.
type Lane struct {
	Acknowledged uint64 // every pack up to this position of the stream is settled
	Waiting      int    // packs that are not
}

// Together groups entries, by their index, that are decided on the same book: those
// of one order number in the order given. Whatever names no order stands alone, and
// copies of one delivery stand together.
func Together(entries []Entry) [][]int {
	var groups [][]int
	at := map[any]int{}
	for i, e := range entries {
		var key any
		switch {
		case e.Observation != nil && e.Letter == nil:
			key = OrderKey{e.Observation.MchID, e.Observation.OutTradeNo}
		case e.Delivery != nil:
			key = e.Delivery.ID
		default:
			key = i
		}
		group, seen := at[key]
		if !seen {
			group = len(groups)
			at[key] = group
			groups = append(groups, nil)
		}
		groups[group] = append(groups[group], i)
	}
	return groups
}
