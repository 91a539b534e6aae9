package wechatpay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

const refundsPath = "/v3/refund/domestic/refunds"

// refundBody is a refund call of v3 on the wire; what is empty is left out.
type refundBody struct {
	TransactionID pay.TransactionID `json:"transaction_id,omitempty"`
	OutTradeNo    pay.OutTradeNo    `json:"out_trade_no,omitempty"`
	OutRefundNo   pay.OutRefundNo   `json:"out_refund_no"`
	Reason        string            `json:"reason,omitempty"`
	NotifyURL     string            `json:"notify_url,omitempty"`
	FundsAccount  string            `json:"funds_account,omitempty"`
	Amount        refundBodyAmount  `json:"amount"`
}

type refundBodyAmount struct {
	Refund   pay.Fen `json:"refund"`
	Total    pay.Fen `json:"total"`
	Currency string  `json:"currency"`
}

func refundBodyV3(r RefundRequest) ([]byte, error) {
	body := refundBody{
		TransactionID: r.TransactionID, OutTradeNo: r.OutTradeNo, OutRefundNo: r.OutRefundNo, Reason: r.Reason, NotifyURL: r.NotifyURL,
		Amount: refundBodyAmount{Refund: r.Amount, Total: r.Total, Currency: r.Currency},
	}
	if r.Funds == pay.FundsAvailable {
		body.FundsAccount = "AVAILABLE"
	}
	text, err := toJSON(body)
	if err != nil {
		return nil, fmt.Errorf("make refund body: %w", err)
	}
	return text, nil
}

func (c *Client) submitRefundV3(ctx context.Context, body []byte) (RefundAnswer, error) {
	var sent refundBody
	if err := json.Unmarshal(body, &sent); err != nil || sent.OutRefundNo == "" {
		return RefundAnswer{}, misuse("the stored request is no refund of protocol v3")
	}
	answer, err := c.call(ctx, c.api, http.MethodPost, refundsPath, body)
	if err != nil {
		return RefundAnswer{Answer: answer}, err
	}
	a, err := readRefundV3(answer, sent.OutRefundNo)
	if err == nil && (sent.TransactionID != "" && a.TransactionID != sent.TransactionID || sent.OutTradeNo != "" && a.OutTradeNo != sent.OutTradeNo) {
		return RefundAnswer{Answer: answer}, answer.unknown(errors.New("read refund: the answer is about another payment"))
	}
	return a, err
}

func (c *Client) queryRefundV3(ctx context.Context, no pay.OutRefundNo) (RefundAnswer, error) {
	answer, err := c.call(ctx, c.api, http.MethodGet, refundsPath+"/"+url.PathEscape(string(no)), nil)
	if err != nil {
		return RefundAnswer{Answer: answer}, err
	}
	return readRefundV3(answer, no)
}

// refundAnswerV3 is a refund as the API answers it (WeChat Pay doc 4012791862).
type refundAnswerV3 struct {
	RefundID            string     `json:"refund_id"`
	OutRefundNo         string     `json:"out_refund_no"`
	TransactionID       string     `json:"transaction_id"`
	OutTradeNo          string     `json:"out_trade_no"`
	UserReceivedAccount string     `json:"user_received_account"`
	SuccessTime         *time.Time `json:"success_time"`
	Status              string     `json:"status"`
	Amount              struct {
		Total  int64 `json:"total"`
		Refund int64 `json:"refund"`
	} `json:"amount"`
}

func readRefundV3(answer Answer, no pay.OutRefundNo) (RefundAnswer, error) {
	a, rejected := parseRefund(answer.Body)
	return refundAnswer(a, rejected, no, answer)
}

func parseRefund(text []byte) (RefundAnswer, *VerifyError) {
	var w refundAnswerV3
	if err := json.Unmarshal(text, &w); err != nil {
		return RefundAnswer{}, reject(ReasonMalformed, "the refund is not JSON of the documented shape%s", where(err))
	}
	a := RefundAnswer{
		Status: RefundStatus(w.Status), RefundID: w.RefundID, OutRefundNo: pay.OutRefundNo(w.OutRefundNo),
		TransactionID: pay.TransactionID(w.TransactionID), OutTradeNo: pay.OutTradeNo(w.OutTradeNo),
		Amount: pay.Fen(w.Amount.Refund), Total: pay.Fen(w.Amount.Total), ReceivedAccount: w.UserReceivedAccount,
	}
	if w.SuccessTime != nil {
		a.SucceededAt = w.SuccessTime.UTC()
	}
	return a, a.check()
}
