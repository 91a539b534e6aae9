package pay

import "time"

// DeliveryKind says what kind of message a delivery is.
type DeliveryKind string

// The kinds of delivery.
const (
	DeliveryNotifyV3       DeliveryKind = "notify_v3"
	DeliveryNotifyV2Pay    DeliveryKind = "notify_v2_pay"
	DeliveryNotifyV2Refund DeliveryKind = "notify_v2_refund"
	DeliveryAnswer         DeliveryKind = "answer" // WeChat's answer to a call of ours
)

// Notification says whether WeChat Pay sent the message by itself. Only such a
// one can be settled again from its bytes; an answer means nothing without the
// call that it answers.
func (k DeliveryKind) Notification() bool {
	return k == DeliveryNotifyV3 || k == DeliveryNotifyV2Pay || k == DeliveryNotifyV2Refund
}

// Position is where the bus kept a message. It is recorded, never relied on:
// positions restart when a stream is made anew.
type Position struct {
	Stream   string
	Sequence uint64
	Index    int // within the pack
}

// Delivery is one message from WeChat as it arrived, for the archive.
type Delivery struct {
	ID          DeliveryID
	MchID       MchID // of the path or the call, not of the content
	Kind        DeliveryKind
	ReceivedAt  time.Time
	Headers     map[string]string // the five Wechatpay-* headers
	Body        []byte
	TraceParent string
	Position    Position

	// What was read in it, where it could be read.
	KeyID          string // key that verified it
	NotificationID string // WeChat's own id
	EventType      string
	OutTradeNo     OutTradeNo
	TransactionID  TransactionID
}

// Entry is one delivery with what it turned out to be: an observation, a
// letter, or neither (a message that concerns no order is only archived).
type Entry struct {
	Delivery    *Delivery // nil for an observation that has no bytes to keep
	Observation *Observation
	Letter      *LetterCause
	Hint        *RefundHint // somebody's word without proof: ask WeChat
}

// RefundHint names a refund that may have moved, by a message that nobody signed.
type RefundHint struct {
	MchID       MchID
	OutRefundNo OutRefundNo
	OutTradeNo  OutTradeNo
	Protocol    Protocol
}

// LetterCause is why an entry becomes a letter.
type LetterCause struct {
	Reason LetterReason
	Detail string
}

// Outcome says what came of one entry.
type Outcome string

// The outcomes.
const (
	OutcomeApplied   Outcome = "applied"   // something moved
	OutcomeUnchanged Outcome = "unchanged" // known already, or nothing to move
	OutcomeLettered  Outcome = "lettered"  // became a dead letter
	OutcomeArchived  Outcome = "archived"  // concerns no order
)

// Settled is what one commit did, entry by entry.
type Settled struct {
	Results []Result
	Events  []Outgoing // for the relay's fast path; they are in the outbox already
}

// Result is the outcome of one entry.
type Result struct {
	Outcome Outcome
	Letter  *LetterCause // why, for OutcomeLettered
	Order   *Order       // as it stands now, where there is one
	Refund  *Refund      // of an observation about a refund: as it stands now, where there is one
	Refusal *Refusal     // why a wish about a refund or a decision was not granted; the books are as before
	Anomaly *Anomaly     // of a decision: as it stands now
}
