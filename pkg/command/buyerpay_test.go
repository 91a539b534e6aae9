package command_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// paidWith is what a buyer's client is handed.
type paidWith struct {
	Client         string            `json:"client"`
	JSBridge       map[string]string `json:"wei_xin_js_bridge"`
	ChooseWXPay    map[string]string `json:"choose_wx_pay"`
	RequestPayment map[string]string `json:"request_payment"`
	App            map[string]string `json:"app"`
	H5             map[string]string `json:"h5"`
	Native         map[string]string `json:"native"`
	Code           string            `json:"code"`
	Detail         string            `json:"detail"`
}

// with is what one client takes, whichever that is.
func (p paidWith) with() string {
	return p.JSBridge["package"] + p.RequestPayment["package"] + p.App["prepayid"] + p.H5["url"] + p.Native["code_url"]
}

func (b *bundle) payParams(no string, more ...string) (int, paidWith) {
	b.t.Helper()
	status, body := b.askAs(openid, b.service.WeChatPay, no, more...)
	var p paidWith
	require.NoError(b.t, json.Unmarshal(body, &p), string(body))
	return status, p
}

// runOut ends the life of an order's credential.
func (b *bundle) runOut(no string) {
	b.t.Helper()
	_, err := b.db.ExecContext(b.t.Context(), `UPDATE orders SET credential_expires_at = now() WHERE out_trade_no = $1`, no)
	require.NoError(b.t, err)
}

// placed is an order of each client.
func placed(client pay.Client) func(fields) {
	return func(f fields) {
		f["client"] = string(client)
		if client.NamesPayer() {
			return
		}
		delete(f, "openid")
		f["account_id"] = buyerAccount
		if client == pay.ClientH5 {
			f["payer_client_ip"], f["h5_type"] = "203.0.113.7", "Wap"
		}
	}
}

func TestWeChatPay_makes_a_credential_that_ran_out_anew_with_the_same_bytes(t *testing.T) {
	t.Parallel()
	for _, protocol := range []pay.Protocol{pay.ProtocolV3, pay.ProtocolV2} {
		for _, client := range pay.Clients() {
			t.Run(string(protocol)+" "+string(client), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				if protocol == pay.ProtocolV2 {
					b.speaksV2("HMAC-SHA256")
				}
				result, _ := b.execute(b.create("T00000001", placed(client), func(f fields) {
					f["time_expire"] = b.clock.Now().Add(24 * time.Hour).Truncate(time.Second).Format(time.RFC3339)
				}))
				require.Equal(t, http.StatusCreated, result.Status, string(result.Body))
				status, first := b.payParams("T00000001")
				require.Equal(t, http.StatusOK, status, first.Detail)
				require.Equal(t, string(client), first.Client)
				require.NotEmpty(t, first.with())
				require.Len(t, b.wire.prepays(), 1, "a live one is signed, and nobody is called")

				margin := 5 * time.Minute
				if client == pay.ClientH5 {
					margin = time.Minute
				}
				before := b.order("T00000001")
				b.clock.Advance(before.Credential.ExpiresAt.Sub(b.clock.Now()) - margin + time.Second)
				status, second := b.payParams("T00000001")
				require.Equal(t, http.StatusOK, status, second.Detail)
				require.NotEqual(t, first.with(), second.with())
				require.Equal(t, [][]byte{before.PrepayRequest, before.PrepayRequest}, b.wire.prepays())
				after := b.order("T00000001")
				require.NotEqual(t, before.Credential, after.Credential)
				require.Equal(t, before.PrepayRequest, after.PrepayRequest)
				require.Equal(t, 1, b.count(`SELECT count(*) FROM history WHERE what = 'renewed'`))
			})
		}
	}
}

func TestWeChatPay_twenty_pages_at_once_cause_one_prepay_call(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.runOut("T00000001")
	packages := make(chan string, 20)
	var wg sync.WaitGroup
	for range cap(packages) {
		wg.Go(func() {
			status, p := b.payParams("T00000001")
			if status == http.StatusOK {
				packages <- p.with()
			}
		})
	}
	wg.Wait()
	require.Len(t, b.wire.prepays(), 2, "the first, and one for all of them")
	require.Len(t, packages, cap(packages), "and each is handed it")
	want := "prepay_id=" + b.order("T00000001").Credential.PrepayID
	for range cap(packages) {
		require.Equal(t, want, <-packages)
	}
}

func TestWeChatPay_a_page_that_keeps_asking_does_not_keep_WeChat_Pay_busy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.runOut("T00000001")
	b.wire.fails(answers(401, "SIGN_ERROR"))
	for range 5 {
		status, p := b.payParams("T00000001")
		require.Equal(t, http.StatusServiceUnavailable, status)
		require.Equal(t, "FEN-4004", p.Code)
	}
	require.Len(t, b.wire.prepays(), 2)
	b.clock.Advance(time.Second)
	status, _ := b.payParams("T00000001")
	require.Equal(t, http.StatusOK, status, "a moment later it is tried again")
	require.Len(t, b.wire.prepays(), 3)
	require.Zero(t, b.wire.count("query"), "nor is the budget of questions touched")
}

