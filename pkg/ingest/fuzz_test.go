package ingest

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/request"
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
		require.LessOrEqual(t, int64(o.Amount), int64(request.MaxAmountFen))
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

func requireProblem(t *testing.T, err error) {
	t.Helper()
	require.Contains(t, []problem.Kind{problem.Malformed, problem.Invalid}, problem.KindOf(err))
	text, err := json.Marshal(problem.DocumentOf(err, ""))
	require.NoError(t, err)
	require.True(t, utf8.Valid(text))
}
