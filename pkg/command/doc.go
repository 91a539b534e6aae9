// Package command carries out what shops ask for.
//
// Its job: an order.create becomes an order in the books, a prepay call to
// WeChat Pay, and a reply with what the buyer's client needs; each command ends
// as one row with its outcome. It also answers reads of orders and commands.
// Its neighbours: bus hands it commands and sends its replies, store keeps the
// order before WeChat Pay hears of it, wechatpay makes the calls, outbox relays
// the events.
//
// It guarantees that a number is one order with one set of prepay bytes,
// however often and however concurrently it is asked for; that WeChat Pay is
// never called after the deadline; and that an answer which is missing, late
// or not verifiable is an unknown outcome, never a refusal.
//
// It leaves to others: what an answer means for an order (pay.Book), and
// orders whose outcome stays unknown (they have a next_check_at).
package command
