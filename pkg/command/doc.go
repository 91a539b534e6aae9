// Package command carries out what shops and operators ask for.
//
// Its job: an order.create becomes an order in the books, a prepay call to
// WeChat Pay, and a reply with what the buyer's client needs; an order.close
// becomes a verified CLOSED; a refund.create becomes a refund in the books with
// its money set aside; a refund.give_up ends one that WeChat Pay does not have, on an
// operator's word; an operator's decision about money that does not fit
// (anomaly.accept, anomaly.refund) becomes a paid order, a refund or the end of the
// anomaly; each command ends as one row with its outcome. It also
// answers reads of orders, histories, refunds and commands, and two acts that are
// no messages: "I have paid" (check), and where the money of an abnormal refund
// shall go. For buyers it answers what their pages may ask with a session: their
// order as it stands, the same after asking WeChat Pay, and what their client pays
// with, made anew where it has run out.
//
// Its neighbours: bus hands it commands and sends its replies, store keeps the
// order before WeChat Pay hears of it, wechatpay makes the calls, outbox relays
// the events.
//
// It guarantees that a number is one order with one set of prepay bytes, or one
// refund, however often and however concurrently it is asked for; that WeChat Pay
// is never called after the deadline, and queried and closed only within the
// merchant's budget; that a buyer sees and moves nothing of anybody else's, and no
// page's word about money counts; and that an answer which is missing, late or not
// verifiable is an unknown outcome, never a refusal.
//
// It leaves to others: what an answer or a wish means for an order (pay.Book),
// sending refunds, and orders whose outcome stays unknown (the reconciler's, by
// their next_check_at).
package command
