package wechatpay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// TestRefundVerdict_of_each_answer_over_v3 sends a refund to a platform that
// refuses it in each documented way, and in ways that nobody has documented.
func TestRefundVerdict_of_each_answer_over_v3(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status  int
		code    string
		want    RefundVerdict
		limited bool
	}{
		{400, "PARAM_ERROR", RefundRejected, false},
		{400, "INVALID_REQUEST", RefundRejected, false},
		{403, "USER_ACCOUNT_ABNORMAL", RefundRejected, false},
		{403, "NOT_ENOUGH", RefundNotEnough, false},
		{403, "NOTENOUGH", RefundNotEnough, false},
		{401, "SIGN_ERROR", RefundBlocked, false},
		{403, "NO_AUTH", RefundBlocked, false},
		{403, "NOAUTH", RefundBlocked, false},
		{403, "REQUEST_BLOCKED", RefundBlocked, false},
		{404, "MCH_NOT_EXISTS", RefundBlocked, false},
		{404, "RESOURCE_NOT_EXISTS", RefundBlocked, false},
		{400, "APPID_MCHID_NOT_MATCH", RefundBlocked, false},
		{403, "ACCOUNT_ERROR", RefundBlocked, false},
		{403, "ACCOUNTERROR", RefundBlocked, false},
		{403, "RULE_LIMIT", RefundBlocked, false},
		{403, "RULELIMIT", RefundBlocked, false},
		{400, "SOMETHING_NEW", RefundBlocked, false},
		{403, "ERROR", RefundBlocked, false},
		{404, "ORDER_NOT_EXIST", RefundBlocked, false},
		{302, "PARAM_ERROR", RefundBlocked, false},
		{429, "FREQUENCY_LIMITED", RefundUnknown, true},
		{429, "RATELIMIT_EXCEEDED", RefundUnknown, true},
		{403, "FREQUENCY_LIMITED", RefundUnknown, true},
		{403, "RATELIMIT_EXCEEDED", RefundUnknown, true},
		{429, "PARAM_ERROR", RefundUnknown, true},
		{429, "", RefundUnknown, true},
		{500, "SYSTEM_ERROR", RefundUnknown, false},
		{400, "SYSTEM_ERROR", RefundUnknown, false},
		{400, "SYSTEMERROR", RefundUnknown, false},
		{400, "SERVICE_UNAVAILABLE", RefundUnknown, false},
		{500, "PARAM_ERROR", RefundUnknown, false},
		{502, "", RefundUnknown, false},
		{503, "SERVICE_UNAVAILABLE", RefundUnknown, false},
		{408, "INVALID_REQUEST", RefundUnknown, false},
		{400, "", RefundUnknown, false}, // something in between spoke
		{403, "", RefundUnknown, false},
		{204, "", RefundUnknown, false}, // genuine, and says nothing
		{200, "PARAM_ERROR", RefundUnknown, false},
	} {
		t.Run(strconv.Itoa(tc.status)+" "+tc.code, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, `{"code":"`+tc.code+`","message":"m-1"}`)
			p.status = tc.status
			if tc.status == http.StatusNoContent {
				p.body = ""
			}
			c := newClient(t, ClientOptions{BaseURL: p.start()})
			_, err := c.SubmitRefund(t.Context(), pay.ProtocolV3, testRefundBody(t, c, pay.ProtocolV3))
			require.Error(t, err)
			require.Equal(t, tc.want, RefundVerdictOf(err), "%v", err)
			require.Equal(t, tc.want, RefundVerdictOf(fmt.Errorf("send refund: %w", err)), "wrapped, too")
			require.Equal(t, tc.limited, IsFrequencyLimited(err))
			require.NotContains(t, err.Error(), "m-1")
		})
	}
}

