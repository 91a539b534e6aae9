package wechatpay

import (
	"errors"
	"net/http"
	"slices"

	"github.com/fenflow/fenflow/pkg/pay"
)

// RefundVerdict says what became of one attempt to have a refund accepted.
type RefundVerdict string

// The verdicts. Only RefundRejected lets a refund fail, and only together with
// a query that does not find it.
const (
	RefundAccepted  RefundVerdict = "accepted"
	RefundRejected  RefundVerdict = "rejected"   // final: the same call will be refused again
	RefundNotEnough RefundVerdict = "not_enough" // refused for now: the account has to be topped up
	RefundBlocked   RefundVerdict = "blocked"    // refused for now: an operator has to look at it
	RefundUnknown   RefundVerdict = "unknown"    // it may have been accepted: query, then send again
)

// verdictRow is one verdict and the codes that mean it.
type verdictRow struct {
	verdict RefundVerdict
	codes   []string
}

// verdictsV3 is the error table of the refund call (WeChat Pay docs 4012791862
// and 4014959631), 4xx only. RESOURCE_NOT_EXISTS says that there is no such
// payment; our books say that there is, so a person has to look. What is not
// listed is RefundBlocked.
func verdictsV3() []verdictRow {
	return []verdictRow{
		{RefundRejected, []string{"PARAM_ERROR", "INVALID_REQUEST", "USER_ACCOUNT_ABNORMAL"}},
		{RefundNotEnough, []string{"NOT_ENOUGH", "NOTENOUGH"}},
		{RefundBlocked, []string{
			"SIGN_ERROR", "NO_AUTH", "NOAUTH", "REQUEST_BLOCKED", "MCH_NOT_EXISTS", "RESOURCE_NOT_EXISTS",
			"APPID_MCHID_NOT_MATCH", "ACCOUNT_ERROR", "ACCOUNTERROR", "RULE_LIMIT", "RULELIMIT",
		}},
		{RefundUnknown, []string{"FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED", "SYSTEM_ERROR", "SYSTEMERROR", "SERVICE_UNAVAILABLE"}},
	}
}

// verdictsV2 is the table of err_code (WeChat Pay v2, refund). What is not
// listed is RefundBlocked; so is ERROR, which is any failure of the business,
// told in words only.
func verdictsV2() []verdictRow {
	return []verdictRow{
		{RefundRejected, []string{
			"TRADE_OVERDUE", "USER_ACCOUNT_ABNORMAL", "INVALID_TRANSACTIONID", "PARAM_ERROR", "INVALID_REQUEST",
			"ORDERNOTEXIST", "REFUND_FEE_MISMATCH", "XML_FORMAT_ERROR", "REQUIRE_POST_METHOD",
		}},
		{RefundNotEnough, []string{"NOTENOUGH", "NOT_ENOUGH"}},
		{RefundBlocked, []string{
			"NOAUTH", "CERT_ERROR", "SIGNERROR", "SIGN_ERROR", "APPID_NOT_EXIST", "MCHID_NOT_EXIST", "APPID_MCHID_NOT_MATCH",
		}},
		{RefundUnknown, []string{
			"SYSTEMERROR", "SYSTEM_ERROR", "BIZERR_NEED_RETRY", "ORDER_NOT_READY",
			"FREQUENCY_LIMITED", "INVALID_REQ_TOO_MUCH", "RATELIMIT_EXCEEDED",
		}},
	}
}

// RefundVerdictOf judges what SubmitRefund returned, by HTTP status and code
// only: messages change (WeChat Pay doc 4014959631).
func RefundVerdictOf(err error) RefundVerdict {
	var e *CallError
	switch {
	case err == nil:
		return RefundAccepted
	case !errors.As(err, &e), e.Class == ClassUnknown:
		return RefundUnknown
	case e.Status == 0 && e.Class == ClassConfig: // it was not sent
		return RefundBlocked
	case e.Protocol == pay.ProtocolV2:
		return e.verdictV2()
	}
	return e.verdictV3()
}

func (e *CallError) verdictV3() RefundVerdict {
	switch {
	case e.redirected():
		return RefundBlocked
	case e.Status < http.StatusBadRequest, e.Status >= http.StatusInternalServerError,
		e.Status == http.StatusTooManyRequests, e.Status == http.StatusRequestTimeout:
		return RefundUnknown
	case e.Code == "": // no answer of WeChat Pay's: something in between spoke
		return RefundUnknown
	}
	return verdictOf(verdictsV3(), e.Code, RefundBlocked)
}

// verdictV2 never takes an unsigned refusal for a final one: nobody vouches for
// it. That our key or certificate is wrong, it may say.
func (e *CallError) verdictV2() RefundVerdict {
	switch {
	case e.redirected():
		return RefundBlocked
	case e.Status != http.StatusOK:
		return RefundUnknown
	case e.Verified:
		return verdictOf(verdictsV2(), e.Code, RefundBlocked)
	case verdictOf(verdictsV2(), e.Code, RefundUnknown) == RefundBlocked:
		return RefundBlocked
	}
	return RefundUnknown
}

// redirected: WeChat Pay redirects nobody, so base_url is wrong.
func (e *CallError) redirected() bool {
	return e.Status >= http.StatusMultipleChoices && e.Status < http.StatusBadRequest
}

func verdictOf(table []verdictRow, code string, otherwise RefundVerdict) RefundVerdict {
	for _, row := range table {
		if slices.Contains(row.codes, code) {
			return row.verdict
		}
	}
	return otherwise
}
