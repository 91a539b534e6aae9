// Package reverify takes a second look at what the edge turned away.
//
// Its job: list and show samples, say of each whether it would pass with the keys
// of now, and, on an operator's word, hand those that do to the replay lane. Its
// neighbours: ingest takes the samples, bus keeps them and carries the replay,
// wechatpay judges them, settle verifies and books what is replayed as it does
// everything.
//
// It guarantees that nothing gets in that does not verify, decrypt and name its
// own merchant, whoever asks for it and why: an operator's word lets in what
// passes, and no more. A sample is judged as of the instant at which it was
// received, and what is published is byte for byte what was judged, under the
// delivery id that it had. Who did it, and why, is in the audit log before it is
// done.
//
// It leaves to others: what a message means for the books, and orders whose
// notification is gone for good (the reconciler asks WeChat Pay about those).
package reverify
