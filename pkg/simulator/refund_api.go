package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// refundRequest is the body of POST /v3/refund/domestic/refunds, once checked.
type refundRequest struct {
	TransactionID string `json:"transaction_id"`
	OutTradeNo    string `json:"out_trade_no"`
	OutRefundNo   string `json:"out_refund_no"`
	Reason        string `json:"reason"`
	NotifyURL     string `json:"notify_url"`
	FundsAccount  string `json:"funds_account"`
	Amount        struct {
		Refund int64         `json:"refund"`
		Total  int64         `json:"total"`
		From   []RefundFunds `json:"from"`
	} `json:"amount"`
}

// createRefund accepts a refund. The answer says that it was accepted, not that it
// is done.
func (s *Simulator) createRefund() endpoint {
	rules := refundRules(s.notifyURLIssue)
	return func(c *call) (reply, error) {
		fields, refused := parseStrict(c.body, rules)
		if refused != nil {
			return reply{}, refused
		}
		var request refundRequest
		if err := json.Unmarshal(c.body, &request); err != nil {
			return reply{}, fmt.Errorf("decode checked body: %w", err)
		}
		if refused := request.check(); refused != nil {
			return reply{}, refused
		}
		digest, err := digestOf("refund", fields)
		if err != nil {
			return reply{}, err
		}
		if refused := s.tooSoon(request); refused != nil {
			return reply{}, refused
		}
		r, err := s.refund(request.ask(digest))
		return s.refundReply(r, err)
	}
}

func (r refundRequest) ask(digest string) refundAsk {
	return refundAsk{
		TransactionID: r.TransactionID, OutTradeNo: r.OutTradeNo, OutRefundNo: r.OutRefundNo,
		AmountFen: r.Amount.Refund, TotalFen: r.Amount.Total, Reason: r.Reason, NotifyURL: r.NotifyURL,
		FundsAccount: r.FundsAccount, From: r.Amount.From, Origin: OriginAPI, Notify: ProtocolV3, Parameters: digest,
	}
}

// check holds the fields against each other (WeChat Pay doc 4012791862).
func (r refundRequest) check() *refusal {
	switch {
	case r.TransactionID == "" && r.OutTradeNo == "":
		return paramError("#/properties/transaction_id", "or out_trade_no is required")
	case r.TransactionID != "" && r.OutTradeNo != "":
		return paramError("#/properties/out_trade_no", "must not be given along with transaction_id")
	}
	if r.Amount.From == nil {
		return nil
	}
	sum, seen := int64(0), map[string]bool{}
	for _, part := range r.Amount.From {
		if seen[part.Account] {
			return paramError("#/properties/amount/properties/from", "names an account twice")
		}
		sum, seen[part.Account] = sum+part.AmountFen, true
	}
	if sum != r.Amount.Refund {
		return invalidRequest(0, "the amounts in amount.from must add up to amount.refund")
	}
	return nil
}

func (s *Simulator) queryRefund(c *call) (reply, error) {
	if c.request.URL.RawQuery != "" {
		return reply{}, requestError("query", "this request has no query string")
	}
	number := pathParam(c.request, "out_refund_no")
	if len(number) > longestRefundNo || numberOf("_-|*@")(number) != "" {
		return reply{}, requestError("path", "out_refund_no must have 1 to 64 digits, letters and _-|*@")
	}
	r, known := s.Refund(number)
	if !known {
		return s.refundReply(r, errUnknownRefund)
	}
	return s.refundReply(r, nil)
}

// refundReply turns what the books say into WeChat's answer and codes (docs
// 4014959631, 4012791862).
func (*Simulator) refundReply(r Refund, err error) (reply, error) {
	if err == nil {
		return reply{http.StatusOK, refundDocumentOf(r)}, nil
	}
	for _, row := range refundRefusals() {
		if errors.Is(err, row.reason) {
			refused := &refusal{status: row.status, code: row.code, message: row.reason.Error()}
			var problem *refundError
			if errors.As(err, &problem) {
				refused.log = problem.log
			}
			return reply{}, refused
		}
	}
	return reply{}, err
}

type refundRefusal struct {
	reason error
	status int
	code   string
}

func refundRefusals() []refundRefusal {
	return []refundRefusal{
		{errRefundNotPaid, http.StatusNotFound, "RESOURCE_NOT_EXISTS"},
		{errUnknownRefund, http.StatusNotFound, "RESOURCE_NOT_EXISTS"},
		{errRefundNoFunds, http.StatusForbidden, "NOT_ENOUGH"},
		{errRefundReused, http.StatusBadRequest, "INVALID_REQUEST"},
		{errRefundTotal, http.StatusBadRequest, "INVALID_REQUEST"},
		{errRefundTooMuch, http.StatusBadRequest, "INVALID_REQUEST"},
		{errRefundTooMany, http.StatusBadRequest, "INVALID_REQUEST"},
		{errRefundTooOld, http.StatusBadRequest, "INVALID_REQUEST"},
		{errRefundTurn, http.StatusBadRequest, "INVALID_REQUEST"},
		{errRefundMismatch, http.StatusBadRequest, "INVALID_REQUEST"},
	}
}

