package wechatpay

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	refundPathV2      = "/secapi/pay/refund" // asks for the merchant's client certificate
	refundQueryPathV2 = "/pay/refundquery"
)

func (c *Client) refundBodyV2(r RefundRequest) ([]byte, error) {
	fields := fieldsV2{
		"transaction_id": string(r.TransactionID), "out_trade_no": string(r.OutTradeNo), "out_refund_no": string(r.OutRefundNo),
		"total_fee": strconv.FormatInt(int64(r.Total), 10), "refund_fee": strconv.FormatInt(int64(r.Amount), 10),
		"refund_fee_type": r.Currency, "refund_desc": r.Reason, "notify_url": r.NotifyURL,
	}
	if r.Funds == pay.FundsAvailable {
		fields["refund_account"] = "REFUND_SOURCE_RECHARGE_FUNDS"
	}
	body, err := c.message(r.AppID, fields)
	if err != nil {
		return nil, fmt.Errorf("make refund body: %w", err)
	}
	return body, nil
}

func (c *Client) submitRefundV2(ctx context.Context, body []byte) (RefundAnswer, error) {
	if c.secure == nil {
		return RefundAnswer{}, misuse("refunds of protocol v2 are asked for with the merchant's client certificate: set client_certificate_file and private_key_file of merchant %s", c.cred.Merchant.MchID)
	}
	sent, text, err := c.stored(body)
	if err != nil {
		return RefundAnswer{}, err
	}
	if sent["out_refund_no"] == "" {
		return RefundAnswer{}, misuse("the stored request is no refund of protocol v2")
	}
	fields, answer, err := c.callV2(ctx, c.secure, refundPathV2, sent, text)
	if err != nil {
		return RefundAnswer{Answer: answer}, err
	}
	named := "out_trade_no"
	if sent["transaction_id"] != "" {
		named = "transaction_id"
	}
	if err := fields.about(sent, "out_refund_no", named); err != nil {
		return RefundAnswer{Answer: answer}, answer.unknown(err)
	}
	a, rejected := fields.refundAccepted()
	return refundAnswer(a, rejected, pay.OutRefundNo(sent["out_refund_no"]), answer)
}

// refundAccepted reads the answer to a refund call, which has no status: the
// refund is under way.
func (f fieldsV2) refundAccepted() (RefundAnswer, *VerifyError) {
	a := RefundAnswer{
		Status: RefundProcessing, RefundID: f["refund_id"], OutRefundNo: pay.OutRefundNo(f["out_refund_no"]),
		TransactionID: pay.TransactionID(f["transaction_id"]), OutTradeNo: pay.OutTradeNo(f["out_trade_no"]),
	}
	var rejected *VerifyError
	if a.Amount, rejected = f.fen("refund_fee"); rejected != nil {
		return a, rejected
	}
	if a.Total, rejected = f.fen("total_fee"); rejected != nil {
		return a, rejected
	}
	return a, a.check()
}

func (c *Client) queryRefundV2(ctx context.Context, q RefundQuery) (RefundAnswer, error) {
	fields, answer, err := c.ask(ctx, refundQueryPathV2, q.AppID, fieldsV2{"out_refund_no": string(q.OutRefundNo)})
	if err != nil {
		return RefundAnswer{Answer: answer}, err
	}
	n, err := fields.placeOf(q.OutRefundNo)
	if err != nil {
		return RefundAnswer{Answer: answer}, answer.unknown(err)
	}
	a, rejected := fields.refundAt(n)
	return refundAnswer(a, rejected, q.OutRefundNo, answer)
}

// placeOf finds which of the listed refunds is the one: an answer lists
// refund_count of them, with _0, _1 … behind the names.
func (f fieldsV2) placeOf(no pay.OutRefundNo) (string, error) {
	count, err := strconv.Atoi(f["refund_count"])
	if err != nil || count < 1 || count > pay.MaxRefundsOfPayment {
		return "", errors.New("read refund: refund_count is not a number from 1 to 50")
	}
	found := ""
	for i := range count {
		n := "_" + strconv.Itoa(i)
		if f["out_refund_no"+n] != string(no) {
			continue
		}
		if found != "" {
			return "", errors.New("read refund: the answer lists the refund twice")
		}
		found = n
	}
	if found == "" {
		return "", errors.New("read refund: the answer does not list the refund")
	}
	return found, nil
}

func (f fieldsV2) refundAt(n string) (RefundAnswer, *VerifyError) {
	a := RefundAnswer{
		Status: statusOfV2(f["refund_status"+n]), RefundID: f["refund_id"+n], OutRefundNo: pay.OutRefundNo(f["out_refund_no"+n]),
		TransactionID: pay.TransactionID(f["transaction_id"]), OutTradeNo: pay.OutTradeNo(f["out_trade_no"]),
		ReceivedAccount: f["refund_recv_accout"+n], // spelled so
	}
	var rejected *VerifyError
	if a.Amount, rejected = f.fen("refund_fee" + n); rejected != nil {
		return a, rejected
	}
	if a.Total, rejected = f.fen("total_fee"); rejected != nil {
		return a, rejected
	}
	if a.SucceededAt, rejected = f.time("refund_success_time"+n, layoutV2Human); rejected != nil {
		return a, rejected
	}
	return a, a.check()
}

// statusOfV2 says in v3's words what v2 says; what v2 does not say becomes nothing.
func statusOfV2(status string) RefundStatus {
	switch status {
	case "PROCESSING", "SUCCESS":
		return RefundStatus(status)
	case "REFUNDCLOSE":
		return RefundClosed
	case "CHANGE":
		return RefundAbnormal
	}
	return ""
}
