// Package event holds the events of fenflow as subscribers see them:
// CloudEvents 1.0 in structured JSON.
//
// Its neighbours: store writes these structs into the outbox, message puts what
// WeChat users sent on the bus, subscribers parse them. It imports the standard library only, so a business system may
// use it without any of fenflow's drivers.
//
// It guarantees stable JSON names: fields are added, never renamed or
// removed within a type's version. JSON Schemas with examples are in
// schema/events.
//
// It leaves to others: deciding what is true (pay) and delivery (bus). A
// subscriber acts on each event id once, whatever the order of arrival.
package event