// refundDocument is a refund as the API answers it (WeChat Pay doc 4012791863).
type refundDocument struct {
	RefundID            string            `json:"refund_id"`
	OutRefundNo         string            `json:"out_refund_no"`
	TransactionID       string            `json:"transaction_id"`
	OutTradeNo          string            `json:"out_trade_no"`
	Channel             string            `json:"channel"`
	UserReceivedAccount string            `json:"user_received_account"`
	SuccessTime         string            `json:"success_time,omitempty"`
	CreateTime          string            `json:"create_time"`
	Status              RefundStatus      `json:"status"`
	FundsAccount        string            `json:"funds_account"`
	Amount              refundAmount      `json:"amount"`
	Promotions          []refundPromotion `json:"promotion_detail,omitempty"`
}

type refundAmount struct {
	Total            int64         `json:"total"`
	Refund           int64         `json:"refund"`
	From             []RefundFunds `json:"from,omitempty"`
	PayerTotal       int64         `json:"payer_total"`
	PayerRefund      int64         `json:"payer_refund"`
	SettlementRefund int64         `json:"settlement_refund"`
	SettlementTotal  int64         `json:"settlement_total"`
	DiscountRefund   int64         `json:"discount_refund"`
	Currency         string        `json:"currency"`
}

type refundPromotion struct {
	PromotionID  string `json:"promotion_id"`
	Scope        string `json:"scope"`
	Type         string `json:"type"`
	Amount       int64  `json:"amount"`
	RefundAmount int64  `json:"refund_amount"`
}

func refundDocumentOf(r Refund) refundDocument {
	coupon := r.TotalFen - r.PayerTotalFen
	d := refundDocument{
		RefundID: r.RefundID, OutRefundNo: r.OutRefundNo, TransactionID: r.TransactionID, OutTradeNo: r.OutTradeNo,
		Channel: r.Channel, UserReceivedAccount: r.receivedAccount(), SuccessTime: succeeded(r), CreateTime: wireTime(r.CreatedAt),
		Status: r.Status, FundsAccount: r.FundsAccount,
		Amount: refundAmount{Total: r.TotalFen, Refund: r.AmountFen, From: r.From, PayerTotal: r.PayerTotalFen, PayerRefund: r.PayerFen,
			SettlementRefund: r.AmountFen, SettlementTotal: r.TotalFen, DiscountRefund: r.AmountFen - r.PayerFen, Currency: "CNY"},
	}
	if d.FundsAccount == "" {
		d.FundsAccount = "UNSETTLED"
	}
	if coupon > 0 {
		d.Promotions = []refundPromotion{{PromotionID: "109519", Scope: "GLOBAL", Type: "CASH", Amount: coupon, RefundAmount: r.AmountFen - r.PayerFen}}
	}
	return d
}

// longestRefundNo is the documented length of out_refund_no.
const longestRefundNo = 64

// refundRules follow the field table of the refund page (WeChat Pay doc 4012791862).
func refundRules(notifyURLIssue func(string) string) []rule {
	return []rule{
		{name: "transaction_id", kind: text, min: 1, max: 32},
		{name: "out_trade_no", kind: text, min: 6, max: 32, issue: numberOf("_-|*")},
		{name: "out_refund_no", kind: text, must: true, min: 1, max: longestRefundNo, issue: numberOf("_-|*@")},
		{name: "reason", kind: text, min: 1, max: 80},
		{name: "notify_url", kind: text, min: 1, max: 256, issue: notifyURLIssue},
		{name: "funds_account", kind: text, min: 1, max: 32, issue: oneOf("AVAILABLE", "UNSETTLED")},
		{name: "amount", kind: object, must: true, inner: []rule{
			{name: "refund", kind: whole, must: true, min: 1},
			{name: "from", kind: list, min: 1, inner: []rule{
				{name: "account", kind: text, must: true, min: 1, max: 32, issue: oneOf("AVAILABLE", "UNAVAILABLE")},
				{name: "amount", kind: whole, must: true, min: 1},
			}},
			{name: "total", kind: whole, must: true, min: 1},
			{name: "currency", kind: text, must: true, min: 1, max: 16, issue: currencyIssue},
		}},
		{name: "goods_detail", kind: list, min: 1, inner: []rule{
			{name: "merchant_goods_id", kind: text, must: true, min: 1, max: 32},
			{name: "wechatpay_goods_id", kind: text, min: 1, max: 32},
			{name: "goods_name", kind: text, min: 1, max: 256},
			{name: "unit_price", kind: whole, must: true, min: 0},
			{name: "refund_amount", kind: whole, must: true, min: 0},
			{name: "refund_quantity", kind: whole, must: true, min: 1},
		}},
	}
}
