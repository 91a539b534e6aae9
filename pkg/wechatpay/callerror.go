package wechatpay

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/wechatpay-apiv3/wechatpay-go/core"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Class says what to do after a call that did not succeed.
type Class string

// The classes.
const (
	ClassFinal      Class = "final"       // refused; the same call will be refused again
	ClassQueryFirst Class = "query_first" // says nothing certain about the order: ask before deciding
	ClassRetry      Class = "retry"       // again later, with the same parameters
	ClassUnknown    Class = "unknown"     // it may have been carried out: no answer, or none to believe
	ClassConfig     Class = "config"      // an operator has to put something right first
)

// CallError is a call that did not succeed. Its text holds ids and codes, never
// what was sent or answered.
type CallError struct {
	Class     Class
	Protocol  pay.Protocol // that was spoken; empty where it makes no difference
	Status    int          // HTTP status; 0 where there was no answer
	Code      string       // WeChat's code; only it and Status decide the class
	Verified  bool         // the answer's signature was right; false also where it has none
	RequestID string       // what WeChat Pay's support asks for
	Message   string       // WeChat's words, for people; no program may depend on them
	err       error
}

func (e *CallError) Error() string {
	parts := []string{"WeChat Pay call: " + string(e.Class)}
	if e.Status != 0 {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("answered %d %s", e.Status, e.Code)))
	}
	if e.RequestID != "" {
		parts = append(parts, "request id "+e.RequestID)
	}
	if e.err != nil {
		parts = append(parts, e.err.Error())
	}
	return strings.Join(parts, ": ")
}

func (e *CallError) Unwrap() error { return e.err }

// ClassOf finds the class in an error; an error of another kind is unknown.
func ClassOf(err error) Class {
	var e *CallError
	if errors.As(err, &e) {
		return e.Class
	}
	return ClassUnknown
}

// IsNotExist says whether WeChat Pay answered that it has no such thing. Over
// v3 such an answer is often not signed: what it means for money may need
// IsVerifiedNotExist. One that is signed wrongly, and one of v2 that does not
// verify, never count.
func IsNotExist(err error) bool {
	var e *CallError
	if !errors.As(err, &e) {
		return false
	}
	if e.Protocol == pay.ProtocolV2 {
		return e.Verified && (e.Code == "ORDERNOTEXIST" || e.Code == "REFUNDNOTEXIST")
	}
	if e.Status != http.StatusNotFound {
		return false
	}
	switch e.Code {
	case "ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS":
		return true
	}
	return false
}

// IsVerifiedNotExist is IsNotExist of an answer that WeChat Pay has signed.
func IsVerifiedNotExist(err error) bool {
	var e *CallError
	return IsNotExist(err) && errors.As(err, &e) && e.Verified
}

// IsFrequencyLimited says whether WeChat Pay wants fewer calls (WeChat Pay docs
// 4014959631; v2 refund).
func IsFrequencyLimited(err error) bool {
	var e *CallError
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case "FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED", "INVALID_REQ_TOO_MUCH":
		return true
	}
	return e.Status == http.StatusTooManyRequests
}

// classOf decides by HTTP status and code only, because messages change
// (WeChat Pay doc 4014959631). Codes are spelled with and without underscore.
//
// Sources: WeChat Pay docs 4012791834 (prepay), 4012556398 (close), 4014959631
// (refund, and which answers to repeat); the tables of unifiedorder, orderquery,
// closeorder, refund and refundquery for v2. What a code means for a refund's
// attempt is in verdict.go.
func classOf(status int, code string) Class {
	if class, known := classOfCode(code); known {
		return class
	}
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= http.StatusInternalServerError:
		return ClassRetry
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status < http.StatusBadRequest:
		return ClassConfig // a redirect is no WeChat Pay: base_url is wrong
	}
	return ClassQueryFirst
}

