// Package h5_test has people buy tea on the H5 page, inside WeChat and outside, in
// a real browser against the whole of fenflow.
package h5_test

import (
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/examples/internal/street"
)

func TestMain(m *testing.M) { street.Main(m) }

// One street and one browser for all of it: both take longer to open than to use.
func TestBuyerPaysInBrowser(t *testing.T) {
	t.Parallel()
	s := street.Open(t)
	b := newBrowser(t)
	for _, walk := range []struct {
		name string
		do   func(*phone, street.Street)
	}{
		{"inside WeChat, through the bridge", paysThroughBridge},
		{"inside WeChat, through wx.chooseWXPay", paysThroughSDK},
		{"who cancels pays later", cancelsAndPaysLater},
		{"ok without money is not paid", okWithoutMoney},
		{"a changed price gets the shop's", changedPrice},
		{"a passed on address logs nobody in", passedOnAddress},
		{"a session that ran out is made anew", sessionRunsOut},
		{"a session that is never taken is told of", sessionIsNeverTaken},
		{"outside WeChat, by QR code", paysByQRCode},
		{"outside WeChat, by H5", paysByH5},
	} {
		t.Run(walk.name, func(t *testing.T) {
			t.Parallel()
			p := b.phone(t)
			walk.do(p, s)
			p.wellBehaved()
		})
	}
}

// enter opens the shop as somebody inside WeChat: the login happens by itself.
func (p *phone) enter(s street.Street, user string) {
	p.t.Helper()
	p.open(s.SimulatorURL() + "/weixin/inside?" + url.Values{"url": {s.ShopURL() + "/"}}.Encode())
	p.tap(`button[name="user"][value=` + quoted(user) + `]`)
	p.sees(`document.getElementById("counter")?.checkVisibility()`)
}

// order is the number of the order that the page shows in this state.
func (p *phone) order(state string) string {
	p.t.Helper()
	p.sees(`document.getElementById("state")?.dataset.state === ` + quoted(state))
	return ask[string](p, `document.getElementById("number").textContent`)
}

func paysThroughBridge(p *phone, s street.Street) {
	t := p.t
	p.enter(s, "lilei")
	require.Equal(t, s.ShopURL()+"/", ask[string](p, `location.href`), "no ticket stays in the address")
	p.sees(`wx.standIn.shared.updateAppMessageShareData && wx.standIn.shared.updateTimelineShareData`)
	require.Equal(t, s.ShopURL()+"/", ask[string](p, `wx.standIn.shared.updateAppMessageShareData.link`))
	p.looks("counter")
	p.tap("#buy-tea")
	p.sees(`document.querySelector("#weixin-cashier")`)
	p.keep("cashier")
	p.cashier("pay")
	no := p.order("paid")
	p.looks("paid")
	require.Equal(t, "paid", s.Order(t, no).State)
	require.EqualValues(t, 100, s.Order(t, no).AmountFen)
	require.True(t, s.PaidAtPlatform(t, no))
	require.Equal(t, "polite", ask[string](p, `document.getElementById("state").getAttribute("aria-live")`))

	var checked bool
	for _, address := range p.asked() {
		u, err := url.Parse(address)
		require.NoError(t, err)
		require.NotContains(t, u.Path, "/v1/", "the business API is the shop's alone")
		require.Contains(t, []string{s.ShopURL(), s.FrontURL(), s.SimulatorURL()}, u.Scheme+"://"+u.Host, "the page asks nobody else")
		checked = checked || strings.HasSuffix(u.Path, "/wx/orders/"+no+"/check")
	}
	require.True(t, checked, "the result is asked for")
}

func paysThroughSDK(p *phone, s street.Street) {
	p.enter(s, "hanmeimei")
	p.tap(`input[value="sdk"]`)
	p.tap("#buy-cake")
	p.cashier("pay")
	no := p.order("paid")
	require.Equal(p.t, "paid", s.Order(p.t, no).State)
	p.tap("#back")
	p.sees(`document.getElementById("counter").checkVisibility()`)
}

func cancelsAndPaysLater(p *phone, s street.Street) {
	p.enter(s, "jim")
	p.tap("#buy-tea")
	p.cashier("cancel")
	no := p.order("awaiting_payment")
	p.sees(`document.getElementById("say").textContent.includes("取消")`)
	p.keep("cancelled")
	p.open(s.ShopURL() + "/") // entered again: the order is still there
	require.Equal(p.t, no, p.order("awaiting_payment"))
	p.tap("#pay")
	p.cashier("pay")
	require.Equal(p.t, no, p.order("paid"))
}

// The client says "ok", and no money moved: the page asks, and shows what is true.
func okWithoutMoney(p *phone, s street.Street) {
	p.enter(s, "lucy")
	for _, way := range []string{"bridge", "sdk"} {
		p.tap(`input[value=` + quoted(way) + `]`)
		p.tap("#buy-tea")
		p.cashier("lie")
		no := p.order("awaiting_payment")
		p.sees(`performance.getEntriesByType("resource").some(e => e.name.endsWith("/wx/orders/` + no + `/check") && e.responseEnd)`)
		require.Equal(p.t, "awaiting_payment", s.Check(p.t, no).State)
		require.False(p.t, s.PaidAtPlatform(p.t, no))
		require.Equal(p.t, no, p.order("awaiting_payment"))
		require.NotContains(p.t, ask[string](p, `document.querySelector("main").innerText`), "已付款，谢谢")
		p.sees(`document.getElementById("say").textContent.includes("尚未确认")`) // long before it gives up asking
		p.keep("ok-without-money-" + way)
		p.tap("#back")
	}
}

