package simulator

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"
)

// v2Time is how v2 writes an instant, in Beijing time.
const v2Time = "20060102150405"

// unifiedOrderRules follow the field table of unifiedorder (WeChat Pay v2).
func (s *Simulator) unifiedOrderRules() []rule {
	return []rule{
		{name: "device_info", max: 32},
		{name: "body", must: true, min: 1, max: 128},
		{name: "detail", max: 6000},
		{name: "attach", max: 127},
		{name: "out_trade_no", must: true, min: 1, max: 32, issue: numberOf("_-|*")},
		{name: "fee_type", max: 16, issue: currencyIssue},
		{name: "total_fee", must: true, min: 1, max: 18, issue: feeIssue},
		{name: "spbill_create_ip", must: true, min: 1, max: 64, issue: ipIssue},
		{name: "time_start", min: 14, max: 14, issue: timeIssueV2},
		{name: "time_expire", min: 14, max: 14, issue: timeIssueV2},
		{name: "goods_tag", max: 32},
		{name: "notify_url", must: true, min: 1, max: 256, issue: s.notifyURLIssue},
		{name: "trade_type", must: true, min: 1, max: 16, issue: tradeTypeIssue},
		{name: "product_id", max: 32},
		{name: "limit_pay", max: 32, issue: func(v string) string {
			return unless(v == "no_credit", "must be no_credit")
		}},
		{name: "openid", max: 128},
		{name: "receipt", max: 8},
		{name: "scene_info", max: 256},
	}
}

// unifiedOrder places an order, or finds that it was placed before with the very
// same elements, and hands out a fresh credential.
func (s *Simulator) unifiedOrder(c *v2Call) (v2Fields, error) {
	if refused := checkTrade(c.fields); refused != nil {
		return nil, refused
	}
	if refused := s.checkOpenid(c.fields["openid"], c.fields["appid"]); refused != nil {
		return nil, v2Failed("PARAM_ERROR", "appid和openid不匹配", refused.log...)
	}
	order, err := s.orderV2(c)
	if err != nil {
		return nil, err
	}
	answer, err := s.credentialV2(c, &order)
	if err != nil {
		return nil, err
	}
	return answer, s.books.place(order, s.now())
}

// checkTrade wants what each trade type wants beyond the rest.
func checkTrade(f v2Fields) *v2Error {
	switch {
	case f["trade_type"] == tradeJSAPI && f["openid"] == "":
		return v2Lacks("openid")
	case f["trade_type"] == tradeNative && f["product_id"] == "":
		return v2Lacks("product_id")
	case f["trade_type"] != tradeH5:
		return nil
	case f["scene_info"] == "":
		return v2Lacks("scene_info")
	}
	var scene struct {
		H5Info struct {
			Type string `json:"type"`
		} `json:"h5_info"`
	}
	if json.Unmarshal([]byte(f["scene_info"]), &scene) != nil || scene.H5Info.Type == "" {
		return v2Broken("PARAM_ERROR", "参数错误:scene_info", "issue", `scene_info must be JSON with h5_info.type, such as {"h5_info":{"type":"Wap","wap_url":"…","wap_name":"…"}}`)
	}
	return nil
}

func (s *Simulator) orderV2(c *v2Call) (Order, error) {
	f, now := c.fields, s.now()
	total, _ := strconv.ParseInt(f["total_fee"], 10, 64) // checked by its rule
	expires := now.Add(defaultExpiry)
	if text := f["time_expire"]; text != "" {
		asked, _ := time.ParseInLocation(v2Time, text, beijing()) // checked by its rule
		_, known := s.books.order(f["out_trade_no"])
		if !known && asked.Sub(now) < shortestExpiry {
			return Order{}, v2Failed("INVALID_REQUEST", "time_expire时间过短", "time_expire", text,
				"issue", "time_expire must be more than one minute ahead, in Beijing time")
		}
		expires = expiry(asked, now)
	}
	digest, err := digestOf("v2 "+f["trade_type"], f.parameters())
	return Order{
		Mchid: f["mch_id"], Appid: f["appid"], OutTradeNo: f["out_trade_no"], TradeType: f["trade_type"],
		Description: f["body"], Attach: f["attach"], Openid: f["openid"], NotifyURL: f["notify_url"], AmountFen: total,
		Protocol: ProtocolV2, SignType: c.signType(), DeviceInfo: f["device_info"],
		State: StateNotPaid, CreatedAt: now.UTC(), ExpiresAt: expires.UTC(), Parameters: digest,
	}, err
}

