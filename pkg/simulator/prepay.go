package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bounds of time_expire: default seven days, at least one minute from now, at most
// ninety days (WeChat Pay doc 4012525167).
const (
	defaultExpiry  = 7 * 24 * time.Hour
	shortestExpiry = time.Minute
	longestExpiry  = 90 * 24 * time.Hour
)

// Trade types as WeChat spells them.
const (
	tradeJSAPI  = "JSAPI"
	tradeNative = "NATIVE"
	tradeApp    = "APP"
	tradeH5     = "MWEB"
)

// prepayRequest is what the ledger needs of a prepay body; the rest is only checked.
type prepayRequest struct {
	Appid       string    `json:"appid"`
	Mchid       string    `json:"mchid"`
	Description string    `json:"description"`
	OutTradeNo  string    `json:"out_trade_no"`
	TimeExpire  time.Time `json:"time_expire"`
	Attach      string    `json:"attach"`
	NotifyURL   string    `json:"notify_url"`
	Amount      struct {
		Total int64 `json:"total"`
	} `json:"amount"`
	Payer struct {
		Openid string `json:"openid"`
	} `json:"payer"`
	Scene struct {
		DeviceID string `json:"device_id"`
	} `json:"scene_info"`
}

// prepay places an order, or finds that it was placed before with the very same
// parameters, and hands out a fresh credential.
func (s *Simulator) prepay(tradeType string) endpoint {
	rules := s.prepayRules(tradeType)
	return func(c *call) (reply, error) {
		fields, refused := parseStrict(c.body, rules)
		if refused != nil {
			return reply{}, refused
		}
		var request prepayRequest
		if err := json.Unmarshal(c.body, &request); err != nil {
			return reply{}, fmt.Errorf("decode checked body: %w", err)
		}
		if refused := s.checkParties(request.Mchid, request.Appid); refused != nil {
			return reply{}, refused
		}
		if refused := s.checkOpenid(request.Payer.Openid, request.Appid); refused != nil {
			return reply{}, refused
		}
		digest, err := digestOf(tradeType, fields)
		if err != nil {
			return reply{}, err
		}
		answer, err := s.credential(tradeType, c.request)
		if err != nil {
			return reply{}, err
		}
		order := newOrder(tradeType, request, digest, s.now())
		order.Credential, order.CredentialAt = credentialIn(answer), s.now().UTC()
		return answer, s.books.place(order, s.now())
	}
}

func (s *Simulator) checkParties(mchid, appid string) *refusal {
	if mchid != s.merchant.Mchid {
		return invalidRequest(0, "mchid differs from the one in Authorization")
	}
	if !s.merchant.bound(appid) {
		return &refusal{status: http.StatusBadRequest, code: "APPID_MCHID_NOT_MATCH", message: "appid is not bound to mchid"}
	}
	return nil
}

func (s *Simulator) credential(tradeType string, r *http.Request) (reply, error) {
	if tradeType == tradeH5 {
		link, err := s.h5URL(r)
		return reply{http.StatusOK, map[string]string{"h5_url": link}}, err
	}
	if tradeType == tradeNative {
		code, err := s.random.codeURL()
		return reply{http.StatusOK, map[string]string{"code_url": code}}, err
	}
	id, err := s.random.prepayID(s.now())
	return reply{http.StatusOK, map[string]string{"prepay_id": id}}, err
}

// digestOf is the same for the same parameters, however they are spelled.
func digestOf(tradeType string, fields map[string]any) (string, error) {
	canonical, err := json.Marshal(fields)
	if err != nil {
		return "", fmt.Errorf("encode parameters: %w", err)
	}
	sum := sha256.Sum256(append([]byte(tradeType+"\n"), canonical...))
	return hex.EncodeToString(sum[:]), nil
}

func newOrder(tradeType string, r prepayRequest, digest string, now time.Time) Order {
	return Order{
		Mchid: r.Mchid, Appid: r.Appid, OutTradeNo: r.OutTradeNo, TradeType: tradeType, Description: r.Description,
		Attach: r.Attach, Openid: r.Payer.Openid, NotifyURL: r.NotifyURL, AmountFen: r.Amount.Total,
		DeviceInfo: r.Scene.DeviceID, State: StateNotPaid, CreatedAt: now.UTC(), ExpiresAt: expiry(r.TimeExpire, now).UTC(), Parameters: digest,
	}
}

