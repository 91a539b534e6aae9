// Package wechatpay speaks WeChat Pay's protocols, v3 and v2: it verifies,
// decrypts and reads what WeChat Pay sends, and makes and signs calls to it.
//
// Its neighbours: merchant holds the keys; ingest verifies envelopes with
// public keys only; settle and command, in the worker, open them and call
// WeChat Pay; reconcile asks about orders and refunds and is the only one that
// sends refunds. It knows no database and no bus.
//
// It guarantees that a Notification exists only for what was verified against
// the time of its receipt, decrypted, read whole, and is about the merchant
// whose path it came in by: Open is the one way to get one. No input makes it
// panic. No error holds a body or a secret: errors carry ids, serials, clocks
// and reasons.
//
// It guarantees that no answer is believed whose signature is wrong, and no
// success that has none: such a call's outcome is not known. A refusal may come
// unsigned; CallError.Verified tells. What it means is decided by HTTP status
// and code only, in callerror.go and, for refunds, in verdict.go. An order or a
// refund is spoken about in the protocol that it was made with, in bytes that
// were made once.
//
// The official SDK (wechatpay-go) signs, transports and verifies calls of v3;
// its own loaders of notifications are not used, because they read the clock
// of the moment, know one key at a time, and put whole requests into errors.
// A differential test holds both against each other.
//
// It leaves to others: what a message means for an order (pay), retries,
// storage, and refetching keys.
package wechatpay
