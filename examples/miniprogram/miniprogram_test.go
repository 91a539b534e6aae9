// Package miniprogram_test runs the mini program's own JavaScript against the real
// routes, and looks at its files as the developer tools would.
package miniprogram_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/examples/internal/street"
)

// patience with a whole stack on a busy machine of two cores.
const patience = 60 * time.Second

func TestMain(m *testing.M) { street.Main(m) }

// One street for all of it: it takes longer to open than to walk through.
func TestMiniProgramAgainstRealRoutes(t *testing.T) {
	t.Parallel()
	s := street.Open(t)
	for name, walk := range map[string]func(*testing.T, street.Street){
		"a buyer orders and pays, and learns it by query": buyerPays,
		"a buyer cancels, and pays after all":             buyerCancels,
		"ok without money is not paid":                    okWithoutMoney,
		"a changed price gets the shop's":                 changedPrice,
		"a session that ran out is made anew, once":       sessionRunsOut,
		"a phone number is left":                          phoneNumber,
		"another's order is not to be seen":               foreignOrder,
		"an app that says errCode 0 finds no ear":         appSaysPaid,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			walk(t, s)
		})
	}
}

func buyerPays(t *testing.T, s street.Street) {
	t.Helper()
	p := newPhone(t, s, "lilei")
	require.Equal(t, "1.00", p.data().Items[0].Price, "the shop says what it costs")
	p.do(`page.buy({ currentTarget: { dataset: { item: 'tea' } } })`)
	no := p.shows("paid")
	require.Equal(t, "paid", s.Order(t, no).State)
	require.True(t, s.PaidAtPlatform(t, no))
	logins, paid, asked := p.count()
	require.Equal(t, 1, logins)
	require.Len(t, paid, 1)
	require.Equal(t, []string{"nonceStr", "package", "paySign", "signType", "timeStamp"}, slices.Sorted(maps.Keys(paid[0])), "exactly what WeChat documents")
	require.Contains(t, asked, "POST /wx/orders/"+no+"/check", "the result is asked for")
	for _, path := range asked {
		require.NotContains(t, path, " /v1/", "the business API is the shop's alone")
	}
}

func buyerCancels(t *testing.T, s street.Street) {
	t.Helper()
	p := newPhone(t, s, "hanmeimei")
	p.decide(cancels)
	p.do(`page.buy({ currentTarget: { dataset: { item: 'cake' } } })`)
	no := p.shows("awaiting_payment")
	require.Contains(t, p.data().Note.Zh, "取消")
	require.True(t, p.data().Order.Payable)
	require.False(t, s.PaidAtPlatform(t, no))
	p.decide(pays)
	p.do(`page.payAgain()`)
	require.Equal(t, no, p.shows("paid"), "the same order")
}

// The client says "ok", and no money moved: the page asks, and shows what is true.
func okWithoutMoney(t *testing.T, s street.Street) {
	t.Helper()
	p := newPhone(t, s, "jim")
	p.decide(lies)
	p.do(`page.buy({ currentTarget: { dataset: { item: 'tea' } } })`)
	no := p.shows("awaiting_payment")
	p.do(`page.check()`)
	require.Equal(t, "Not paid yet", p.data().State.En)
	require.Equal(t, "awaiting_payment", s.Check(t, no).State)
	require.False(t, s.PaidAtPlatform(t, no))
}

// A page that names a price, an amount or another's openid is not listened to.
func changedPrice(t *testing.T, s street.Street) {
	t.Helper()
	session := logIn(t, s, "lucy")
	status, placed := s.Shop(t, session, map[string]any{
		"request_id": "cheap", "item": "pot", "client": "mini_program", "amount_fen": 1, "price": "0.01", "openid": "oSomebodyElse", "appid": street.App,
	})
	require.Equal(t, http.StatusCreated, status, placed)
	no, _ := placed["out_trade_no"].(string)
	require.EqualValues(t, 2500, s.Order(t, no).AmountFen)
	status, again := s.Shop(t, session, map[string]any{"request_id": "cheap", "item": "pot", "client": "mini_program"})
	require.Equal(t, []any{http.StatusCreated, no}, []any{status, again["out_trade_no"]}, "a second tap is the same order")
}

func sessionRunsOut(t *testing.T, s street.Street) {
	t.Helper()
	p := newPhone(t, s, "lilei")
	p.decide(cancels)
	p.do(`page.buy({ currentTarget: { dataset: { item: 'tea' } } })`)
	p.shows("awaiting_payment")
	p.do(`page.onUnload()`) // it no longer asks by itself
	before, _, _ := p.count()
	p.spoilSessions(1)
	p.do(`page.check()`)
	after, _, _ := p.count()
	require.Equal(t, before+1, after)
	require.False(t, p.data().Note.Bad, p.data().Note.Zh)

	p.spoilSessions(100)
	p.do(`page.check()`)
	last, _, _ := p.count()
	require.Equal(t, after+1, last, "no loop of logins")
	require.True(t, p.data().Note.Bad)
}

