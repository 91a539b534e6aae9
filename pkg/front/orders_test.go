package front_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/front"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/session"
)

func TestOrders_are_asked_about_in_the_name_of_the_session_alone(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ method, path, body, question string }{
		{"GET", "/wx/orders/order-0001", "", `fenflow.wechat.order {"session":"%","out_trade_no":"order-0001"}`},
		{"GET", "/wx/orders/a%7Cb%2Ac-_", "", `fenflow.wechat.order {"session":"%","out_trade_no":"a|b*c-_"}`},
		{"POST", "/wx/orders/order-0001/check", "", `fenflow.wechat.check {"session":"%","out_trade_no":"order-0001"}`},
		{"POST", "/wx/orders/order-0001/check", "{}", `fenflow.wechat.check {"session":"%","out_trade_no":"order-0001"}`},
		{"POST", "/wx/orders/a|b*c-_/pay", "", `fenflow.wechat.pay {"session":"%","out_trade_no":"a|b*c-_"}`},
		{"POST", "/wx/orders/order-0001/pay", "{}", `fenflow.wechat.pay {"session":"%","out_trade_no":"order-0001"}`},
		{"POST", "/wx/orders/order-0001/pay", `{"redirect_url":"https://www.example.com/done"}`, `fenflow.wechat.pay {"session":"%","out_trade_no":"order-0001","redirect_url":"https://www.example.com/done"}`},
	} {
		d := open(t)
		d.worker.answer = says(`{"status":200,"body":{"state":"paid"}}`)
		token := d.sessionOf(shopMch, mini)
		answer := d.send(row.method, row.path, row.body, "Authorization", "Bearer "+token)
		require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
		require.JSONEq(t, `{"state":"paid"}`, answer.body)
		require.Equal(t, []string{strings.Replace(row.question, "%", token, 1)}, d.worker.questions())
		require.Contains(t, d.log.String(), string(account))
		require.NotContains(t, d.log.String(), "oUpF8uMuAJO", "openids are personal")
	}
}

func TestOrders_pass_on_what_the_worker_says_of_a_foreign_one(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.worker.answer = refuses(problem.NotFound, "there is no such order")
	for _, r := range [][2]string{{"GET", ""}, {"POST", "/check"}, {"POST", "/pay"}} {
		answer := d.send(r[0], "/wx/orders/order-0001"+r[1], "", "Authorization", "Bearer "+d.sessionOf(shopMch, mini))
		require.Equal(t, http.StatusNotFound, answer.StatusCode)
		require.Equal(t, problem.NotFound.Code(), answer.problem(t).Code)
	}
}

func TestOrders_refuse_sessions_that_are_not_good_here(t *testing.T) {
	t.Parallel()
	d := open(t)
	good := d.sessionOf(shopMch, mini)
	stranger := open(t).sessionOf(shopMch, mini)
	for what, row := range map[string]struct{ authorization, reason string }{
		"nothing":              {"", "missing"},
		"another scheme":       {"Basic " + good, "missing"},
		"no token":             {"Bearer ", "missing"},
		"rubbish":              {"Bearer x", string(session.Malformed)},
		"tampered":             {"Bearer " + good[:len(good)-4] + "AAAA", string(session.Signature)},
		"too long":             {"Bearer " + strings.Repeat("a", 3000), string(session.TooLong)},
		"another house's key":  {"Bearer " + stranger, string(session.UnknownKey)},
		"a merchant no more":   {"Bearer " + d.sessionOf("1900000111", mini), "not_configured"},
		"an app no more":       {"Bearer " + d.sessionOf(shopMch, "wx0000000000000000"), "not_configured"},
		"an app of another":    {"Bearer " + d.sessionOf(otherMch, mini), "not_configured"},
		"an API key of a shop": {"Bearer fk_0123456789012345678901234567890123456789012", string(session.Malformed)},
	} {
		answer := d.send(http.MethodGet, "/wx/orders/order-0001", "", "Authorization", row.authorization)
		require.Equal(t, http.StatusUnauthorized, answer.StatusCode, what)
		p := answer.problem(t)
		require.Equal(t, problem.SessionRejected.Code(), p.Code, what)
		require.Equal(t, "session refused: "+row.reason, p.Detail, what)
		require.Contains(t, answer.Header.Get("WWW-Authenticate"), "Bearer")
	}
	twice := d.send(http.MethodGet, "/wx/orders/order-0001", "", "Authorization", "Bearer "+good, "Authorization", "Bearer "+good)
	require.Equal(t, http.StatusUnauthorized, twice.StatusCode)
	d.clock = d.clock.Add(2 * time.Hour)
	require.Contains(t, d.send(http.MethodGet, "/wx/orders/order-0001", "", "Authorization", "Bearer "+good).body, "expired")
	require.Empty(t, d.worker.questions())
}

