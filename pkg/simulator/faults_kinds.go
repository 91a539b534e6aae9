package simulator

// FaultKind is one way in which the real platform misbehaves, on request.
type FaultKind string

// Faults of notifications. Those that spoil an attempt leave its notice to the
// retry schedule, as the real platform does.
const (
	// FaultNoticeDuplicate sends a notice again after it was acknowledged.
	FaultNoticeDuplicate FaultKind = "notice_duplicate"
	// FaultNoticeDelay lets the first attempt wait for delay_ms.
	FaultNoticeDelay FaultKind = "notice_delay"
	// FaultNoticeDrop loses an attempt on its way.
	FaultNoticeDrop FaultKind = "notice_drop"
	// FaultNoticeLost loses every attempt of a notice: it is given up at once, and the
	// merchant must find out by asking.
	FaultNoticeLost FaultKind = "notice_lost"
	// FaultNoticeReorder holds a notice back until a later one was sent.
	FaultNoticeReorder FaultKind = "notice_reorder"
	// FaultRefundNoticeFirst holds the pay notice until a refund notice was sent.
	FaultRefundNoticeFirst FaultKind = "refund_notice_first"
	// FaultNoticeNewID tells of the same payment again under another notification id.
	FaultNoticeNewID FaultKind = "notice_new_id"
	// FaultNoticeSigntest sends an attempt with a probe for a signature.
	FaultNoticeSigntest FaultKind = "notice_signtest"
	// FaultNoticeTampered changes an attempt's body after it was signed.
	FaultNoticeTampered FaultKind = "notice_tampered_body"
	// FaultNoticeWrongSerial names a key that nobody has.
	FaultNoticeWrongSerial FaultKind = "notice_wrong_serial"
	// FaultNoticeClockBehind and FaultNoticeClockAhead stamp an attempt six minutes off.
	FaultNoticeClockBehind FaultKind = "notice_clock_behind"
	FaultNoticeClockAhead  FaultKind = "notice_clock_ahead"
)

// Faults of orders and payments.
const (
	// FaultSuccessAfterClose pays an order that was just closed, and lets a closed or
	// expired one be paid.
	FaultSuccessAfterClose FaultKind = "success_after_close"
	// FaultSecondPayment takes the money of one order twice.
	FaultSecondPayment FaultKind = "second_payment"
	// FaultAmountDiffers makes the payment's total another than the order's.
	FaultAmountDiffers FaultKind = "amount_differs"
	// FaultQueryNotpay answers NOTPAY to a query although the order is paid.
	FaultQueryNotpay FaultKind = "query_notpay"
)

// Faults of API calls.
const (
	// FaultErrorBefore answers 5xx and does nothing.
	FaultErrorBefore FaultKind = "api_error_before_effect"
	// FaultErrorAfter does what was asked and answers 5xx.
	FaultErrorAfter FaultKind = "api_error_after_effect"
	// FaultTimeoutBefore does nothing and never answers.
	FaultTimeoutBefore FaultKind = "api_timeout_before_effect"
	// FaultTimeoutAfter does what was asked and never answers.
	FaultTimeoutAfter FaultKind = "api_timeout_after_effect"
	// FaultFrequencyLimited answers 429 and does nothing.
	FaultFrequencyLimited FaultKind = "frequency_limited"
	// FaultFrequencyLimitedAfter does what was asked and answers 429, as the real
	// platform may for a refund (WeChat Pay doc 4014959631).
	FaultFrequencyLimitedAfter FaultKind = "frequency_limited_after_effect"
	// FaultAnswerSigntest signs an answer with a probe.
	FaultAnswerSigntest FaultKind = "answer_signtest"
	// FaultAnswerTampered changes an answer's body after it was signed.
	FaultAnswerTampered FaultKind = "answer_tampered_body"
	// FaultAnswerWrongSerial signs an answer under the serial of no known key.
	FaultAnswerWrongSerial FaultKind = "answer_wrong_serial"
	// FaultRefusalUnsigned leaves away the signature of a refusal, as the real platform
	// may: it promises one for a 2xx only.
	FaultRefusalUnsigned FaultKind = "refusal_unsigned"
	// FaultPlatformDown cuts every API connection and loses every notification.
	FaultPlatformDown FaultKind = "platform_down"
)

// Faults of refunds, asked by the refund handlers.
const (
	// FaultRefundStuck leaves a refund in PROCESSING for delay_ms, then ABNORMAL;
	// without delay_ms it stays until /control decides.
	FaultRefundStuck FaultKind = "refund_stuck"
	// FaultRefundSlow leaves a refund in PROCESSING for delay_ms before it goes on.
	FaultRefundSlow FaultKind = "refund_slow"
	// FaultRefundAbnormal ends a refund in ABNORMAL.
	FaultRefundAbnormal FaultKind = "refund_abnormal"
	// FaultRefundClosed ends a refund in CLOSED.
	FaultRefundClosed FaultKind = "refund_closed"
	// FaultNotEnough refuses refunds with 403 NOT_ENOUGH until the merchant's account
	// is topped up, which clears the fault.
	FaultNotEnough FaultKind = "not_enough"
)

