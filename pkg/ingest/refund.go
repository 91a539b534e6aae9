package ingest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// maxReason bounds what the buyer is shown (WeChat Pay doc 4012791862).
const maxReason = 80

// ownPrefix begins the numbers of the refunds that fenflow makes by itself.
const ownPrefix = "auto-"

// transactionIDShape is wider than what WeChat Pay gives out (28 digits), and
// narrow enough for every log and table.
var transactionIDShape = regexp.MustCompile(`^[0-9A-Za-z]{1,32}$`)

// newRefund is what a shop asked for, every field in order.
type newRefund struct {
	OutRefundNo   pay.OutRefundNo
	OutTradeNo    pay.OutTradeNo    // may be empty when the payment is named
	TransactionID pay.TransactionID // may be empty when the order is named
	Amount        pay.Fen
	Reason        string
}

// refundBody is the body of refund.create on the bus; doc.go documents it.
type refundBody struct {
	OutRefundNo   string `json:"out_refund_no"`
	OutTradeNo    string `json:"out_trade_no,omitempty"`
	TransactionID string `json:"transaction_id,omitempty"`
	AmountFen     int64  `json:"amount_fen"`
	Reason        string `json:"reason,omitempty"`
}

// parseRefund reads the body of POST /v1/refunds. Its error is a problem: the
// body cannot be read, or these fields are wrong.
func parseRefund(raw []byte) (newRefund, error) {
	fields, twice, err := parseObject(raw)
	if err != nil {
		return newRefund{}, problem.New(problem.Malformed, err.Error())
	}
	f := newFieldReader(fields, twice)
	r := newRefund{
		OutRefundNo:   pay.OutRefundNo(f.text("out_refund_no", true, maxText)),
		OutTradeNo:    pay.OutTradeNo(f.text("out_trade_no", false, maxText)),
		TransactionID: pay.TransactionID(f.text("transaction_id", false, maxText)),
		Amount:        pay.Fen(f.fen("amount_fen", maxAmountFen)),
		Reason:        f.text("reason", false, maxReason),
	}
	r.check(f)
	if problems := f.done(); len(problems) > 0 {
		return newRefund{}, problem.InvalidFields(problems...)
	}
	return r, nil
}

// check applies the rules of each field that could be read.
func (r newRefund) check(f *fieldReader) {
	if r.OutRefundNo != "" {
		if _, err := pay.ParseOutRefundNo(string(r.OutRefundNo)); err != nil {
			f.bad("out_refund_no", "is %q; it must be 1 to 64 of 0-9 A-Z a-z _ - | * @", string(r.OutRefundNo))
		}
		if strings.HasPrefix(string(r.OutRefundNo), ownPrefix) {
			f.bad("out_refund_no", "is %q; numbers that begin with %s are fenflow's own", string(r.OutRefundNo), ownPrefix)
		}
	}
	if r.OutTradeNo != "" {
		if _, err := pay.ParseOutTradeNo(string(r.OutTradeNo)); err != nil {
			f.bad("out_trade_no", "is %q; it must be 6 to 32 of 0-9 A-Z a-z _ - | *", string(r.OutTradeNo))
		}
	}
	if r.TransactionID != "" && !transactionIDShape.MatchString(string(r.TransactionID)) {
		f.bad("transaction_id", "is %q; it must be 1 to 32 letters and digits", string(r.TransactionID))
	}
	_, order := f.object["out_trade_no"]
	_, payment := f.object["transaction_id"]
	if !order && !payment {
		f.bad("out_trade_no", "is missing, and so is transaction_id; name the payment by one of them, or by both")
	}
}

// digest tells this refund from any other.
func (r newRefund) digest(id pay.MchID) string {
	return digestOf([]meaning{
		{"fenflow", "refund.create.v1"}, {"mchid", string(id)}, {"out_refund_no", string(r.OutRefundNo)}, {"out_trade_no", string(r.OutTradeNo)},
		{"transaction_id", string(r.TransactionID)}, {"amount_fen", strconv.FormatInt(int64(r.Amount), 10)}, {"reason", r.Reason},
	})
}

// body writes the refund for the worker.
func (r newRefund) body() ([]byte, error) {
	raw, err := json.Marshal(refundBody{
		OutRefundNo: string(r.OutRefundNo), OutTradeNo: string(r.OutTradeNo), TransactionID: string(r.TransactionID),
		AmountFen: int64(r.Amount), Reason: r.Reason,
	})
	if err != nil {
		return nil, fmt.Errorf("write command: %w", err)
	}
	return raw, nil
}