func TestOrders_end_with_the_app_that_the_buyer_logged_in_at(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.worker.answer = says(`{"status":200,"body":{}}`)
	token := d.sessionOf(shopMch, mini)
	require.Equal(t, http.StatusOK, d.send(http.MethodGet, "/wx/orders/order-0001", "", "Authorization", "Bearer "+token).StatusCode)
	changed, err := merchant.NewDirectory([]merchant.Merchant{{MchID: shopMch, Apps: []merchant.App{{AppID: official}}}})
	require.NoError(t, err)
	d.settings.Directory = changed
	require.Equal(t, http.StatusUnauthorized, d.send(http.MethodGet, "/wx/orders/order-0001", "", "Authorization", "Bearer "+token).StatusCode)
}

func TestOrders_take_odd_numbers_and_bodies_for_what_they_are(t *testing.T) {
	t.Parallel()
	d := open(t)
	token := d.sessionOf(shopMch, mini)
	for _, row := range []struct {
		method, path, body string
		kind               problem.Kind
	}{
		{"GET", "/wx/orders/x", "", problem.NotFound},
		{"GET", "/wx/orders/order@0001", "", problem.NotFound},
		{"GET", "/wx/orders/%ff%fe%00aaaaaa", "", problem.NotFound},
		{"GET", "/wx/orders/", "", problem.NotFound},
		{"GET", "/wx/orders/..%2f..%2fv1%2forders", "", problem.NotFound},
		{"POST", "/wx/orders/order-0001/check", `{"force":true}`, problem.Invalid},
		{"POST", "/wx/orders/order-0001/pay", `{"amount_fen":1}`, problem.Invalid},
		{"POST", "/wx/orders/order-0001/pay", `[]`, problem.Malformed},
		{"POST", "/wx/orders/order-0001/pay", `{"redirect_url":"https://evil.example/"}`, problem.ReturnRefused},
		{"POST", "/wx/orders/order-0001/pay", `{"redirect_url":"https://other.example.com/"}`, problem.ReturnRefused},
		{"POST", "/wx/orders/order-0001/pay", `{"redirect_url":"` + strings.Repeat("a", 17<<10) + `"}`, problem.TooLarge},
	} {
		d.clock = d.clock.Add(time.Second)
		answer := d.send(row.method, row.path, row.body, "Authorization", "Bearer "+token)
		require.Equal(t, row.kind.Code(), answer.problem(t).Code, "%s %s", row.path, row.body)
	}
	form := d.send("POST", "/wx/orders/order-0001/pay", "redirect_url=x", "Content-Type", "text/plain", "Authorization", "Bearer "+token)
	require.Equal(t, problem.UnsupportedMedia.Code(), form.problem(t).Code)
	require.Empty(t, d.worker.questions())
}

func TestOrders_say_when_no_session_can_be_verified(t *testing.T) {
	t.Parallel()
	d := open(t, func(c *front.Config) { c.Sessions = keyless{} })
	answer := d.send(http.MethodGet, "/wx/orders/order-0001", "", "Authorization", "Bearer x.y.z")
	require.Equal(t, problem.NoSessionKeys.Code(), answer.problem(t).Code)
}

type keyless struct{}

func (keyless) Verify(string) (session.Claims, error) {
	return session.Claims{}, problem.New(problem.NoSessionKeys, "")
}
