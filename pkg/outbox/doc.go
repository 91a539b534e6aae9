// Package outbox relays committed events from the outbox table to the bus.
//
// Its job: every row of the outbox becomes one message of the EVENT stream,
// and then a row of the published table. Its neighbours: settle and command
// hand it the events of a commit just made; the reconciler leaves those of its
// commits to the sweep; store holds the rows; bus publishes.
//
// It guarantees that an event which was committed is published, whatever dies
// in between: the hand-over in memory is only the fast path, and a sweep takes
// every row that is still there after a quarter of a second (two seconds while
// a fast path is behind), without a last attempt. A
// receipt that the database could not take is kept and written later, so that
// only a process that dies in between publishes a row twice; it then carries
// the same event id, which the broker refuses within its window and subscribers
// ignore after it.
//
// It leaves to others: what an event says (pay, store), how batches travel (bus).
package outbox