// expiry moves what is too near or too far to the nearest allowed instant, as the
// real platform does without a word.
func expiry(asked, now time.Time) time.Time {
	if asked.IsZero() {
		return now.Add(defaultExpiry)
	}
	if earliest := now.Add(shortestExpiry); asked.Before(earliest) {
		return earliest
	}
	if latest := now.Add(longestExpiry); asked.After(latest) {
		return latest
	}
	return asked
}

// prepayRules follow the field table of the JSAPI and Native prepay pages (WeChat
// Pay docs 4012791834 and 4012525167); APP and H5 differ from Native in scene_info only.
func (s *Simulator) prepayRules(tradeType string) []rule {
	rules := []rule{
		{name: "appid", kind: text, must: true, min: 1, max: 32},
		{name: "mchid", kind: text, must: true, min: 1, max: 32},
		{name: "description", kind: text, must: true, min: 1, max: 127},
		{name: "out_trade_no", kind: text, must: true, min: 6, max: 32, issue: numberOf("_-|*")},
		{name: "time_expire", kind: text, min: 1, max: 64, issue: timeIssue},
		{name: "attach", kind: text, max: 128},
		{name: "notify_url", kind: text, must: true, min: 1, max: 255, issue: s.notifyURLIssue},
		{name: "goods_tag", kind: text, max: 32},
		{name: "limit_pay", kind: list},
		{name: "support_fapiao", kind: flag},
		{name: "amount", kind: object, must: true, inner: []rule{
			{name: "total", kind: whole, must: true, min: 1},
			{name: "currency", kind: text, max: 16, issue: currencyIssue},
		}},
		{name: "detail", kind: object, inner: detailRules()},
		{name: "scene_info", kind: object, must: tradeType == tradeH5, inner: sceneRules(tradeType)},
		{name: "settle_info", kind: object, inner: []rule{{name: "profit_sharing", kind: flag}}},
	}
	if tradeType == tradeJSAPI {
		rules = append(rules, rule{name: "payer", kind: object, must: true, inner: []rule{
			{name: "openid", kind: text, must: true, min: 1, max: 128}}})
	}
	return rules
}

func detailRules() []rule {
	return []rule{
		{name: "cost_price", kind: whole, min: 0},
		{name: "invoice_id", kind: text, max: 32},
		{name: "goods_detail", kind: list, min: 1, inner: []rule{
			{name: "merchant_goods_id", kind: text, must: true, min: 1, max: 32},
			{name: "wechatpay_goods_id", kind: text, max: 32},
			{name: "goods_name", kind: text, max: 256},
			{name: "quantity", kind: whole, must: true, min: 1},
			{name: "unit_price", kind: whole, must: true, min: 0},
		}},
	}
}

func sceneRules(tradeType string) []rule {
	rules := []rule{
		{name: "payer_client_ip", kind: text, must: true, min: 1, max: 45},
		{name: "device_id", kind: text, max: 32},
		{name: "store_info", kind: object, inner: []rule{
			{name: "id", kind: text, must: true, min: 1, max: 32},
			{name: "name", kind: text, max: 256},
			{name: "area_code", kind: text, max: 32},
			{name: "address", kind: text, max: 512},
		}},
	}
	if tradeType == tradeH5 {
		rules[0].issue = clientIPIssue
		rules = append(rules, h5Rule())
	}
	return rules
}

func currencyIssue(v string) string {
	if v == "CNY" {
		return ""
	}
	return "must be CNY"
}

func timeIssue(v string) string {
	if _, err := time.Parse(time.RFC3339, v); err != nil {
		return "must be a time in RFC 3339, such as 2026-01-02T15:04:05+08:00"
	}
	return ""
}

// notifyURLIssue allows http and loopback, which the real platform does not: there
// would be nothing to test against on one machine.
func notifyURLIssue(v string) string {
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(v, " \t"):
		return "must be an absolute URL without blanks or credentials"
	case u.Scheme != "http" && u.Scheme != "https":
		return "must begin with https:// or http://"
	case strings.ContainsAny(v, "?#"):
		return "must not have a query string or fragment"
	}
	return ""
}