func changedPrice(p *phone, s street.Street) {
	p.enter(s, "lucy")
	placed := ask[map[string]any](p, `fetchJSON("POST", "shop/orders", door.session, {request_id: "cheap", item: "pot", client: "jsapi", amount_fen: 1, price: "0.01"})`)
	no, _ := placed["out_trade_no"].(string)
	require.NotEmpty(p.t, no)
	require.EqualValues(p.t, 2500, s.Order(p.t, no).AmountFen)
}

// A page's address is easily passed on. With a ticket in it, it is still good for
// nobody but the phone that asked for it.
func passedOnAddress(p *phone, s street.Street) {
	p.enter(s, "lilei")
	var ticket string
	for _, address := range p.asked() {
		if u, err := url.Parse(address); err == nil && u.Query().Get("ticket") != "" {
			ticket = u.Query().Get("ticket")
		}
	}
	require.NotEmpty(p.t, ticket)
	status, answer := s.Front(p.t, http.MethodPost, "/wx/login/"+street.OfficialAccount, "", map[string]any{"ticket": ticket, "verifier": strings.Repeat("a", 43)})
	require.GreaterOrEqual(p.t, status, http.StatusBadRequest, answer)
	require.NotContains(p.t, answer, "session")
}

func sessionRunsOut(p *phone, s street.Street) {
	p.enter(s, "hanmeimei")
	ask[bool](p, `(sessionStorage.setItem("session", sessionStorage.getItem("session").slice(0, -8) + "AAAAAAAA"), sessionStorage.removeItem("tried"), true)`)
	p.open(s.ShopURL() + "/")
	p.tap("#buy-tea") // is refused, and leads through a login that nobody notices
	p.sees(`document.getElementById("counter")?.checkVisibility() && door && door.session && !door.session.endsWith("AAAAAAAA")`)
	p.tap("#buy-tea")
	p.cashier("pay")
	p.order("paid")
}

// scan logs in on a desktop: the code is scanned with somebody's phone.
func (p *phone) scan(s street.Street, user string) {
	p.t.Helper()
	p.open(s.ShopURL() + "/")
	p.sees(`document.getElementById("door")?.checkVisibility()`)
	p.keep("outside")
	p.tap("#login")
	p.tap(`button[name="user"][value=` + quoted(user) + `]`)
	p.sees(`document.getElementById("counter")?.checkVisibility()`)
}

// A session that fails at once again, because of a wrong key say, is told of: there is
// no login after login in secret.
func sessionIsNeverTaken(p *phone, s street.Street) {
	p.enter(s, "jim")
	ask[bool](p, `(door.session = "nobody.takes.this", true)`)
	p.tap("#buy-tea")
	p.sees(`document.getElementById("say").textContent.includes("请重新登录")`)
	require.False(p.t, ask[bool](p, `document.getElementById("outside").checkVisibility()`), "nobody in WeChat is told to open WeChat")
	p.keep("log-in-again")
}

func paysByQRCode(p *phone, s street.Street) {
	p.scan(s, "hanmeimei")
	p.tap(`input[value="native"]`)
	p.tap("#buy-pot")
	p.sees(`document.getElementById("qr").naturalWidth > 100`)
	no := p.order("awaiting_payment")
	p.looks("qr")
	p.pays(s, no)
	require.Equal(p.t, no, p.order("paid"))
	require.False(p.t, ask[bool](p, `document.getElementById("code").checkVisibility()`), "what is paid is not scanned again")
}

// paysByH5 leaves for the WeChat app and comes back by redirect_url, once without
// having paid: coming back says nothing.
func paysByH5(p *phone, s street.Street) {
	p.scan(s, "jim")
	p.tap(`input[value="h5"]`)
	p.tap("#buy-tea")
	p.sees(`location.href.startsWith(` + quoted(s.SimulatorURL()) + `)`)
	var back string
	for _, address := range p.asked() {
		if u, err := url.Parse(address); err == nil && u.Query().Get("redirect_url") != "" {
			back = u.Query().Get("redirect_url")
		}
	}
	require.True(p.t, strings.HasPrefix(back, s.ShopURL()+"/?order="), back)
	p.open(back)
	no := p.order("awaiting_payment")
	require.Equal(p.t, "awaiting_payment", s.Check(p.t, no).State)
	require.False(p.t, s.PaidAtPlatform(p.t, no))
	p.keep("back-without-paying")
	p.pays(s, no)
	p.tap("#check")
	p.order("paid")
}

// pays: the person pays in WeChat, wherever that is.
func (p *phone) pays(s street.Street, no string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, s.SimulatorURL()+"/control/orders/"+no+"/pay", strings.NewReader("{}"))
	require.NoError(p.t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	require.NoError(p.t, resp.Body.Close())
	require.Equal(p.t, http.StatusOK, resp.StatusCode)
}

func quoted(text string) string { return strconv.Quote(text) }

// A page under a strict Content-Security-Policy runs no script of its own, and holds
// no secret.
func TestPage_has_no_inline_script(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("index.html")
	require.NoError(t, err)
	page := string(raw)
	require.NotContains(t, page, "<style")
	require.NotRegexp(t, ` on\w+=`, page)
	for _, part := range strings.Split(page, "<script")[1:] {
		require.Regexp(t, `^ src="[\w.]+" defer></script>`, part)
	}
	for _, file := range []string{"app.js", "front.js"} {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, word := range []string{"innerHTML", "eval(", "/v1/", "localStorage"} {
			require.NotContains(t, string(raw), word, file)
		}
	}
}
