package command

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	// maxRefundReason is in characters (WeChat Pay doc 4012791862).
	maxRefundReason = 80
	// ownPrefix begins the numbers of refunds that a policy makes.
	ownPrefix = "auto-"
)

// refundWish is what a shop or an operator wants given back.
type refundWish struct {
	OutTradeNo    pay.OutTradeNo    // may be empty
	TransactionID pay.TransactionID // may be empty
	Amount        pay.Fen
	Reason        string
	Operator      *operator // nil: a shop
}

// refundRequest is the body of refund.create on the wire; package request writes it.
type refundRequest struct {
	OutRefundNo   string `json:"out_refund_no"`
	OutTradeNo    string `json:"out_trade_no"`
	TransactionID string `json:"transaction_id"`
	AmountFen     int64  `json:"amount_fen"`
	Reason        string `json:"reason"`

	Operator *operator `json:"operator"`
}

// parseRefund reads the wish out of a command. The edge has checked it for
// theirs; this is for our sake.
func parseRefund(cmd pay.Command) (refundWish, *problem.Error) {
	var r refundRequest
	if bad := decode(cmd, &r); bad != nil {
		return refundWish{}, bad
	}
	if fields := r.check(cmd); len(fields) > 0 {
		return refundWish{}, problem.InvalidFields(fields...)
	}
	return refundWish{
		OutTradeNo: pay.OutTradeNo(r.OutTradeNo), TransactionID: pay.TransactionID(r.TransactionID),
		Amount: pay.Fen(r.AmountFen), Reason: r.Reason, Operator: r.Operator,
	}, nil
}

func (r refundRequest) check(cmd pay.Command) []problem.Field {
	var fields []problem.Field
	bad := func(field, format string, args ...any) {
		fields = append(fields, problem.Field{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	_, err := pay.ParseOutRefundNo(r.OutRefundNo)
	switch {
	case err != nil:
		bad("out_refund_no", "%s", err)
	case r.OutRefundNo != string(cmd.OutRefundNo):
		bad("out_refund_no", "is not the command's")
	case strings.HasPrefix(r.OutRefundNo, ownPrefix):
		bad("out_refund_no", "begins with %q: such numbers are those of refunds that fenflow makes itself", ownPrefix)
	}
	if r.AmountFen <= 0 {
		bad("amount_fen", "must be an integer greater than 0, got %d", r.AmountFen)
	}
	if utf8.RuneCountInString(r.Reason) > maxRefundReason || !storable(r.Reason) {
		bad("reason", "must be at most %d characters of UTF-8 without NUL", maxRefundReason)
	}
	r.checkPayment(cmd, bad)
	r.Operator.check(bad)
	return fields
}

func (r refundRequest) checkPayment(cmd pay.Command, bad func(field, format string, args ...any)) {
	const maxTransactionID = 32 // WeChat Pay doc 4012791862
	if r.OutTradeNo == "" && r.TransactionID == "" {
		bad("transaction_id", "is missing, and so is out_trade_no: one of them says what is to be given back")
	}
	if r.OutTradeNo != string(cmd.OutTradeNo) {
		bad("out_trade_no", "is not the command's")
	}
	if r.OutTradeNo != "" {
		if _, err := pay.ParseOutTradeNo(r.OutTradeNo); err != nil {
			bad("out_trade_no", "%s", err)
		}
	}
	if len(r.TransactionID) > maxTransactionID || !storable(r.TransactionID) {
		bad("transaction_id", "must be at most %d letters and digits", maxTransactionID)
	}
}
