package simulator

import (
	"errors"
	"strconv"
	"time"
)

// refundPage is how many refunds one answer of refundquery lists: with more
// than ten, offset goes on.
const refundPage = 10

// refundRulesV2 follow the field table of refund (WeChat Pay v2, wiki chapter 9_4).
func (s *Simulator) refundRulesV2() []rule {
	return append(wantedOrderRules(), []rule{
		{name: "out_refund_no", must: true, min: 1, max: 64, issue: numberOf("_-|*@")},
		{name: "total_fee", must: true, min: 1, max: 18, issue: feeIssue},
		{name: "refund_fee", must: true, min: 1, max: 18, issue: feeIssue},
		{name: "refund_fee_type", max: 16, issue: currencyIssue},
		{name: "refund_desc", max: 80},
		{name: "refund_account", max: 32, issue: func(v string) string {
			return unless(v == refundAccountV2("AVAILABLE") || v == refundAccountV2(""), "must be REFUND_SOURCE_UNSETTLED_FUNDS or REFUND_SOURCE_RECHARGE_FUNDS")
		}},
		{name: "notify_url", max: 256, issue: s.notifyURLIssue},
	}...)
}

// refundV2 enters a refund in the same books as v3; its notices are of v2.
func (s *Simulator) refundV2(c *v2Call) (v2Fields, error) {
	order, err := s.namedOrder(c)
	if err != nil {
		return nil, err
	}
	f := c.fields
	again, known := s.books.knownRefund(f["out_refund_no"])
	if refused := s.spacedRefund(order, known); refused != nil {
		if refused.code == codeTooSoon {
			return nil, v2Failed("INVALID_REQ_TOO_MUCH", "无效请求过多", refused.log...)
		}
		return nil, refused
	}
	ask, err := refundAskV2(f)
	if err != nil {
		return nil, err
	}
	r, err := s.refund(ask)
	if errors.Is(err, errRefundReused) && (again.AmountFen != ask.AmountFen || again.TotalFen != ask.TotalFen) {
		return nil, v2Failed("REFUND_FEE_MISMATCH", "订单金额或退款金额与之前请求不一致，请核实后再试")
	}
	if err != nil {
		return nil, refundRefusedV2(err)
	}
	fields := v2Fields{
		"transaction_id": r.TransactionID, "out_trade_no": r.OutTradeNo, "refund_id": r.RefundID, "out_refund_no": r.OutRefundNo,
		"refund_fee": fen(r.AmountFen), "settlement_refund_fee": fen(r.AmountFen), "cash_refund_fee": fen(r.PayerFen),
		"coupon_refund_fee": fen(r.AmountFen - r.PayerFen), "coupon_refund_count": "0",
		"total_fee": fen(r.TotalFen), "settlement_total_fee": fen(r.TotalFen), "cash_fee": fen(r.PayerTotalFen), "fee_type": "CNY",
	}
	if r.PayerFen < r.AmountFen {
		fields["coupon_refund_count"] = "1"
	}
	return fields, nil
}

// spacedRefund holds a new refund against the limits.
func (s *Simulator) spacedRefund(o Order, again bool) *refusal {
	if again || o.Payment == nil {
		return nil
	}
	var last time.Time
	for _, r := range s.books.refundsOf(o.OutTradeNo) {
		last = r.CreatedAt
	}
	return s.limits.refund(o.Payment.PaidAt, last)
}

func refundAskV2(f v2Fields) (refundAsk, error) {
	amount, _ := strconv.ParseInt(f["refund_fee"], 10, 64) // checked by its rule
	total, _ := strconv.ParseInt(f["total_fee"], 10, 64)   // checked by its rule
	ask := refundAsk{TransactionID: f["transaction_id"], OutTradeNo: f["out_trade_no"], OutRefundNo: f["out_refund_no"],
		AmountFen: amount, TotalFen: total, Reason: f["refund_desc"], NotifyURL: f["notify_url"], FundsAccount: "UNSETTLED",
		Origin: OriginAPI, Notify: ProtocolV2}
	if f["refund_account"] == refundAccountV2("AVAILABLE") {
		ask.FundsAccount = "AVAILABLE"
	}
	var err error
	ask.Parameters, err = digestOf("v2 refund", f.parameters())
	return ask, err
}

