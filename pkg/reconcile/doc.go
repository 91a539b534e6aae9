// Package reconcile asks WeChat Pay about what stays unresolved and drives it on.
//
// Its job: query unresolved orders, close those that ran out or shall be closed,
// send refunds, follow them to their end, and ask about refunds that somebody
// only hinted at. It is the only code that sends a refund. Its neighbours:
// store says what is due and under which budget, wechatpay makes the calls,
// store.Settle books the answers; queue and a ticker say when to sweep.
//
// It guarantees that nothing moves but by an answer whose signature was right;
// that a call without a clear answer counts as unknown, is asked about, and a
// refund is then sent again with the same number and the same bytes; that a
// refund fails only by pay.MayFail; that an attempt is on disk before its call
// starts; and that a merchant's slow or refused calls hold up no other merchant.
//
// It leaves to others: what an answer means (pay.Book), claims, leases and
// budgets (store), publishing the events (the worker's outbox sweep), and the
// clock that starts sweeps.
package reconcile