func TestRefundVerdict_of_each_answer_over_v2(t *testing.T) {
	t.Parallel()
	for code, tc := range map[string]struct {
		signed   RefundVerdict
		unsigned RefundVerdict // with return_code FAIL
	}{
		"TRADE_OVERDUE":         {RefundRejected, RefundUnknown},
		"USER_ACCOUNT_ABNORMAL": {RefundRejected, RefundUnknown},
		"INVALID_TRANSACTIONID": {RefundRejected, RefundUnknown},
		"PARAM_ERROR":           {RefundRejected, RefundUnknown},
		"INVALID_REQUEST":       {RefundRejected, RefundUnknown},
		"ORDERNOTEXIST":         {RefundRejected, RefundUnknown},
		"REFUND_FEE_MISMATCH":   {RefundRejected, RefundUnknown},
		"XML_FORMAT_ERROR":      {RefundRejected, RefundUnknown},
		"REQUIRE_POST_METHOD":   {RefundRejected, RefundUnknown},
		"NOTENOUGH":             {RefundNotEnough, RefundUnknown},
		"NOT_ENOUGH":            {RefundNotEnough, RefundUnknown},
		"NOAUTH":                {RefundBlocked, RefundBlocked},
		"CERT_ERROR":            {RefundBlocked, RefundBlocked},
		"SIGNERROR":             {RefundBlocked, RefundBlocked},
		"SIGN_ERROR":            {RefundBlocked, RefundBlocked},
		"APPID_NOT_EXIST":       {RefundBlocked, RefundBlocked},
		"MCHID_NOT_EXIST":       {RefundBlocked, RefundBlocked},
		"APPID_MCHID_NOT_MATCH": {RefundBlocked, RefundBlocked},
		"ERROR":                 {RefundBlocked, RefundUnknown},
		"SOMETHING_NEW":         {RefundBlocked, RefundUnknown},
		"":                      {RefundBlocked, RefundUnknown},
		"SYSTEMERROR":           {RefundUnknown, RefundUnknown},
		"SYSTEM_ERROR":          {RefundUnknown, RefundUnknown},
		"BIZERR_NEED_RETRY":     {RefundUnknown, RefundUnknown},
		"ORDER_NOT_READY":       {RefundUnknown, RefundUnknown},
		"FREQUENCY_LIMITED":     {RefundUnknown, RefundUnknown},
		"RATELIMIT_EXCEEDED":    {RefundUnknown, RefundUnknown},
		"INVALID_REQ_TOO_MUCH":  {RefundUnknown, RefundUnknown},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			p := newPlatformV2(t, fieldsV2{"result_code": failV2, "err_code": code, "err_code_des": "m-1"})
			err := submitV2(t, p)
			require.Equal(t, tc.signed, RefundVerdictOf(err), "%v", err)
			limited := code == "FREQUENCY_LIMITED" || code == "RATELIMIT_EXCEEDED" || code == "INVALID_REQ_TOO_MUCH"
			require.Equal(t, limited, IsFrequencyLimited(err))
			require.NotContains(t, err.Error(), "m-1")

			p = newPlatformV2(t, fieldsV2{"result_code": failV2, "err_code": code})
			p.change = func(f fieldsV2) { f["err_code_des"] = "after signing" }
			require.Equal(t, RefundUnknown, RefundVerdictOf(submitV2(t, p)), "what does not verify says nothing")

			p = newPlatformV2(t, fieldsV2{"return_code": failV2, "return_msg": "m-1", "err_code": code})
			p.unsigned = true
			err = submitV2(t, p)
			require.Equal(t, tc.unsigned, RefundVerdictOf(err), "%v", err)
			require.NotContains(t, err.Error(), "m-1")
			require.False(t, IsNotExist(err))
		})
	}
	for _, status := range []int{301, 400, 403, 404, 429, 500, 502} {
		p := newPlatformV2(t, fieldsV2{"result_code": failV2, "err_code": "PARAM_ERROR"})
		p.status = status
		want := RefundUnknown
		if status == 301 {
			want = RefundBlocked
		}
		err := submitV2(t, p)
		require.Equal(t, want, RefundVerdictOf(err), "v2 answers 200: %d is another's", status)
		require.Equal(t, status == 429, IsFrequencyLimited(err))
	}
}

func submitV2(t *testing.T, p *platformV2) error {
	t.Helper()
	c := newClientV2(t, p.start())
	_, err := c.SubmitRefund(t.Context(), pay.ProtocolV2, testRefundBody(t, c, pay.ProtocolV2))
	require.Error(t, err)
	return err
}

func TestRefundVerdict_without_an_answer(t *testing.T) {
	t.Parallel()
	require.Equal(t, RefundAccepted, RefundVerdictOf(nil))
	require.Equal(t, RefundUnknown, RefundVerdictOf(errors.New("anything else")))
	require.Equal(t, RefundUnknown, RefundVerdictOf(context.DeadlineExceeded))
	require.Equal(t, RefundUnknown, RefundVerdictOf(&CallError{Class: ClassUnknown}))
	require.Equal(t, RefundUnknown, RefundVerdictOf(&CallError{Class: ClassRetry, Protocol: pay.ProtocolV2}))
	require.Equal(t, RefundUnknown, RefundVerdictOf(&CallError{Class: ClassUnknown, Status: 400, Code: "PARAM_ERROR"}), "a code that was not believed")
	require.Equal(t, RefundBlocked, RefundVerdictOf(misuse("no certificate")), "nothing was sent")

	nobody := newClient(t, ClientOptions{BaseURL: "http://127.0.0.1:1"})
	_, err := nobody.SubmitRefund(t.Context(), pay.ProtocolV3, testRefundBody(t, nobody, pay.ProtocolV3))
	require.Equal(t, RefundUnknown, RefundVerdictOf(err), "%v", err)
	require.False(t, IsFrequencyLimited(err))
	require.False(t, IsFrequencyLimited(errors.New("x")))
}