// Faults of bills, asked when a bill is made or asked for.
const (
	FaultBillRowMissing FaultKind = "bill_row_missing"
	FaultBillRowExtra   FaultKind = "bill_row_extra"
	FaultBillRowAltered FaultKind = "bill_row_altered"
	// FaultBillNotReady answers 400 STATEMENT_CREATING.
	FaultBillNotReady FaultKind = "bill_not_ready"
)

// FaultInfo describes one kind for people.
type FaultInfo struct {
	Kind  FaultKind `json:"kind"`
	Group string    `json:"group"`
	Means string    `json:"means"`
	// ByOrder: the fault can be had for a specific order.
	ByOrder bool `json:"by_order"`
	// DelayMs says what delay_ms means for the kind; empty: nothing.
	DelayMs string `json:"delay_ms,omitempty"`
}

// FaultKinds lists every kind there is, in the order in which a page shows them.
func FaultKinds() []FaultInfo {
	const notices, orders, api, refunds, bills = "notifications", "orders", "API calls", "refunds", "bills"
	return []FaultInfo{
		{FaultNoticeDuplicate, notices, "a notification is sent again after it was acknowledged", true, ""},
		{FaultNoticeDelay, notices, "a notification is sent late", true, "how late; 10 s unless given"},
		{FaultNoticeDrop, notices, "an attempt is lost on its way; the retry schedule goes on", true, ""},
		{FaultNoticeLost, notices, "a notification never arrives: all its attempts are lost", true, ""},
		{FaultNoticeReorder, notices, "a notification waits until a later one was sent", true, "the longest wait; 30 s unless given"},
		{FaultRefundNoticeFirst, notices, "the payment's notification waits until the refund's was sent", true, "the longest wait; endless unless given"},
		{FaultNoticeNewID, notices, "the same payment is told of again under another notification id", true, ""},
		{FaultNoticeSigntest, notices, "an attempt carries a WECHATPAY/SIGNTEST/ probe for a signature", true, ""},
		{FaultNoticeTampered, notices, "an attempt's body is changed after signing", true, ""},
		{FaultNoticeWrongSerial, notices, "an attempt names the serial of no known key", true, ""},
		{FaultNoticeClockBehind, notices, "an attempt is stamped six minutes in the past", true, ""},
		{FaultNoticeClockAhead, notices, "an attempt is stamped six minutes in the future", true, ""},
		{FaultSuccessAfterClose, orders, "an order is paid right after it was closed", true, "how long after the close"},
		{FaultSecondPayment, orders, "one order is paid twice, with two transaction ids", true, ""},
		{FaultAmountDiffers, orders, "the payment's total is one fen more than the order's", true, ""},
		{FaultQueryNotpay, orders, "a query answers NOTPAY although the order is paid", true, "for so long after the payment; always unless given"},
		{FaultErrorBefore, api, "500 SYSTEM_ERROR, and nothing was done", true, ""},
		{FaultErrorAfter, api, "500 SYSTEM_ERROR, though it was done", true, ""},
		{FaultTimeoutBefore, api, "no answer at all, and nothing was done", true, "when the connection is cut; 60 s unless given"},
		{FaultTimeoutAfter, api, "no answer at all, though it was done", true, "when the connection is cut; 60 s unless given"},
		{FaultFrequencyLimited, api, "429 FREQUENCY_LIMITED, and nothing was done", true, ""},
		{FaultFrequencyLimitedAfter, api, "429 FREQUENCY_LIMITED, though it was done", true, ""},
		{FaultAnswerSigntest, api, "an answer carries a WECHATPAY/SIGNTEST/ probe for a signature", true, ""},
		{FaultAnswerTampered, api, "an answer's body is changed after signing", true, ""},
		{FaultAnswerWrongSerial, api, "an answer names the serial of no known key", true, ""},
		{FaultRefusalUnsigned, api, "a refusal (4xx) carries no signature", true, ""},
		{FaultPlatformDown, api, "connections are cut, notifications are lost", false, ""},
		{FaultRefundStuck, refunds, "a refund stays in PROCESSING, then is ABNORMAL", true, "how long it stays; until told by /control unless given"},
		{FaultRefundSlow, refunds, "a refund stays in PROCESSING for a while", true, "how long; 10 s unless given"},
		{FaultRefundAbnormal, refunds, "a refund ends in ABNORMAL", true, ""},
		{FaultRefundClosed, refunds, "a refund ends in CLOSED", true, ""},
		{FaultNotEnough, refunds, "403 NOT_ENOUGH until the account is topped up", true, ""},
		{FaultBillRowMissing, bills, "a row is missing in the bill", true, ""},
		{FaultBillRowExtra, bills, "the bill has a row of a payment that never was", true, ""},
		{FaultBillRowAltered, bills, "a row of the bill has another amount", true, ""},
		{FaultBillNotReady, bills, "400 STATEMENT_CREATING", false, ""},
	}
}

func knownFault(kind FaultKind) bool {
	for _, info := range FaultKinds() {
		if info.Kind == kind {
			return true
		}
	}
	return false
}
