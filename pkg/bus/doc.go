// Package bus is fenflow's side of NATS JetStream: streams, packs, consumers,
// events, commands, and requests between roles.
//
// Its neighbours: ingest publishes envelopes and commands through it; the
// worker consumes both, publishes events, answers requests and keeps the
// streams; nats.go is seen by nobody else. deploy/nats.conf holds the users
// whose permissions it works within.
//
// It guarantees that a publish which returned nil is on disk (given streams
// and servers that [Bus.Prove] found in order), that a message is acknowledged
// only after its handler returned nil, and that an envelope keeps its bytes
// and its delivery id through every pack, redelivery and replay. Everything
// else degrades to a duplicate: an error from a publish says that the outcome
// is unknown, never that nothing happened.
//
// It leaves to others what an envelope means, which duplicates matter (they
// all arrive), when to try an event again (the outbox), and the decision to
// take no traffic while the durability verdict is bad (ingest).
package bus
