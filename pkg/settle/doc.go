// Package settle turns what arrived from WeChat Pay into commits.
//
// Its job: each envelope is verified again on the stored bytes, decrypted and
// read as an observation; observations and letters of up to 500 envelopes are
// one commit. A refund notice of v2, which nobody signs, is read as a hint: it
// makes its refund due to be asked about, and moves nothing. Its neighbours: bus
// hands it arrivals, wechatpay opens them, store commits them, outbox relays the
// events of the commit, replay asks for rehearsals.
//
// It guarantees that when Settle returns nil, each arrival has its effect or
// its letter on disk; that one bad envelope, whatever is wrong with it, costs
// its neighbours nothing; that a database that is away costs only time; and that
// a rehearsal is read and decided as settling is, asks nobody, and leaves nothing.
//
// It leaves to others: what an observation means for an order (pay.Book), the
// transaction (store), redelivery (bus), waiting letters (deadletter).
package settle
