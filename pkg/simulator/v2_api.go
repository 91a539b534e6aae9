package simulator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
)

// v2Call is one v2 request whose sign is right. api names the operation for faults
// and limits.
type v2Call struct {
	request *http.Request
	fields  v2Fields
	api     string
}

// signType is what the request was signed with, and what its answer will be.
func (c *v2Call) signType() SignType {
	if c.fields["sign_type"] == string(SignHMAC) {
		return SignHMAC
	}
	return SignMD5
}

// v2Endpoint does the work of one v2 path and returns the elements of its answer,
// apart from those that every answer has.
type v2Endpoint func(*v2Call) (v2Fields, error)

// routesV2: protocol v2. Any method comes in, as v2 answers even that in XML.
func (s *Simulator) routesV2(r chi.Router) {
	r.HandleFunc("/pay/unifiedorder", s.v2(apiUnifiedOrder, s.unifiedOrderRules(), s.unifiedOrder))
	r.HandleFunc("/pay/orderquery", s.v2(apiQuery, wantedOrderRules(), s.orderQueryV2))
	r.HandleFunc("/pay/closeorder", s.v2(apiClose, closeOrderRules(), s.closeOrderV2))
	r.HandleFunc("/secapi/pay/refund", s.secured(s.v2(apiRefund, s.refundRulesV2(), s.refundV2)))
	r.HandleFunc("/pay/downloadbill", s.v2Raw(apiBill, downloadBillRules(), s.downloadBillV2))
	r.HandleFunc("/pay/refundquery", s.v2(apiRefundQuery, refundQueryRulesV2(), s.refundQueryV2))
}

// v2Writer does the work of one v2 path and writes the whole answer.
type v2Writer func(*v2Call) (body []byte, contentType string, err error)

// v2 wraps an endpoint in what all share.
func (s *Simulator) v2(api string, rules []rule, work v2Endpoint) http.HandlerFunc {
	return s.v2Raw(api, rules, func(c *v2Call) ([]byte, string, error) {
		fields, err := work(c)
		if err != nil {
			return nil, "", err
		}
		fields["result_code"] = "SUCCESS"
		body, err := s.sealV2(c, fields)
		return body, "text/xml; charset=utf-8", err
	})
}

// v2Raw is v2 for endpoints that write their answers themselves.
func (s *Simulator) v2Raw(api string, rules []rule, work v2Writer) http.HandlerFunc {
	rules = append(commonV2Rules(), rules...)
	return func(w http.ResponseWriter, r *http.Request) {
		started, c := s.now(), &v2Call{request: r, api: api}
		body, contentType, err := s.admitV2(w, c, rules, work)
		line := []any{"method", r.Method, "uri", clip(r.RequestURI), "out_trade_no", c.fields["out_trade_no"], "took", s.now().Sub(started)}
		if err == nil {
			s.log.Debug("request answered", line...)
			writeText(w, contentType, body)
			return
		}
		if errors.Is(err, errNoAnswer) {
			s.log.Warn("answer kept back", line...)
			cut()
		}
		refused := v2ErrorOf(err)
		line = append(line, "err_code", refused.code, "message", refused.message)
		s.log.Warn("request refused", append(line, refused.log...)...)
		s.refuseV2(w, c, refused)
	}
}

func (s *Simulator) admitV2(w http.ResponseWriter, c *v2Call, rules []rule, work v2Writer) (body []byte, contentType string, err error) {
	var refused *v2Error
	if c.fields, refused = readV2(w, c.request); refused != nil {
		return nil, "", refused
	}
	if refused := s.checkV2(c, rules); refused != nil {
		return nil, "", refused
	}
	number := s.orderOfV2(c)
	s.calls.count(c.api)
	if err := s.troubleBefore(c.request.Context(), c.api, number); err != nil {
		return nil, "", err
	}
	if body, contentType, err = work(c); err != nil {
		return nil, "", s.limits.failed(c.api, err)
	}
	return body, contentType, s.troubleAfter(c.request.Context(), c.api, number)
}