func (s *Simulator) credentialV2(c *v2Call, o *Order) (v2Fields, error) {
	id, err := s.random.prepayID(s.now())
	if err != nil {
		return nil, err
	}
	o.Credential, o.CredentialAt = id, s.now().UTC()
	answer := v2Fields{"trade_type": o.TradeType, "prepay_id": id}
	switch o.TradeType {
	case tradeNative:
		o.Credential, err = s.random.codeURL()
		answer["code_url"] = o.Credential
	case tradeH5:
		o.Credential, err = s.h5URL(c.request)
		answer["mweb_url"] = o.Credential
	}
	return answer, err
}

// wantedOrder names an order by the number of either side; WeChat's own wins.
func wantedOrderRules() []rule {
	return []rule{{name: "transaction_id", max: 32}, {name: "out_trade_no", max: 32}}
}

func (s *Simulator) orderQueryV2(c *v2Call) (v2Fields, error) {
	order, err := s.namedOrder(c)
	if err != nil {
		return nil, err
	}
	if order = s.asSeen(order); order.Payment == nil && c.fields["transaction_id"] != "" {
		return nil, v2Failed("ORDERNOTEXIST", "订单不存在")
	}
	return orderFieldsV2(order), nil
}

// namedOrder finds the order that a request names.
func (s *Simulator) namedOrder(c *v2Call) (Order, error) {
	id, number := c.fields["transaction_id"], c.fields["out_trade_no"]
	var order Order
	var known bool
	switch {
	case id != "":
		order, known = s.books.transaction(id)
	case number != "":
		order, known = s.books.order(number)
	default:
		return Order{}, v2Lacks("out_trade_no")
	}
	if !known {
		return Order{}, v2Failed("ORDERNOTEXIST", "订单不存在")
	}
	return order, nil
}

// orderFieldsV2 are an order's elements as orderquery answers them (wiki, chapter 9_2).
func orderFieldsV2(o Order) v2Fields {
	t := queriedTransaction(o)
	fields := v2Fields{"out_trade_no": o.OutTradeNo, "trade_state": t.TradeState, "trade_state_desc": t.TradeStateDesc,
		"total_fee": fen(t.Amount.Total), "fee_type": "CNY"}
	optional := v2Fields{"attach": o.Attach, "device_info": o.DeviceInfo}
	if p := o.Payment; p != nil && t.TransactionID != "" {
		optional["openid"], optional["is_subscribe"], optional["trade_type"] = p.Openid, "N", o.TradeType
		optional["bank_type"], optional["cash_fee"], optional["cash_fee_type"] = bankType, fen(p.PayerFen), "CNY"
		optional["transaction_id"], optional["time_end"] = p.TransactionID, p.PaidAt.In(beijing()).Format(v2Time)
		if p.CouponFen > 0 {
			optional["settlement_total_fee"], optional["coupon_fee"], optional["coupon_count"] = fen(p.AmountFen), fen(p.CouponFen), "1"
			optional["coupon_id_0"], optional["coupon_fee_0"], optional["coupon_type_0"] = "109519", fen(p.CouponFen), "CASH"
		}
	}
	for name, value := range optional {
		if value != "" {
			fields[name] = value
		}
	}
	return fields
}

func closeOrderRules() []rule {
	return []rule{{name: "out_trade_no", must: true, min: 1, max: 32}}
}

// closeOrderV2 closes an order; an unknown number closes too, as at WeChat Pay. The
// five minutes that the documentation asks for between making and closing an order
// have no error code there and are only remarked upon.
func (s *Simulator) closeOrderV2(c *v2Call) (v2Fields, error) {
	number, now := c.fields["out_trade_no"], s.now()
	order, known := s.books.order(number)
	if known && order.State == StateClosed {
		return nil, v2Failed("ORDERCLOSED", "订单已关闭，无法重复关闭")
	}
	if known && now.Sub(order.CreatedAt) < earliestClose {
		s.log.Info("an order is closed earlier than five minutes after it was made", "out_trade_no", number)
	}
	return v2Fields{"result_msg": "OK"}, s.shut(number)
}

// earliestClose is asked for by the documentation of closeorder (wiki, chapter 9_3).
const earliestClose = 5 * time.Minute

func unless(right bool, issue string) string {
	if right {
		return ""
	}
	return issue
}

func feeIssue(v string) string {
	n, err := strconv.ParseInt(v, 10, 64)
	return unless(err == nil && n > 0 && v == fen(n), "must be a positive whole number of fen")
}

func ipIssue(v string) string {
	_, err := netip.ParseAddr(v)
	return unless(err == nil, "must be an IP address")
}

func timeIssueV2(v string) string {
	_, err := time.ParseInLocation(v2Time, v, beijing())
	return unless(err == nil, "must read yyyyMMddHHmmss, in Beijing time")
}

func tradeTypeIssue(v string) string {
	return unless(v == tradeJSAPI || v == tradeNative || v == tradeApp || v == tradeH5, "must be JSAPI, NATIVE, APP or MWEB")
}