func classOfCode(code string) (class Class, known bool) {
	switch code {
	case "PARAM_ERROR", "TRADE_ERROR", "OPENID_MISMATCH", "INVALID_TRANSACTIONID",
		"ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS", "REFUNDNOTEXIST", "USER_ACCOUNT_ABNORMAL",
		"TRADE_OVERDUE", "REFUND_FEE_MISMATCH",
		"LACK_PARAMS", "XML_FORMAT_ERROR", "REQUIRE_POST_METHOD", "POST_DATA_EMPTY", "NOT_UTF8":
		return ClassFinal, true
	case "INVALID_REQUEST", "OUT_TRADE_NO_USED", "ORDERPAID", "ORDER_PAID", "ORDER_CLOSED", "ORDERCLOSED":
		return ClassQueryFirst, true
	case "SYSTEM_ERROR", "SYSTEMERROR", "SERVICE_UNAVAILABLE", "RATELIMIT_EXCEEDED", "FREQUENCY_LIMITED",
		"USERPAYING", "USER_PAYING", "BIZERR_NEED_RETRY", "ORDER_NOT_READY", "INVALID_REQ_TOO_MUCH":
		return ClassRetry, true
	case "SIGN_ERROR", "SIGNERROR", "CERT_ERROR", "NO_AUTH", "NOAUTH", "ACCOUNT_ERROR", "ACCOUNTERROR", "RULE_LIMIT", "RULELIMIT",
		"REQUEST_BLOCKED", "NOT_ENOUGH", "NOTENOUGH", "APPID_MCHID_NOT_MATCH", "MCH_NOT_EXISTS", "APPID_NOT_EXIST", "MCHID_NOT_EXIST":
		return ClassConfig, true
	}
	return "", false
}

// callError turns what the SDK returned into a CallError. The SDK's own texts
// hold whole headers and bodies, so none of them is kept.
func callError(result *core.APIResult, err error) *CallError {
	e := &CallError{Class: ClassUnknown, Protocol: pay.ProtocolV3}
	if result == nil || result.Response == nil {
		e.err = transportError(err)
		return e
	}
	e.Status = result.Response.StatusCode
	e.RequestID = shaped(result.Response.Header.Get("Request-Id"), maxSerialBytes)
	var api *core.APIError
	if !errors.As(err, &api) {
		e.err = notVerified(result.Response, err)
		return e
	}
	e.Code = shaped(api.Code, maxCodeBytes)
	e.Class = classOf(e.Status, e.Code)
	e.Message = forPeople(api.Message, api.Body)
	return e
}

// notVerified says why an answer is not believed.
func notVerified(response *http.Response, err error) error {
	var verify *VerifyError
	if !errors.As(err, &verify) {
		verify = unverifiable(response)
	}
	return fmt.Errorf("verify answer: %w", verify)
}

// unverifiable says which of the SDK's two silent checks an answer failed: its
// headers, or else its time.
func unverifiable(response *http.Response) *VerifyError {
	h, rejected := readSignatureHeader(signatureHeadersOf(response.Header))
	if rejected != nil {
		return rejected
	}
	e := reject(ReasonTimestamp, "%s %d is off the clock by %d s or more: compare this machine's clock with NTP", HeaderTimestamp, h.unix, replayWindow)
	e.Serial = h.serial
	return e
}

// maxCodeBytes is well above the longest code.
const maxCodeBytes = 64

var idShape = regexp.MustCompile(`^[0-9A-Za-z_.:\-]+$`)

// shaped drops an id that has no id's shape, so that no answer can write into our logs.
func shaped(id string, most int) string {
	if len(id) > most || !idShape.MatchString(id) {
		return ""
	}
	return id
}

// maxMessageRunes bounds WeChat's words: an error page of a proxy may be long.
const maxMessageRunes = 200

// forPeople is WeChat's message with the field it is about.
func forPeople(message, body string) string {
	var detail struct {
		Detail struct {
			Field string `json:"field"`
		} `json:"detail"`
	}
	if json.Unmarshal([]byte(body), &detail) == nil && detail.Detail.Field != "" {
		message += " (" + detail.Detail.Field + ")"
	}
	runes := []rune(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, message))
	return string(runes[:min(len(runes), maxMessageRunes)])
}
