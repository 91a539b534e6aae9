package wechatpay

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/fenflow/fenflow/pkg/pay"
)

// maxReason is the length of reason and of v2's refund_desc, in characters
// (WeChat Pay doc 4012791862).
const maxReason = 80

// RefundRequest is what a refund is asked for with. It names its payment by
// TransactionID, or by OutTradeNo where that is empty.
type RefundRequest struct {
	Protocol      pay.Protocol
	AppID         pay.AppID
	MchID         pay.MchID
	TransactionID pay.TransactionID
	OutTradeNo    pay.OutTradeNo
	OutRefundNo   pay.OutRefundNo
	Amount        pay.Fen
	Total         pay.Fen // of the payment
	Currency      string
	Reason        string // may be empty
	Funds         string // pay.FundsDefault or pay.FundsAvailable
	NotifyURL     string // may be empty
}

// RefundQuery names a refund.
type RefundQuery struct {
	Protocol    pay.Protocol
	AppID       pay.AppID
	OutRefundNo pay.OutRefundNo
}

// RefundStatus is where WeChat Pay sees a refund, in the words of v3.
type RefundStatus string

// The states of a refund (WeChat Pay doc 4012791862). v2 says REFUNDCLOSE for
// closed and CHANGE for abnormal.
const (
	RefundProcessing RefundStatus = "PROCESSING"
	RefundSuccess    RefundStatus = "SUCCESS"
	RefundClosed     RefundStatus = "CLOSED"   // nothing was paid back, and nothing will be under this number
	RefundAbnormal   RefundStatus = "ABNORMAL" // the money could not be delivered; an operator decides where to
)

// RefundAnswer is a verified answer about a refund.
type RefundAnswer struct {
	Status          RefundStatus
	RefundID        string // WeChat's number
	OutRefundNo     pay.OutRefundNo
	TransactionID   pay.TransactionID
	OutTradeNo      pay.OutTradeNo
	Amount          pay.Fen   // amount.refund
	Total           pay.Fen   // amount.total
	SucceededAt     time.Time // zero unless it succeeded
	ReceivedAccount string    // where the money went, in WeChat's words
	Answer          Answer
}

// Observation is what the answer means for the refund's order.
func (a RefundAnswer) Observation(mchid pay.MchID, source pay.Source) pay.Observation {
	return pay.Observation{
		Kind: pay.ObservedRefund, Source: source, ObservedAt: a.Answer.ReceivedAt, KeyID: a.Answer.KeyID,
		MchID: mchid, OutTradeNo: a.OutTradeNo, TransactionID: a.TransactionID,
		OutRefundNo: a.OutRefundNo, RefundAmount: a.Amount, RefundState: a.Status.State(), RefundID: a.RefundID,
		SucceededAt: a.SucceededAt, ReceivedAccount: a.ReceivedAccount,
	}
}

// State is where the books see a refund that WeChat Pay sees so.
func (a RefundAnswer) State() pay.RefundState { return a.Status.State() }

// State is the status in our words.
func (s RefundStatus) State() pay.RefundState {
	switch s {
	case RefundSuccess:
		return pay.RefundSucceeded
	case RefundClosed:
		return pay.RefundClosed
	case RefundAbnormal:
		return pay.RefundAbnormal
	case RefundProcessing:
	}
	return pay.RefundProcessing
}

// RefundBody makes the bytes of a refund call. They are made once, stored, and
// sent unchanged each time: a repetition with the same number and parameters
// pays once, with others it is refused (WeChat Pay doc 4014959631).
func (c *Client) RefundBody(r RefundRequest) ([]byte, error) {
	if err := c.usable(r.MchID, r.Protocol); err != nil {
		return nil, fmt.Errorf("make refund body: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("make refund body: %w", err)
	}
	if r.Currency == "" {
		r.Currency = pay.CNY
	}
	if r.TransactionID != "" {
		r.OutTradeNo = "" // one of both
	}
	if r.Protocol == pay.ProtocolV2 {
		return c.refundBodyV2(r)
	}
	return refundBodyV3(r)
}

func (r RefundRequest) check() error {
	_, err := pay.ParseOutRefundNo(string(r.OutRefundNo))
	switch {
	case err != nil:
		return fmt.Errorf("refund number: %w", err)
	case r.TransactionID == "" && r.OutTradeNo == "":
		return errors.New("it names no payment: transaction_id and out_trade_no are both empty")
	case r.Amount <= 0 || r.Amount > r.Total:
		return fmt.Errorf("a refund of %d fen does not fit a payment of %d fen", int64(r.Amount), int64(r.Total))
	case utf8.RuneCountInString(r.Reason) > maxReason:
		return fmt.Errorf("reason has more than %d characters", maxReason)
	case r.Funds != pay.FundsDefault && r.Funds != pay.FundsAvailable && r.Funds != "":
		return fmt.Errorf("funds must be %s or %s", pay.FundsDefault, pay.FundsAvailable)
	}
	return nil
}

// SubmitRefund sends the stored bytes of a refund. Without an error the refund
// was accepted, not yet paid; RefundVerdictOf says what an error means.
func (c *Client) SubmitRefund(ctx context.Context, protocol pay.Protocol, body []byte) (RefundAnswer, error) {
	if err := c.usable(c.cred.Merchant.MchID, protocol); err != nil {
		return RefundAnswer{}, err
	}
	if protocol == pay.ProtocolV2 {
		return c.submitRefundV2(ctx, body)
	}
	return c.submitRefundV3(ctx, body)
}

// QueryRefund asks what became of a refund. What WeChat Pay does not know is an
// error that IsNotExist knows; money needs IsVerifiedNotExist.
func (c *Client) QueryRefund(ctx context.Context, q RefundQuery) (RefundAnswer, error) {
	if err := c.usable(c.cred.Merchant.MchID, q.Protocol); err != nil {
		return RefundAnswer{}, err
	}
	if q.Protocol == pay.ProtocolV2 {
		return c.queryRefundV2(ctx, q)
	}
	return c.queryRefundV3(ctx, q.OutRefundNo)
}

// check refuses an answer that could not be written down or acted upon: numbers
// without a shape, no money, a state that is not known. Whether the money is
// the right one is for the books to say.
func (a RefundAnswer) check() *VerifyError {
	for _, f := range []struct{ name, value string }{
		{"refund_id", a.RefundID},
		{"out_refund_no", string(a.OutRefundNo)},
		{"transaction_id", string(a.TransactionID)},
		{"out_trade_no", string(a.OutTradeNo)},
	} {
		if rejected := checkNumber(f.name, f.value, true); rejected != nil {
			return rejected
		}
	}
	switch a.Status {
	case RefundProcessing, RefundSuccess, RefundClosed, RefundAbnormal:
	default:
		return reject(ReasonMalformed, "the refund's status is not one that is known")
	}
	if a.Amount <= 0 || a.Total <= 0 {
		return reject(ReasonMalformed, "an amount is missing, 0 or negative")
	}
	return checkText("user_received_account", a.ReceivedAccount)
}

// refundAnswer believes an answer that could be read and is about this refund.
func refundAnswer(a RefundAnswer, rejected *VerifyError, no pay.OutRefundNo, answer Answer) (RefundAnswer, error) {
	switch {
	case rejected != nil:
		return RefundAnswer{Answer: answer}, answer.unknown(fmt.Errorf("read refund: %w", rejected))
	case a.OutRefundNo != no:
		return RefundAnswer{Answer: answer}, answer.unknown(errors.New("read refund: the answer is about another refund"))
	}
	a.Answer = answer
	return a, nil
}
