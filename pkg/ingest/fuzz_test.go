package ingest

import (
	"encoding/json"
	"regexp"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// FuzzParseOrder: whatever comes in, it is an order within the rules that
// survives the way to the worker, or a problem for the shop.
func FuzzParseOrder(f *testing.F) {
	for _, seed := range []string{
		`{"out_trade_no":"order-0001","appid":"wx8888888888888888","client":"native","description":"咖啡","amount_fen":1,"currency":"CNY"}`,
		`{"out_trade_no":"order-0001","appid":"wx8888888888888888","client":"jsapi","description":"a","amount_fen":1,"currency":"CNY","openid":"o","attach":"x","expires_at":"2026-11-22T00:00:00+08:00"}`,
		`{"amount_fen":1,"amount_fen":2}`, `{"amount_fen":1e9}`, `{"a":{"b":[1,{}]}}`, `{"description":"\ud83d\ude00"}`, `[]`, ``, "{\"\xff\":1}", `{ "a" : -0 }`,
	} {
		f.Add([]byte(seed))
	}
	m := merchant.Merchant{MchID: "1900000109", Apps: []merchant.App{{AppID: "wx8888888888888888"}}}
	at := time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := parseOrder(raw, m, at)
		if err != nil {
			requireProblem(t, err)
			return
		}
		require.Positive(t, o.Amount)
		require.LessOrEqual(t, int64(o.Amount), int64(maxAmountFen))
		_, err = pay.ParseOutTradeNo(string(o.OutTradeNo))
		require.NoError(t, err)
		body, err := o.body(at)
		require.NoError(t, err)
		var sent commandBody
		require.NoError(t, json.Unmarshal(body, &sent))
		require.Equal(t, o.Description, sent.Description)
		require.Equal(t, o.Attach, sent.Attach)
		require.Equal(t, int64(o.Amount), sent.AmountFen)
		_, err = time.Parse(time.RFC3339, sent.TimeExpire)
		require.NoError(t, err)
	})
}

// FuzzParseRefund: whatever comes in, it is a refund within the rules that
// survives the way to the worker, or a problem for the shop.
func FuzzParseRefund(f *testing.F) {
	for _, seed := range []string{
		`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":1}`,
		`{"out_refund_no":"a|b*@","transaction_id":"4200002567202603011234567890","amount_fen":10000000000,"reason":"茶凉了"}`,
		`{"out_refund_no":"auto-1","amount_fen":1e2}`, `{"amount_fen":1,"amount_fen":2}`, `{"reason":"\ud83d\ude00"}`, `{}`, ``, "{\"\xff\":1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseRefund(raw)
		if err != nil {
			requireProblem(t, err)
			return
		}
		require.Positive(t, r.Amount)
		require.LessOrEqual(t, int64(r.Amount), int64(maxAmountFen))
		_, err = pay.ParseOutRefundNo(string(r.OutRefundNo))
		require.NoError(t, err)
		require.NotRegexp(t, "^auto-", string(r.OutRefundNo))
		require.NotEmpty(t, string(r.OutTradeNo)+string(r.TransactionID))
		body, err := r.body()
		require.NoError(t, err)
		again, err := parseRefund(body)
		require.NoError(t, err)
		require.Equal(t, r, again)
		require.Equal(t, r.digest("1900000109"), again.digest("1900000109"))
	})
}

// longNumber is what no message of ours holds by itself.
var longNumber = regexp.MustCompile(`[0-9]{5,}`)

// FuzzParseAbnormal: no problem ever repeats what a field holds.
func FuzzParseAbnormal(f *testing.F) {
	f.Add("USER_BANK_CARD", "ICBC_DEBIT", "6222020200112233445", "张三丰是我")
	f.Add("MERCHANT_BANK_CARD", "", "secret account", "x")
	f.Add("", "a\x00", "6222 0202", "\xff")
	f.Fuzz(func(t *testing.T, typ, bankType, account, name string) {
		given := map[string]string{"type": typ}
		for field, value := range map[string]string{"bank_type": bankType, "bank_account": account, "real_name": name} {
			if value != "" {
				given[field] = value
			}
		}
		raw, err := json.Marshal(given)
		require.NoError(t, err)
		a, err := parseAbnormal(raw)
		if err != nil {
			requireProblem(t, err)
			for _, number := range longNumber.FindAllString(account+" "+bankType, -1) {
				require.NotContains(t, err.Error(), number)
			}
			return
		}
		require.Contains(t, []string{toUserCard, toMerchantCard}, a.Type)
		require.Equal(t, a.Type == toUserCard, a.BankAccount != "" && a.RealName != "" && a.BankType != "")
		require.LessOrEqual(t, len(a.RealName), 214, "it can be encrypted")
	})
}

func requireProblem(t *testing.T, err error) {
	t.Helper()
	require.Contains(t, []problem.Kind{problem.Malformed, problem.Invalid}, problem.KindOf(err))
	text, err := json.Marshal(problem.DocumentOf(err, ""))
	require.NoError(t, err)
	require.True(t, utf8.Valid(text))
}
