package pay

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// SubscriberName names a business system that is told of events, its durable
// consumer, its NATS account and its inbox.
type SubscriberName string

// subscriberNameShape begins with a letter: where a subject can be read in two ways,
// a name that is a number could be taken for one.
var subscriberNameShape = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// reservedSubscribers are consumers and users of our own.
func reservedSubscribers() []SubscriberName {
	return []SubscriberName{"api", "business", "console", "front", "notify", "reconciler", "subscriber", "worker"}
}

// ParseSubscriberName checks the shape of a subscriber's name.
func ParseSubscriberName(s string) (SubscriberName, error) {
	if !subscriberNameShape.MatchString(s) {
		return "", fmt.Errorf("must be 1 to 32 of a-z 0-9 _ - and begin with a letter")
	}
	if slices.Contains(reservedSubscribers(), SubscriberName(s)) {
		return "", fmt.Errorf("is a name of fenflow's own")
	}
	return SubscriberName(s), nil
}

// Subscriber is a business system that is told of one merchant's events.
type Subscriber struct {
	ID          string // a UUID: a name may be given again, and means another then
	Name        SubscriberName
	MchID       MchID
	NKey        string    // the public half, U…
	Facts       []Fact    // empty: all
	From        time.Time // events of before are not wanted; zero: all there are
	StreamAt    time.Time // when the stream was made of which StartsAfter is a position
	StartsAfter uint64    // in the stream; what stands there or before is not for it
	CreatedAt   time.Time
	CreatedBy   string
	RemovedAt   time.Time // zero: it lives
}

// Wants says whether the subscriber is told of a fact.
func (s Subscriber) Wants(f Fact) bool { return len(s.Facts) == 0 || slices.Contains(s.Facts, f) }

// SubscriberFilter picks a page of living subscribers, the newest first. After… is
// the last of the page before; zero: the first page.
type SubscriberFilter struct {
	MchID   MchID // empty: of every merchant
	Since   time.Time
	Limit   int
	AfterAt time.Time // its CreatedAt
	AfterID string
}

// SubscriberOutcome is what became of the wish to add a subscriber.
type SubscriberOutcome string

// The outcomes.
const (
	SubscriberAdded     SubscriberOutcome = "added"
	SubscriberSame      SubscriberOutcome = "same"       // it was there, with the same merchant, key and facts
	SubscriberNameTaken SubscriberOutcome = "name_taken" // by another, or by a removed one whose consumer is still there
	SubscriberKeyTaken  SubscriberOutcome = "key_taken"
)

// AckSample is how far a subscriber had acknowledged at an instant.
type AckSample struct {
	StreamAt time.Time // when the stream was made: positions begin anew with a new one
	Floor    uint64    // everything that concerns it, up to here, is acknowledged
	StoredAt time.Time // when the message at Floor was stored; zero: there was none
	At       time.Time
}

// KeptSubscriber is a subscriber whose consumer is to be looked after, with the
// latest sample of it.
type KeptSubscriber struct {
	Subscriber
	Last AckSample
}

// EventStream is where the stream of events stands.
type EventStream struct {
	CreatedAt   time.Time
	First, Last uint64
}

// EventPosition is what stands at one place of the stream of events.
type EventPosition struct {
	Sequence uint64
	EventID  string
	StoredAt time.Time
}

// ConsumerStart is where a consumer that is made begins.
type ConsumerStart struct {
	After uint64    // at the message after this one
	From  time.Time // else at the first that was stored then or later; zero: at the first there is
}

// ConsumerState is how far a subscriber's consumer is.
type ConsumerState struct {
	SubscriberID string // whose it is; empty: not made for a subscriber
	Floor        uint64 // everything up to here is acknowledged
	LastAckAt    time.Time
	Pending      uint64 // not handed out yet
	AckPending   uint64 // handed out and not acknowledged
	Redelivered  uint64
}

// Outstanding is how many events are not acknowledged.
func (s ConsumerState) Outstanding() uint64 { return s.Pending + s.AckPending }

// Facts lists the facts that are published today.
func Facts() []Fact {
	return []Fact{
		FactOrderCreated, FactOrderPrepared, FactOrderPaid, FactOrderClosed, FactOrderFailed, FactOrderAnomaly,
		FactRefundRequested, FactRefundSucceeded, FactRefundClosed, FactRefundAbnormal, FactRefundFailed,
	}
}

// AckQuestion asks when a subscriber was first seen to have acknowledged a position.
type AckQuestion struct {
	SubscriberID string
	StreamAt     time.Time
	Sequence     uint64
	PublishedAt  time.Time // samples of before say nothing: a restored stream gives positions twice
}
