// Package worker composes the worker: a configuration becomes a running role.
//
// Its job: open the database and the bus, prove that both keep what they
// acknowledge, and run settlement, the replay lane, commands, the outbox relay, the
// letter sweep, platform certificates, the consumers of subscribers, answers to the
// edge and to operators, and housekeeping until it is told to stop. Its neighbours are the use cases and adapters that it wires; boot
// gives it signals, health and logs; reconcilers are woken through Redis, where
// there is one.
//
// It guarantees that nothing is consumed before durability is proven and the books
// are known to hold what was told, that
// commands and settlement have connections of their own, that it works without
// Redis, and that a stop finishes what is in hand: consumers first, then the relay
// of their events.
//
// It leaves to others: every decision about an order or refund, and every call
// that sends a refund.
package worker