// orderOfV2 finds the order that faults may be meant for.
func (s *Simulator) orderOfV2(c *v2Call) string {
	if number := c.fields["out_trade_no"]; number != "" {
		return number
	}
	if order, known := s.books.transaction(c.fields["transaction_id"]); known {
		return order.OutTradeNo
	}
	refund, _ := s.books.knownRefund(c.fields["out_refund_no"])
	return refund.OutTradeNo
}

func readV2(w http.ResponseWriter, r *http.Request) (v2Fields, *v2Error) {
	if r.Method != http.MethodPost {
		drain(r)
		return nil, v2Broken("REQUIRE_POST_METHOD", "请使用post方法")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxXMLBytes))
	switch {
	case err != nil:
		return nil, v2Broken("XML_FORMAT_ERROR", "XML格式错误", "issue", "the body is too long or broke off")
	case len(body) == 0:
		return nil, v2Broken("POST_DATA_EMPTY", "post数据为空")
	case !utf8.Valid(body):
		return nil, v2Broken("NOT_UTF8", "编码格式错误")
	}
	fields, err := parseV2(body)
	if err != nil {
		return nil, v2Broken("XML_FORMAT_ERROR", "XML格式错误", "issue", err)
	}
	return fields, nil
}

// drain reads what an answer does not depend on: HTTP/2 resets the stream of a
// request whose body is left unread, and some clients then lose the answer.
func drain(r *http.Request) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxRequestBytes)) // the caller may be gone
}

// checkV2 first finds whose key it is, then holds the sign against all elements,
// and only then believes any of them.
func (s *Simulator) checkV2(c *v2Call, rules []rule) *v2Error {
	switch mchid := c.fields["mch_id"]; mchid {
	case "":
		return v2Lacks("mch_id")
	case s.merchant.Mchid:
	default:
		return v2Broken("MCHID_NOT_EXIST", "MCHID不存在", "mch_id", mchid, "expected_mch_id", s.merchant.Mchid)
	}
	if refused := s.checkSignV2(c.fields); refused != nil {
		return refused
	}
	if refused := checkFieldsV2(c.fields, rules); refused != nil {
		return refused
	}
	if appid := c.fields["appid"]; !s.merchant.bound(appid) {
		if regexp.MustCompile(`^wx[0-9a-z]{16}$`).MatchString(appid) {
			return v2Failed("APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配", "appid", appid)
		}
		return v2Failed("APPID_NOT_EXIST", "APPID不存在", "appid", appid)
	}
	return nil
}

// checkFieldsV2 wants what the rules want of the elements they name. Unknown
// elements take part in the sign and are otherwise let be.
func checkFieldsV2(fields v2Fields, rules []rule) *v2Error {
	for _, r := range rules {
		value := fields[r.name]
		if value == "" {
			if r.must {
				return v2Lacks(r.name)
			}
			continue
		}
		if refused := r.checkText(r.name, value); refused != nil {
			return v2Broken("PARAM_ERROR", "参数错误:"+refused.message, "element", r.name, "value", clip(value))
		}
	}
	return nil
}

// commonV2Rules are those of every v2 request (WeChat Pay v2, unified order).
func commonV2Rules() []rule {
	return []rule{
		{name: "appid", must: true, min: 1, max: 32},
		{name: "mch_id", must: true, min: 1, max: 32},
		{name: "nonce_str", must: true, min: 1, max: 32},
	}
}

