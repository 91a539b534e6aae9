// Package recovery brings restored books to where they were.
//
// Its job: tell whether the books are older than what subscribers were told, and
// walk what the broker kept since then, in steps that can be stopped at any
// moment: the events (what we had told), then notifications and commands merged
// by the time they were stored, then whatever was told and is not in the books
// yet. Its neighbours: bus reads the streams, settle reads notifications, command
// recovers commands, store keeps how far it is, wechatpay is asked where nothing
// that was kept can tell.
//
// It guarantees that a step may be repeated, and be cut off anywhere; that each
// order goes through what was told of it in that order, so that late, doubled and
// refused money is late, doubled and refused again; that nothing is granted which
// nobody had been told of and WeChat Pay does not know; that a refund is asked
// about before it is sent; that what subscribers had been told is not told again.
//
// It leaves to others: who may move the books meanwhile (nobody: see the store's
// voucher), and whatever is unresolved afterwards (the reconciler's).
package recovery