// parameters are the elements that a repetition must not change.
func (f v2Fields) parameters() map[string]any {
	parameters := map[string]any{}
	for name, value := range f {
		if name != "sign" && name != "sign_type" && name != "nonce_str" && value != "" {
			parameters[name] = value
		}
	}
	return parameters
}

// refundRefusedV2 gives each reason the code that v2 has for it.
func refundRefusedV2(err error) error {
	for _, row := range []struct {
		reason        error
		code, message string
	}{
		{errRefundNotPaid, "ERROR", "订单未支付，不能退款"},
		{errRefundReused, "INVALID_REQUEST", "原单重试时参数与首次请求不一致"},
		{errRefundTotal, "INVALID_REQUEST", "订单金额与支付金额不一致，请核实后再试"},
		{errRefundTooMuch, "ERROR", "申请退款金额超过订单可退金额"},
		{errRefundTooMany, "ERROR", "部分退款次数超过限制"},
		{errRefundTooOld, "TRADE_OVERDUE", "订单已经超过退款期限"},
		{errRefundNoFunds, "NOTENOUGH", "基本账户余额不足，请充值后重新发起"},
	} {
		if errors.Is(err, row.reason) {
			return v2Failed(row.code, row.message, "reason", row.reason)
		}
	}
	return err
}

func refundQueryRulesV2() []rule {
	return append(wantedOrderRules(), rule{name: "out_refund_no", max: 64}, rule{name: "refund_id", max: 32},
		rule{name: "offset", max: 4, issue: func(v string) string {
			n, err := strconv.Atoi(v)
			return unless(err == nil && n >= 0, "must be a whole number from 0")
		}})
}

// refundQueryV2 lists one refund, or those of an order from an offset.
func (s *Simulator) refundQueryV2(c *v2Call) (v2Fields, error) {
	found, err := s.namedRefunds(c)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, v2Failed("REFUNDNOTEXIST", "退款订单查询失败")
	}
	offset, _ := strconv.Atoi(c.fields["offset"]) // checked by its rule; none is 0
	page := found[min(offset, len(found)):min(offset+refundPage, len(found))]
	one := found[0]
	fields := v2Fields{
		"transaction_id": one.TransactionID, "out_trade_no": one.OutTradeNo, "fee_type": "CNY",
		"total_fee": fen(one.TotalFen), "settlement_total_fee": fen(one.TotalFen), "cash_fee": fen(one.PayerTotalFen),
		"total_refund_count": strconv.Itoa(len(found)), "refund_count": strconv.Itoa(len(page)),
	}
	for i, r := range page {
		n := "_" + strconv.Itoa(i)
		fields["out_refund_no"+n], fields["refund_id"+n], fields["refund_channel"+n] = r.OutRefundNo, r.RefundID, r.Channel
		fields["refund_fee"+n], fields["settlement_refund_fee"+n] = fen(r.AmountFen), fen(r.AmountFen)
		fields["refund_status"+n], fields["refund_account"+n] = refundStatusV2(r.Status), refundAccountV2(r.FundsAccount)
		fields["refund_recv_accout"+n] = r.receivedAccount()
		if r.SucceededAt != nil {
			fields["refund_success_time"+n] = r.SucceededAt.In(beijing()).Format(time.DateTime)
		}
	}
	return fields, nil
}

// namedRefunds: refund_id wins over out_refund_no, both over the order's numbers.
func (s *Simulator) namedRefunds(c *v2Call) ([]Refund, error) {
	id, number := c.fields["refund_id"], c.fields["out_refund_no"]
	if id == "" && number == "" {
		order, err := s.namedOrder(c)
		return s.books.refundsOf(order.OutTradeNo), err
	}
	refund, known := s.books.knownRefund(number)
	if id != "" {
		refund, known = s.books.refundWithID(id)
	}
	if !known {
		return nil, nil
	}
	return []Refund{refund}, nil
}

func (b *books) refundWithID(id string) (Refund, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return copyOfRefund(b.refunds.byID[id])
}
