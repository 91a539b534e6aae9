package request_test

import (
	"encoding/json"
	"regexp"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/request"
)

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
		r, err := request.ParseRefund(raw)
		if err != nil {
			requireProblem(t, err)
			return
		}
		require.Positive(t, r.Amount)
		require.LessOrEqual(t, int64(r.Amount), int64(request.MaxAmountFen))
		_, err = pay.ParseOutRefundNo(string(r.OutRefundNo))
		require.NoError(t, err)
		require.NotRegexp(t, "^auto-", string(r.OutRefundNo))
		require.NotEmpty(t, string(r.OutTradeNo)+string(r.TransactionID))
		body, err := r.Body(nil)
		require.NoError(t, err)
		again, err := request.ParseRefund(body)
		require.NoError(t, err)
		require.Equal(t, r, again)
		require.Equal(t, r.Digest("1900000109"), again.Digest("1900000109"))
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
		a, err := request.ParseAbnormal(raw)
		if err != nil {
			requireProblem(t, err)
			for _, number := range longNumber.FindAllString(account+" "+bankType, -1) {
				require.NotContains(t, err.Error(), number)
			}
			return
		}
		require.Contains(t, []string{request.ToUserCard, request.ToMerchantCard}, a.Type)
		require.Equal(t, a.Type == request.ToUserCard, a.BankAccount != "" && a.RealName != "" && a.BankType != "")
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
