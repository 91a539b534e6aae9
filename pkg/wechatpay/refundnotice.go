package wechatpay

import (
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// RefundNotice is what a notification says about a refund.
type RefundNotice struct {
	OutTradeNo      pay.OutTradeNo
	TransactionID   pay.TransactionID
	OutRefundNo     pay.OutRefundNo
	RefundID        string // WeChat's number
	Status          string // SUCCESS, CLOSED, ABNORMAL, PROCESSING; of v2 SUCCESS, CHANGE, REFUNDCLOSE
	Total           pay.Fen
	Refund          pay.Fen
	PayerTotal      pay.Fen
	PayerRefund     pay.Fen
	SucceededAt     time.Time // zero unless it succeeded
	ReceivedAccount string    // where the money went, in WeChat's words
	Hint            bool      // v2: nobody signed it; ask WeChat Pay before believing it
}

func (r RefundNotice) check() *VerifyError {
	for _, f := range []struct{ name, value string }{
		{"out_trade_no", string(r.OutTradeNo)},
		{"transaction_id", string(r.TransactionID)},
		{"out_refund_no", string(r.OutRefundNo)},
		{"refund_id", r.RefundID},
		{"refund_status", r.Status},
	} {
		if rejected := checkNumber(f.name, f.value, true); rejected != nil {
			return rejected
		}
	}
	if r.Total < 0 || r.Refund < 0 || r.PayerTotal < 0 || r.PayerRefund < 0 {
		return reject(ReasonMalformed, "an amount is negative")
	}
	return checkText("user_received_account", r.ReceivedAccount)
}
