// Package simulator is a stand-in WeChat Pay platform: the counterpart that a
// merchant's payment system talks to when there is no merchant account at hand.
//
// Its job: to answer the v3 API (prepay for JSAPI, APP, H5 and Native, query, close,
// refunds, echo, platform certificates, bills) and the v2 API, to let someone pay an order through /control or a web
// page, and to deliver signed, encrypted notifications on WeChat's own retry
// schedule, genuine ones, repeats and forgeries alike.
//
// On request it misbehaves in every way in which the real platform does (FaultKinds),
// holds callers to the documented rates, and switches and rotates its keys.
//
// Its neighbours: cmd/simulator serves it; devstack, benchmarks and tests run it
// as a library. It imports nothing of fenflow, on purpose: it signs, encrypts and
// parses with code of its own, so that a mistake on one side is not repeated on
// the other and the two can check each other.
//
// What it guarantees: every v3 request is checked to the byte, and a refusal is
// logged with the expected string-to-sign and what differs from it; every 2xx
// answer is signed in the mode that the request asked for; the ledger holds each
// order and payment exactly once and, with a state directory, survives the end of
// the process. Speed shortens waits only: every timestamp is wall-clock time.
//
// What it leaves to others: keeping its address private (/control has no
// password: whoever reaches it can pay), and everything a real bank would do.
package simulator
