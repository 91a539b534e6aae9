// Package subscribers keeps a durable consumer for every business system that is told
// of a merchant's events, and notes how far each has acknowledged.
//
// Its neighbours: the books hold the subscribers and the samples, the bus the consumers;
// app/worker runs the keeper and has it answer the console, which adds, removes and shows
// subscribers.
//
// It guarantees that a consumer that is lost, with its stream or a restored broker, is
// made again and begins no later than after the last event that was seen to be
// acknowledged: an event may be told twice, and none is passed over. A position counts
// only where the message at it is the one that it was sampled with. A consumer hands out
// its own merchant's events and no other.
//
// It leaves to others: NATS users and permissions (deploy/nats.conf), events that were
// lost with the stream itself, and what a business system does with an event.
package subscribers