func phoneNumber(t *testing.T, s street.Street) {
	t.Helper()
	p := newPhone(t, s, "hanmeimei")
	p.do(`page.leavePhone({ detail: { errMsg: 'getPhoneNumber:fail user deny' } })`)
	require.False(t, p.data().Phone)
	p.do(`page.leavePhone({ detail: { code: '` + s.Code(t, street.MiniProgram, "hanmeimei", "phone") + `' } })`)
	require.True(t, p.data().Phone, p.data().Note.Zh)
}

func foreignOrder(t *testing.T, s street.Street) {
	t.Helper()
	_, placed := s.Shop(t, logIn(t, s, "lucy"), map[string]any{"request_id": "mine", "item": "tea", "client": "mini_program"})
	no, _ := placed["out_trade_no"].(string)
	require.NotEmpty(t, no)
	other := logIn(t, s, "jim")
	_, unknown := s.Front(t, http.MethodGet, "/wx/orders/S0000000000000000", other, nil)
	for _, act := range [][2]string{{http.MethodGet, ""}, {http.MethodPost, "/check"}, {http.MethodPost, "/pay"}} {
		status, answer := s.Front(t, act[0], "/wx/orders/"+no+act[1], other, map[string]any{})
		require.Equal(t, http.StatusNotFound, status, answer)
		require.Equal(t, unknown["code"], answer["code"], "as if it did not exist")
	}
}

// An app's OpenSDK answers errCode 0; nothing of fenflow listens to that, and the
// books stay as they were.
func appSaysPaid(t *testing.T, s street.Street) {
	t.Helper()
	status, login := s.Front(t, http.MethodPost, "/wx/login/"+street.App, "", map[string]any{"code": s.Code(t, street.App, "lilei", "app")})
	require.Equal(t, http.StatusOK, status, login)
	session, _ := login["session"].(string)
	_, placed := s.Shop(t, session, map[string]any{"request_id": "app", "item": "tea", "client": "app"})
	no, _ := placed["out_trade_no"].(string)
	require.NotEmpty(t, no, placed)
	status, made := s.Front(t, http.MethodPost, "/wx/orders/"+no+"/pay", session, map[string]any{})
	require.Equal(t, http.StatusOK, status, made)
	for _, path := range []string{"", "/paid", "/result", "/check", "/pay"} {
		s.Front(t, http.MethodPost, "/wx/orders/"+no+path, session, map[string]any{"errCode": 0, "state": "paid"})
	}
	require.Equal(t, "awaiting_payment", s.Check(t, no).State)
	require.False(t, s.PaidAtPlatform(t, no))

	answer := s.Pay(t, "lilei", "app", made["app"])
	require.InDelta(t, 0, answer["errCode"], 0, answer)
	require.Eventually(t, func() bool { return s.Order(t, no).State == "paid" }, patience, 50*time.Millisecond, "once money moved")
}

func logIn(t *testing.T, s street.Street, user string) string {
	t.Helper()
	status, login := s.Front(t, http.MethodPost, "/wx/login/"+street.MiniProgram, "", map[string]any{"code": s.Code(t, street.MiniProgram, user, "mini")})
	require.Equal(t, http.StatusOK, status, login)
	require.NotContains(t, login, "session_key")
	session, _ := login["session"].(string)
	require.NotEmpty(t, session)
	return session
}

// The developer tools open a project only when its parts fit together.
func TestProject_is_complete(t *testing.T) {
	t.Parallel()
	var app struct {
		Pages           []string `json:"pages"`
		SitemapLocation string   `json:"sitemapLocation"`
	}
	parse(t, "app.json", &app)
	parse(t, app.SitemapLocation, &map[string]any{})
	var project map[string]any
	parse(t, "project.config.json", &project)
	require.Equal(t, street.MiniProgram, project["appid"])
	require.NotEmpty(t, app.Pages)
	for _, page := range app.Pages {
		for _, ending := range []string{".js", ".json", ".wxml", ".wxss"} {
			require.FileExists(t, page+ending)
		}
		script, markup := read(t, page+".js"), read(t, page+".wxml")
		for _, bound := range regexp.MustCompile(`bind\w+="(\w+)"`).FindAllStringSubmatch(markup, -1) {
			require.Regexp(t, `(?m)^  (async )?`+bound[1]+`\(`, script, "the page has what a tap calls")
		}
	}
	for _, file := range []string{"app.js", "config.js", "utils/api.js", "pages/index/index.js"} {
		text := strings.ToLower(read(t, file))
		require.NotContains(t, text, "secret:", file)
		require.NotContains(t, text, "/v1/", file)
	}
}

func parse(t *testing.T, file string, into any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(read(t, file)), into), file)
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(raw)
}
