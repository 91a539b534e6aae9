package pay

import "time"

// Told says whether a subscriber was told of an event.
type Told string

// What can be said of an event and a subscriber.
const (
	ToldAcknowledged  Told = "acknowledged"
	ToldNotYet        Told = "not_yet"        // not acknowledged, or not in order: see ConsumerState.Floor
	ToldNotPublished  Told = "not_published"  // it is in the outbox
	ToldNotSubscribed Told = "not_subscribed" // the subscriber does not want this fact
	ToldBeforeStart   Told = "before_start"   // it was published before the subscriber's first event
	ToldUnknown       Told = "unknown"        // its position in the stream says nothing any more
)

// eventsKept is how long the stream of events keeps one. A consumer passes over what
// is gone, so a floor that covers an event later than this proves nothing.
const eventsKept = 90 * 24 * time.Hour

// PositionState says what stands where an event was published.
type PositionState string

// The states of a position.
const (
	PositionHolds PositionState = "holds" // that event
	PositionGone  PositionState = "gone"  // nothing any more: the stream begins later
	PositionOther PositionState = "other" // something else: the stream was made anew, or restored
)

// ToldEvidence is what is known of one event and one subscriber.
type ToldEvidence struct {
	Fact        Fact
	PublishedAt time.Time // zero: not published
	Sequence    uint64    // where it was published
	Position    PositionState
	StreamAt    time.Time // when the stream of now was made
	Floor       uint64    // of the subscriber's consumer now; 0: nothing is acknowledged, or there is no consumer
	SeenAt      time.Time // the first sample that covers it; zero: there is none
}

// Tell judges whether the subscriber has acknowledged the event; at is when that was
// seen first, zero where no sample tells.
func (s Subscriber) Tell(e ToldEvidence) (told Told, at time.Time) {
	seen := !e.SeenAt.IsZero() && e.SeenAt.Sub(e.PublishedAt) < eventsKept
	switch {
	case !s.Wants(e.Fact):
		return ToldNotSubscribed, time.Time{}
	case e.PublishedAt.IsZero():
		return ToldNotPublished, time.Time{}
	case e.Position == PositionOther:
		return ToldUnknown, time.Time{}
	case s.StreamAt.Equal(e.StreamAt) && e.Sequence <= s.StartsAfter:
		return ToldBeforeStart, time.Time{}
	case seen:
		return ToldAcknowledged, e.SeenAt
	case e.Position != PositionHolds:
		return ToldUnknown, time.Time{}
	case e.Floor >= e.Sequence:
		return ToldAcknowledged, time.Time{}
	}
	return ToldNotYet, time.Time{}
}
