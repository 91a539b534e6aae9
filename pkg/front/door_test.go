package front_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/problem"
)

// theRoutes are the addresses of the front door, with what each takes.
func theRoutes() map[string][]string {
	read := []string{"GET", "HEAD"}
	return map[string][]string{
		"/wx/oauth/{appid}/start": read, "/wx/oauth/{appid}/callback": {"GET"}, "/wx/login/{appid}": {"POST"}, "/wx/jsconfig/{appid}": read,
		"/wx/orders/{out_trade_no}": read, "/wx/orders/{out_trade_no}/check": {"POST"}, "/wx/orders/{out_trade_no}/pay": {"POST"},
		"/wx/message/{appid}": {"GET", "POST"}, "/MP_verify_{key}.txt": read,
	}
}

func pathOf(route string) string {
	return strings.NewReplacer("{appid}", official, "{out_trade_no}", "order-0001", "/MP_verify_{key}.txt", "/"+verifyTxt).Replace(route)
}

// Every address, by every method: what needs a session is refused without one,
// and nobody is asked.
func TestDoor_every_address_takes_its_methods_and_asks_for_a_session_where_one_is_needed(t *testing.T) {
	t.Parallel()
	d := open(t)
	for route, takes := range theRoutes() {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE", "PURGE"} {
			d.clock = d.clock.Add(time.Minute)
			answer := d.send(method, pathOf(route), "", "Authorization", "", "Accept", "application/json")
			switch {
			case !slices.Contains(takes, method):
				require.Equal(t, http.StatusMethodNotAllowed, answer.StatusCode, "%s %s", method, route)
				require.Equal(t, strings.Join(append(slices.Clone(takes), "OPTIONS"), ", "), answer.Header.Get("Allow"))
				require.Equal(t, problem.MethodNotAllowed.Code(), answer.problem(t).Code)
			case strings.HasPrefix(route, "/wx/orders/"):
				require.Equal(t, http.StatusUnauthorized, answer.StatusCode, "%s %s", method, route)
			}
			require.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
			require.Equal(t, "no-referrer", answer.Header.Get("Referrer-Policy"))
			require.Equal(t, "nosniff", answer.Header.Get("X-Content-Type-Options"))
		}
		answer := d.send(http.MethodOptions, pathOf(route), "")
		require.Equal(t, http.StatusNoContent, answer.StatusCode, route)
		require.Equal(t, strings.Join(append(slices.Clone(takes), "OPTIONS"), ", "), answer.Header.Get("Allow"))
	}
	for _, asked := range d.worker.questions() {
		require.Contains(t, asked, "fenflow.wechat.message ", "WeChat's own servers have no session")
	}
}

func TestDoor_has_nothing_else(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, path := range []string{"/", "/v1/orders", "/notify/v3/1900000109", "/wx", "/wx/", "/wx/oauth/" + official, "/metrics", "/livez", "/wx/orders/order-0001/refund", "/wx/orders/order-0001/", "/favicon.ico", "/robots.txt", "/../wx/login/" + mini, "//wx/login/" + mini} {
		answer := d.send(http.MethodPost, path, "{}")
		require.Equal(t, problem.NotFound.Code(), answer.problem(t).Code, path)
	}
}

func TestVerifyFile_is_served_at_the_root_for_names_that_are_listed(t *testing.T) {
	t.Parallel()
	d := open(t)
	answer := d.send(http.MethodGet, "/"+verifyTxt+"?x=1", "")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Equal(t, "AbCdEf123456", answer.body)
	require.Equal(t, "text/plain; charset=utf-8", answer.Header.Get("Content-Type"))
	require.Equal(t, http.StatusOK, d.send(http.MethodHead, "/"+verifyTxt, "").StatusCode)
	for _, path := range []string{
		"/MP_verify_other.txt", "/MP_verify_.txt", "/MP_verify_AbCdEf123456", "/MP_verify_AbCdEf123456.txt.txt", "/MP_verify_AbCdEf123456.html", "/mp_verify_AbCdEf123456.txt",
		"/MP_verify_AbCd.Ef123456.txt", "/x/MP_verify_AbCdEf123456.txt", "/MP_verify_AbCdEf123456.txt/", "/MP_verify_..%2f..%2fetc.txt", "/MP_verify_AbCdEf123456%00.txt", "/MP_verify_../MP_verify_AbCdEf123456.txt",
	} {
		require.Equal(t, problem.NotFound.Code(), d.send(http.MethodGet, path, "").problem(t).Code, path)
	}
	d.settings.VerifyFiles = []string{"MP_verify_other.txt"}
	require.Equal(t, http.StatusNotFound, d.send(http.MethodGet, "/"+verifyTxt, "").StatusCode)
	require.Equal(t, "other", d.send(http.MethodGet, "/MP_verify_other.txt", "").body)
}

