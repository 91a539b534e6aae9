package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// What the tests' orders are placed with.
const (
	openid       = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
	buyerAccount = "0191d5e4-7a3b-7c00-8000-000000000001"
)

// sessions stand in for pkg/session: a token is the openid of whoever it names.
type sessions struct {
	mchid pay.MchID
	appid pay.AppID
}

func (s sessions) Verify(token string) (pay.Buyer, error) {
	if token == "" {
		return pay.Buyer{}, errors.New("no session")
	}
	who := pay.Buyer{MchID: s.mchid, AppID: s.appid, OpenID: pay.OpenID(token)}
	if token == openid {
		who.AccountID = buyerAccount
	}
	return who, nil
}

type buyersOrder struct {
	OutTradeNo  string     `json:"out_trade_no"`
	State       string     `json:"state"`
	AmountFen   int        `json:"amount_fen"`
	Description string     `json:"description"`
	Client      string     `json:"client"`
	PaidAt      *time.Time `json:"paid_at"`
	Payable     bool       `json:"payable"`
	Code        string     `json:"code"`
	NextStep    string     `json:"next_step"`
}

func (b *bundle) askAs(token string, serve func(context.Context, []byte) ([]byte, error), no string, more ...string) (int, []byte) {
	b.t.Helper()
	q := map[string]string{"session": token, "out_trade_no": no}
	for i := 0; i+1 < len(more); i += 2 {
		q[more[i]] = more[i+1]
	}
	raw, err := json.Marshal(q)
	require.NoError(b.t, err)
	answer, err := serve(b.t.Context(), raw)
	require.NoError(b.t, err)
	return unwrap(b.t, answer)
}

func ofBuyer(t *testing.T, body []byte) buyersOrder {
	t.Helper()
	var o buyersOrder
	require.NoError(t, json.Unmarshal(body, &o), string(body))
	return o
}

func TestWeChatOrder_shows_a_buyer_their_order_and_no_more_of_it(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	status, body := b.askAs(openid, b.service.WeChatOrder, "T00000001")
	require.Equal(t, http.StatusOK, status, string(body))
	var shown map[string]any
	require.NoError(t, json.Unmarshal(body, &shown))
	names := make([]string, 0, len(shown))
	for name := range shown {
		names = append(names, name)
	}
	require.ElementsMatch(t, []string{"out_trade_no", "state", "amount_fen", "currency", "description", "client", "created_at", "expires_at", "late", "payable"}, names)
	require.Equal(t, true, shown["payable"])

	b.payAt("T00000001")
	b.check("T00000001")
	_, body = b.askAs(openid, b.service.WeChatOrder, "T00000001")
	o := ofBuyer(t, body)
	require.Equal(t, "paid", o.State)
	require.NotNil(t, o.PaidAt)
	require.False(t, o.Payable)
	require.NotContains(t, string(body), "transaction_id")
}

func TestWeChat_an_order_of_somebody_else_is_not_there(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	for name, serve := range map[string]func(context.Context, []byte) ([]byte, error){
		"order": b.service.WeChatOrder, "check": b.service.WeChatCheck, "pay": b.service.WeChatPay,
	} {
		foreign, said := b.askAs("oSomebodyElse", serve, "T00000001")
		require.Equal(t, http.StatusNotFound, foreign, name)
		unknown, told := b.askAs(openid, serve, "T00000001x")
		require.Equal(t, foreign, unknown, name)
		require.Equal(t, string(told), strings.ReplaceAll(string(said), "T00000001", "T00000001x"), "the two are told alike")
		status, _ := b.askAs(openid, serve, "no")
		require.Equal(t, http.StatusNotFound, status, name)
		status, body := b.askAs("", serve, "T00000001")
		require.Equal(t, http.StatusUnauthorized, status, name)
		require.Equal(t, "FEN-2014", ofBuyer(t, body).Code)
		answer, err := serve(t.Context(), []byte("{"))
		require.NoError(t, err)
		status, _ = unwrap(t, answer)
		require.Equal(t, http.StatusBadRequest, status, name)
	}
	require.Zero(t, b.wire.count("query"), "nobody was asked for somebody else")
	require.Equal(t, 1, b.wire.count("prepay"))
}

func TestWeChatCheck_asks_WeChat_Pay_and_believes_nobody_else(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	status, body := b.askAs(openid, b.service.WeChatCheck, "T00000001", "state", "paid", "result", "get_brand_wcpay_request:ok")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "awaiting_payment", ofBuyer(t, body).State, "what a page says proves nothing")
	b.payAt("T00000001")
	b.clock.Advance(10 * time.Minute) // answers are stamped with the real time
	status, body = b.askAs(openid, b.service.WeChatCheck, "T00000001")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "paid", ofBuyer(t, body).State)
	require.Equal(t, 2, b.wire.count("query"))
}
