// Package keycheck holds a merchant's keys against the messages that came.
//
// Its job: verify and decrypt the latest stored notifications once more, with the
// keys of now; say which key did how many, what expires when, and what would
// happen to the same messages with other keys, which is the rehearsal of a
// change. Its neighbours: merchant holds the keys, wechatpay verifies, store has
// the archive, bus the samples of what was turned away; the console asks through
// the worker, who has the keys.
//
// It guarantees that nothing is changed by looking; that no secret and none of a
// buyer's data is in what it reports: keys are named by id or by their place in
// the configuration; that a verdict is about bytes that were stored, and never
// about a column that was written when they came.
//
// It leaves to others: changing the configuration (people), fetching
// certificates (certificates), and letting samples in after all (reverify).
package keycheck
