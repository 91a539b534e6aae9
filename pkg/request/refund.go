package request

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/fenflow/fenflow/pkg/pay"
)

// maxBuyerReason bounds what the buyer is shown (WeChat Pay doc 4012791862).
const maxBuyerReason = 80

// ownPrefix begins the numbers of the refunds that fenflow makes by itself.
const ownPrefix = "auto-"

// transactionIDShape is wider than what WeChat Pay gives out (28 digits), and
// narrow enough for every log and table.
var transactionIDShape = regexp.MustCompile(`^[0-9A-Za-z]{1,32}$`)

// Refund is a refund that somebody asks for, every field in order.
type Refund struct {
	OutRefundNo   pay.OutRefundNo
	OutTradeNo    pay.OutTradeNo    // may be empty when the payment is named
	TransactionID pay.TransactionID // may be empty when the order is named
	Amount        pay.Fen
	Reason        string // shown to the buyer
}

// refundBody is the body of refund.create on the bus; doc.go documents it.
type refundBody struct {
	OutRefundNo   string `json:"out_refund_no"`
	OutTradeNo    string `json:"out_trade_no,omitempty"`
	TransactionID string `json:"transaction_id,omitempty"`
	AmountFen     int64  `json:"amount_fen"`
	Reason        string `json:"reason,omitempty"`

	Operator *operatorBody `json:"operator,omitempty"`
}

// ParseRefund reads the body of POST /v1/refunds. Its error is a problem: the
// body cannot be read, or these fields are wrong.
func ParseRefund(raw []byte) (Refund, error) {
	f, err := Read(raw)
	if err != nil {
		return Refund{}, err
	}
	r := RefundOf(f, "reason")
	return r, f.Done()
}

// RefundOf takes a refund from the fields of a request, in which what the buyer
// is shown goes by the name buyerReason.
func RefundOf(f *Fields, buyerReason string) Refund {
	r := Refund{
		OutRefundNo:   pay.OutRefundNo(f.Text("out_refund_no", true, MaxShort)),
		OutTradeNo:    pay.OutTradeNo(f.Text("out_trade_no", false, MaxShort)),
		TransactionID: pay.TransactionID(f.Text("transaction_id", false, MaxShort)),
		Amount:        pay.Fen(f.Fen("amount_fen")),
		Reason:        f.Text(buyerReason, false, maxBuyerReason),
	}
	r.check(f)
	return r
}

// check applies the rules of each field that could be read.
func (r Refund) check(f *Fields) {
	if r.OutRefundNo != "" {
		if _, err := pay.ParseOutRefundNo(string(r.OutRefundNo)); err != nil {
			f.Bad("out_refund_no", "is %q; it must be 1 to 64 of 0-9 A-Z a-z _ - | * @", string(r.OutRefundNo))
		}
		if strings.HasPrefix(string(r.OutRefundNo), ownPrefix) {
			f.Bad("out_refund_no", "is %q; numbers that begin with %s are fenflow's own", string(r.OutRefundNo), ownPrefix)
		}
	}
	if r.OutTradeNo != "" {
		if _, err := pay.ParseOutTradeNo(string(r.OutTradeNo)); err != nil {
			f.Bad("out_trade_no", "is %q; it must be 6 to 32 of 0-9 A-Z a-z _ - | *", string(r.OutTradeNo))
		}
	}
	if r.TransactionID != "" && !transactionIDShape.MatchString(string(r.TransactionID)) {
		f.Bad("transaction_id", "is %q; it must be 1 to 32 letters and digits", string(r.TransactionID))
	}
	if !f.Given("out_trade_no") && !f.Given("transaction_id") {
		f.Bad("out_trade_no", "is missing, and so is transaction_id; name the payment by one of them, or by both")
	}
}

// Digest tells this refund from any other. Who asks for it is no part of it: the
// same number with the same content is the same refund, from whichever side it came.
func (r Refund) Digest(id pay.MchID) string {
	return Digest(
		Meaning{"fenflow", "refund.create.v1"}, Meaning{"mchid", string(id)}, Meaning{"out_refund_no", string(r.OutRefundNo)},
		Meaning{"out_trade_no", string(r.OutTradeNo)}, Meaning{"transaction_id", string(r.TransactionID)},
		Meaning{"amount_fen", strconv.FormatInt(int64(r.Amount), 10)}, Meaning{"reason", r.Reason},
	)
}

// Body writes the refund for the worker; by is nil for a shop.
func (r Refund) Body(by *pay.Act) ([]byte, error) {
	return body(refundBody{
		OutRefundNo: string(r.OutRefundNo), OutTradeNo: string(r.OutTradeNo), TransactionID: string(r.TransactionID),
		AmountFen: int64(r.Amount), Reason: r.Reason, Operator: operatorOf(by),
	})
}