func preflight(d *door, path, origin string) reply {
	return d.send(http.MethodOptions, path, "", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
}

func TestOrigins_of_the_shops_pages_may_read_answers_and_no_others(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.worker.answer = says(loggedIn)
	for _, path := range []string{"/wx/login/" + mini, "/wx/orders/order-0001/pay", "/wx/orders/order-0001"} {
		for _, origin := range []string{shopFrom, "https://m.example.com", "https://www.example.com", "https://other.example.com"} {
			answer := preflight(d, path, origin)
			require.Less(t, answer.StatusCode, 300, origin)
			require.Equal(t, origin, answer.Header.Get("Access-Control-Allow-Origin"))
			require.Contains(t, strings.ToLower(answer.Header.Get("Access-Control-Allow-Headers")), "authorization")
			require.Empty(t, answer.Header.Get("Access-Control-Allow-Credentials"), "no cookie goes along")
			require.Contains(t, strings.Join(answer.Header.Values("Vary"), ","), "Origin")
		}
		for _, origin := range []string{"https://evil.example", "http://shop.example.com", "https://shop.example.com:8443", "https://shop.example.com.evil.example", "null", "https://example.com", "http://m.example.com", "*", "https://shop.example.com/", "file://"} {
			require.Empty(t, preflight(d, path, origin).Header.Get("Access-Control-Allow-Origin"), origin)
		}
	}
	answer := d.send(http.MethodPost, "/wx/login/"+mini, `{"code":"`+code+`"}`, "Origin", shopFrom)
	require.Equal(t, shopFrom, answer.Header.Get("Access-Control-Allow-Origin"))
	answer = d.send(http.MethodPost, "/wx/login/"+mini, `{"code":1}`, "Origin", shopFrom)
	require.Equal(t, shopFrom, answer.Header.Get("Access-Control-Allow-Origin"), "a page reads its problems, too")
	answer = d.send(http.MethodPost, "/wx/login/"+mini, `{"code":"`+code+`"}`, "Origin", "https://evil.example")
	require.Empty(t, answer.Header.Get("Access-Control-Allow-Origin"))
	for _, path := range []string{startAt(official, shopPage), "/wx/message/" + official, "/" + verifyTxt} {
		require.Empty(t, d.send(http.MethodGet, path, "", "Origin", shopFrom).Header.Get("Access-Control-Allow-Origin"), "no page calls %s", path)
	}
}

func TestOrigins_follow_the_configuration_in_force(t *testing.T) {
	t.Parallel()
	d := open(t)
	require.NotEmpty(t, preflight(d, "/wx/login/"+mini, shopFrom).Header.Get("Access-Control-Allow-Origin"))
	changed, err := merchant.NewDirectory([]merchant.Merchant{{MchID: shopMch, Apps: []merchant.App{{AppID: official, JSDomains: []string{"new.example.com"}}}}})
	require.NoError(t, err)
	d.settings.Directory = changed
	require.Empty(t, preflight(d, "/wx/login/"+mini, shopFrom).Header.Get("Access-Control-Allow-Origin"))
	require.NotEmpty(t, preflight(d, "/wx/login/"+mini, "https://new.example.com").Header.Get("Access-Control-Allow-Origin"))
}

func TestPace_bounds_each_address_and_says_when_to_come_back(t *testing.T) {
	t.Parallel()
	d := open(t)
	at := "/wx/jsconfig/wx0?url=x"
	for range 100 {
		require.Equal(t, http.StatusNotFound, d.send(http.MethodGet, at, "").StatusCode)
	}
	answer := d.send(http.MethodGet, at, "")
	require.Equal(t, http.StatusTooManyRequests, answer.StatusCode)
	require.Equal(t, problem.TooManyRequests.Code(), answer.problem(t).Code)
	require.Equal(t, "1", answer.Header.Get("Retry-After"))
	require.Equal(t, http.StatusNotFound, d.send(http.MethodGet, at, "", "From", "203.0.113.8:1").StatusCode, "others are not held up")
	require.Equal(t, http.StatusTooManyRequests, d.send(http.MethodGet, at, "", "X-Forwarded-For", "192.0.2.1").StatusCode, "who comes directly says nothing of where from")
	page := d.send(http.MethodGet, startAt(official, shopPage), "")
	require.Equal(t, http.StatusTooManyRequests, page.StatusCode)
	require.Contains(t, page.body, "过于频繁")
	require.Empty(t, page.Header.Get("Set-Cookie"))
	d.clock = d.clock.Add(time.Second)
	require.Equal(t, http.StatusNotFound, d.send(http.MethodGet, at, "").StatusCode)
}

func TestPace_knows_clients_behind_a_proxy_of_ours(t *testing.T) {
	t.Parallel()
	for _, proxy := range []string{"127.0.0.1:1", "10.1.2.3:1", "192.168.0.9:1", "[::1]:1", "[fd00::1]:1", "100.64.3.4:1", "[::ffff:10.0.0.1]:1"} {
		d := open(t)
		through := func(forwarded ...string) int {
			headers := []string{"From", proxy}
			for _, f := range forwarded {
				headers = append(headers, "X-Forwarded-For", f)
			}
			return d.send(http.MethodGet, "/wx/jsconfig/wx0?url=x", "", headers...).StatusCode
		}
		for i := range 100 {
			require.Equal(t, http.StatusNotFound, through(fmt.Sprintf("198.51.100.%d, 203.0.113.7", i)), "what a client writes itself stands before its address")
		}
		require.Equal(t, http.StatusTooManyRequests, through("203.0.113.7"))
		require.Equal(t, http.StatusTooManyRequests, through("198.51.100.1", "203.0.113.7, 10.0.0.1"), "a second proxy of ours")
		require.Equal(t, http.StatusNotFound, through("203.0.113.8"))
		for range 200 {
			require.Equal(t, http.StatusNotFound, through(), "a proxy that says nothing bounds clients itself")
			require.Equal(t, http.StatusNotFound, through("nonsense"))
		}
	}
}

func TestPace_bounds_each_buyer(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.worker.answer = says(`{"status":200,"body":{}}`)
	ask := func(i int) reply {
		return d.send(http.MethodGet, "/wx/orders/order-0001", "", "Authorization", "Bearer "+d.sessionOf(shopMch, mini), "From", fmt.Sprintf("203.0.113.%d:1", i))
	}
	for i := range 20 {
		require.Equal(t, http.StatusOK, ask(i).StatusCode)
	}
	require.Equal(t, http.StatusTooManyRequests, ask(30).StatusCode, "from whichever address")
	d.clock = d.clock.Add(time.Second)
	require.Equal(t, http.StatusOK, ask(31).StatusCode)
}

func TestDoor_survives_a_panic_and_says_nothing_of_it(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.worker.answer = func(string, []byte) ([]byte, error) { panic(verifier) }
	answer := d.send(http.MethodPost, "/wx/login/"+mini, `{"code":"`+code+`"}`)
	require.Equal(t, http.StatusInternalServerError, answer.StatusCode)
	require.Equal(t, problem.Internal.Code(), answer.problem(t).Code)
	require.NotContains(t, answer.body, verifier)
	families, err := d.registry.Gather()
	require.NoError(t, err)
	names := map[string]float64{}
	for _, f := range families {
		names[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
	}
	require.InDelta(t, 1, names["fenflow_front_panics_total"], 0, slices.Collect(maps.Keys(names)))
	d.worker.answer = func(string, []byte) ([]byte, error) { panic(http.ErrAbortHandler) }
	require.Panics(t, func() {
		d.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/wx/message/"+official, nil))
	}, "the server's own way to hang up")
}
