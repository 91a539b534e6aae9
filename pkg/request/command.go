package request

import (
	"encoding/json"
	"fmt"

	"github.com/fenflow/fenflow/pkg/pay"
)

// operatorBody names the operator who hands a command in. The worker writes it
// into the audit log, under the command's own id.
type operatorBody struct {
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
}

// operatorOf is nil for a shop.
func operatorOf(by *pay.Act) *operatorBody {
	if by == nil {
		return nil
	}
	return &operatorBody{Actor: by.Actor, Reason: by.Reason}
}

type closeBody struct {
	Operator *operatorBody `json:"operator,omitempty"`
}

// CloseBody is the body of order.close; by is nil for a shop.
func CloseBody(by *pay.Act) ([]byte, error) { return body(closeBody{operatorOf(by)}) }

// CloseDigest is the digest of order.close, which has nothing but its number.
func CloseDigest(id pay.MchID, no pay.OutTradeNo) string {
	return Digest(Meaning{"fenflow", "order.close.v1"}, Meaning{"mchid", string(id)}, Meaning{"out_trade_no", string(no)})
}

type giveUpBody struct {
	OutRefundNo string        `json:"out_refund_no"`
	Operator    *operatorBody `json:"operator"`
}

// GiveUpBody is the body of refund.give_up, which operators alone hand in.
func GiveUpBody(no pay.OutRefundNo, by pay.Act) ([]byte, error) {
	return body(giveUpBody{string(no), operatorOf(&by)})
}

// GiveUpDigest is the digest of refund.give_up, which has nothing but its number.
func GiveUpDigest(id pay.MchID, no pay.OutRefundNo) string {
	return Digest(Meaning{"fenflow", "refund.give_up.v1"}, Meaning{"mchid", string(id)}, Meaning{"out_refund_no", string(no)})
}

func body(of any) ([]byte, error) {
	raw, err := json.Marshal(of)
	if err != nil {
		return nil, fmt.Errorf("write command: %w", err)
	}
	return raw, nil
}