// sealV2 completes and signs an answer with the type of sign of its request.
func (s *Simulator) sealV2(c *v2Call, fields v2Fields) ([]byte, error) {
	nonce, err := s.random.nonce()
	if err != nil {
		return nil, err
	}
	fields["return_code"], fields["return_msg"] = "SUCCESS", "OK"
	fields["appid"], fields["mch_id"], fields["nonce_str"] = s.merchant.Appid, s.merchant.Mchid, nonce
	if asked := c.fields["appid"]; s.merchant.bound(asked) {
		fields["appid"] = asked
	}
	fields["sign"] = signV2(fields, s.merchant.APIv2Key, c.signType())
	if s.spoilOf(c.api, s.orderOfV2(c)) != "" {
		fields["nonce_str"] = nonce[1:] + "0" // whatever the fault, v2 has but one signature to spoil
	}
	return xmlOf(fields), nil
}

// v2Error is an error answer. Broken means that the request was not understood or
// not believed: return_code FAIL, unsigned. Otherwise the business failed:
// return_code SUCCESS, result_code FAIL, signed.
type v2Error struct {
	broken  bool
	code    string
	message string
	// number is the error_code of downloadbill.
	number string
	log    []any
}

func (r *v2Error) Error() string { return r.code + ": " + r.message }

func v2Broken(code, message string, log ...any) *v2Error {
	return &v2Error{broken: true, code: code, message: message, log: log}
}

func v2Failed(code, message string, log ...any) *v2Error {
	return &v2Error{code: code, message: message, log: log}
}

func v2SignError(issue string, log ...any) *v2Error {
	return v2Broken("SIGNERROR", "签名错误", append([]any{"issue", issue}, log...)...)
}

func v2Lacks(element string) *v2Error {
	return v2Broken("LACK_PARAMS", "缺少参数"+element)
}

// v2ErrorOf says in v2 what the books refused in v3. An error that is no refusal
// is a fault of the stand-in itself.
func v2ErrorOf(err error) *v2Error {
	var already *v2Error
	if errors.As(err, &already) {
		return already
	}
	var refused *refusal
	if !errors.As(err, &refused) {
		return v2Failed("SYSTEMERROR", "系统错误", "error", err)
	}
	code, message := v2Code(refused)
	return v2Failed(code, message, append([]any{"reason", refused.message}, refused.log...)...)
}

func v2Code(r *refusal) (code, message string) {
	if r.number == numberReentry {
		return "OUT_TRADE_NO_USED", "商户订单号重复"
	}
	switch r.code {
	case "ORDERPAID":
		return r.code, "该订单已支付"
	case "ORDER_CLOSED":
		return "ORDERCLOSED", "订单已关闭"
	case "ORDER_NOT_EXIST":
		return "ORDERNOTEXIST", "订单不存在"
	case "SYSTEM_ERROR":
		return "SYSTEMERROR", "系统错误"
	case "NOT_ENOUGH":
		return "NOTENOUGH", "基本账户余额不足，请充值后重新发起"
	case "NO_AUTH":
		return "NOAUTH", "没有权限"
	case "RATELIMIT_EXCEEDED":
		return "FREQUENCY_LIMITED", "频率限制"
	}
	return r.code, r.message
}

// refuseV2 tells the code in both layers: the documentation lists codes such as
// SIGNERROR as err_code, though a receiver that stops at return_code FAIL is right.
func (s *Simulator) refuseV2(w http.ResponseWriter, c *v2Call, r *v2Error) {
	const contentType = "text/xml; charset=utf-8"
	fields := v2Fields{"result_code": "FAIL", "err_code": r.code, "err_code_des": r.message}
	if r.number != "" {
		fields = v2Fields{"error_code": r.number}
	}
	if r.broken {
		fields["return_code"], fields["return_msg"] = "FAIL", r.message
		writeText(w, contentType, xmlOf(fields))
		return
	}
	body, err := s.sealV2(c, fields)
	if err != nil {
		s.log.Error("answer failed", "error", fmt.Errorf("sign answer: %w", err))
		http.Error(w, "the simulator failed", http.StatusInternalServerError)
		return
	}
	writeText(w, contentType, body)
}

// writeText answers 200: in v2 the status says nothing.
func writeText(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // the caller may be gone
}
