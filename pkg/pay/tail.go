package pay

import "time"

// EventQuery asks for published events as they stand in the stream.
type EventQuery struct {
	MchID  MchID     // empty: of every merchant
	Fact   Fact      // empty: every fact
	Latest bool      // the last ones, whatever the position
	After  uint64    // only behind this sequence
	Stream time.Time // when the stream was made in which After counts; zero: the stream that is there
	Since  time.Time // only what was stored then or later; with it After is not looked at
	Limit  int
}

// EventPage is a part of the stream, in its order, and what the reader must know
// to trust that nothing was left out.
type EventPage struct {
	Events      []StoredEvent
	StreamMade  time.Time // another one than before: the stream was made anew, and counts anew
	First, Last uint64    // sequences that are stored
	Restarted   bool      // EventQuery.After belongs to a stream that is gone; this page begins with the new one's first event
	Gaps        []SequenceGap
	Next        uint64 // EventQuery.After of the page after this one
	More        bool   // there are more now
}

// StoredEvent is one message of the stream. What it holds is not judged.
type StoredEvent struct {
	Sequence uint64
	Subject  string
	StoredAt time.Time
	Payload  []byte // CloudEvents JSON, as subscribers get it
}

// SequenceGap are sequences, both ends included, whose messages are gone.
type SequenceGap struct {
	From, To uint64
}