func TestWeChatPay_what_hangs_is_not_waited_for_long(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.runOut("T00000001")
	var err error
	b.directory.client, err = wechatpay.NewClient(b.directory.credentials, wechatpay.ClientOptions{BaseURL: b.address, Timeout: time.Minute})
	require.NoError(t, err)
	b.wire.fails(hangs)
	began := time.Now()
	status, _ := b.payParams("T00000001")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Less(t, time.Since(began), 30*time.Second, "not as long as the call itself may take")
	require.Equal(t, pay.OrderAwaitingPayment, b.order("T00000001").State)
}

func TestWeChatPay_says_why_an_order_cannot_be_paid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T-paid-01")
	b.execute(b.create("T-closed-1"))
	b.execute(b.shut("T-closed-1"))
	b.wire.fails(answers(400, "PARAM_ERROR"))
	b.execute(b.create("T-failed-1"))
	b.wire.fails(answers(500, "SYSTEM_ERROR"), answers(500, "SYSTEM_ERROR"), answers(500, "SYSTEM_ERROR"))
	b.execute(b.create("T-created1"))
	b.execute(b.create("T-ran-out1", func(f fields) {
		f["time_expire"] = b.clock.Now().Add(90 * time.Second).Truncate(time.Second).Format(time.RFC3339)
	}))
	b.clock.Advance(2 * time.Minute)
	calls := len(b.wire.prepays())
	for no, code := range map[string]string{
		"T-paid-01": "FEN-4040", "T-closed-1": "FEN-4041", "T-failed-1": "FEN-4041", "T-ran-out1": "FEN-4042", "T-created1": "FEN-4043",
	} {
		status, p := b.payParams(no)
		require.Equal(t, http.StatusConflict, status, no)
		require.Equal(t, code, p.Code, no)
		require.Empty(t, p.with())
		_, body := b.askAs(openid, b.service.WeChatOrder, no)
		require.False(t, ofBuyer(t, body).Payable, no)
	}
	require.Len(t, b.wire.prepays(), calls)
}

func TestWeChatPay_learns_of_a_payment_where_the_order_was_paid_meanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.payAt("T00000001")
	b.runOut("T00000001")
	status, p := b.payParams("T00000001")
	require.Equal(t, http.StatusConflict, status)
	require.Equal(t, "FEN-4040", p.Code)
	require.Equal(t, pay.OrderPaid, b.order("T00000001").State)
}

func TestWeChatPay_leads_back_to_the_apps_own_pages_only(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001", placed(pay.ClientH5)))
	status, p := b.payParams("T00000001", "redirect_url", "https://shop.example.com/buy/done?no=1")
	require.Equal(t, http.StatusOK, status, p.Detail)
	require.Equal(t, b.order("T00000001").Credential.H5URL+"&redirect_url=https%3A%2F%2Fshop.example.com%2Fbuy%2Fdone%3Fno%3D1", p.H5["url"])
	for _, page := range []string{"https://evil.example.com/buy/", "https://shop.example.com/buyers", "https://shop.example.com/buy/../x", "javascript:alert(1)"} {
		status, p = b.payParams("T00000001", "redirect_url", page)
		require.Equal(t, http.StatusUnprocessableEntity, status, page)
		require.Equal(t, "FEN-2011", p.Code)
	}
	b.execute(b.create("T00000002"))
	status, p = b.payParams("T00000002", "redirect_url", "https://shop.example.com/buy/")
	require.Equal(t, http.StatusUnprocessableEntity, status)
	require.Equal(t, "FEN-3001", p.Code)
}

func TestCreate_an_h5_order_is_answered_with_its_shape_and_renewed_in_time(t *testing.T) {
	t.Parallel()
	b := setup(t)
	result, _ := b.execute(b.create("T00000001", placed(pay.ClientH5)))
	var r struct {
		Pay paidWith `json:"pay"`
	}
	require.NoError(t, json.Unmarshal(result.Body, &r))
	require.True(t, strings.HasPrefix(r.Pay.H5["url"], "http"), string(result.Body))
	b.clock.Advance(3 * time.Minute)
	b.execute(b.create("T00000001", placed(pay.ClientH5)))
	require.Len(t, b.wire.prepays(), 1, "two minutes are enough")
	b.clock.Advance(90 * time.Second)
	result, _ = b.execute(b.create("T00000001", placed(pay.ClientH5)))
	require.Equal(t, http.StatusOK, result.Status)
	require.Len(t, b.wire.prepays(), 2)
}

func TestCreate_refuses_an_address_that_is_not_the_buyers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, change := range []func(fields){
		func(f fields) { f["payer_client_ip"] = "127.0.0.1" },
		func(f fields) { f["payer_client_ip"] = "::" },
		func(f fields) { delete(f, "payer_client_ip") },
		func(f fields) { f["h5_type"] = "ios" },
		func(f fields) { f["client"] = "native" },
		func(f fields) { f["account_id"] = "me" },
		func(f fields) { f["openid"] = openid },
	} {
		result, _ := b.execute(b.create("T00000001", placed(pay.ClientH5), change))
		require.Equal(t, http.StatusUnprocessableEntity, result.Status, string(result.Body))
	}
	b.speaksV2("MD5")
	result, _ := b.execute(b.create("T00000001", placed(pay.ClientH5), func(f fields) { f["app_name"], f["app_url"] = strings.Repeat("x", 64), strings.Repeat("y", 180) }))
	require.Equal(t, http.StatusUnprocessableEntity, result.Status, string(result.Body))
	require.Contains(t, string(result.Body), "protocol v2 takes 256")
	require.Empty(t, b.wire.prepays())
}
