package settle

import (
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// refundEntry says what a refund notice is to the books. One of v3 is WeChat
// Pay's signed word. One of v2 is signed by nobody, and ECB can be cut and
// pasted: it only says what to ask about, and the answer decides.
func refundEntry(d pay.Delivery, n wechatpay.Notification) pay.Entry {
	r := n.Refund
	if r.Hint {
		return pay.Entry{Delivery: &d, Hint: &pay.RefundHint{
			MchID: n.MchID, OutRefundNo: r.OutRefundNo, OutTradeNo: r.OutTradeNo, Protocol: n.Protocol,
		}}
	}
	state, known := refundState(r.Status)
	if !known {
		return letter(d, pay.LetterMalformed, "refund_status says none of SUCCESS, CLOSED, ABNORMAL and PROCESSING")
	}
	return pay.Entry{Delivery: &d, Observation: &pay.Observation{
		Kind: pay.ObservedRefund, Source: pay.SourceNotification, ObservedAt: n.ReceivedAt, DeliveryID: n.DeliveryID, KeyID: n.KeyID,
		MchID: n.MchID, OutTradeNo: r.OutTradeNo, TransactionID: r.TransactionID, OutRefundNo: r.OutRefundNo, RefundID: r.RefundID,
		RefundAmount: r.Refund, RefundState: state, SucceededAt: r.SucceededAt, ReceivedAccount: r.ReceivedAccount,
	}}
}

// refundState reads refund_status of a v3 notice (WeChat Pay doc 4012791865).
func refundState(status string) (pay.RefundState, bool) {
	switch wechatpay.RefundStatus(status) {
	case wechatpay.RefundProcessing:
		return pay.RefundProcessing, true
	case wechatpay.RefundSuccess:
		return pay.RefundSucceeded, true
	case wechatpay.RefundClosed:
		return pay.RefundClosed, true
	case wechatpay.RefundAbnormal:
		return pay.RefundAbnormal, true
	}
	return "", false
}
