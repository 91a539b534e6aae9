package front_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/testkit/shopapi"
)

const schemaFile = "../../schema/openapi-shop.yaml"

func TestSchema_has_the_front_doors_addresses_and_methods(t *testing.T) {
	t.Parallel()
	described, served := shopapi.Load(t, schemaFile).Routes("/wx/", "/MP_"), theRoutes()
	for route, methods := range served {
		served[route] = slices.DeleteFunc(slices.Clone(methods), func(m string) bool { return m == http.MethodHead }) // as GET
		slices.Sort(described[route])
	}
	require.Equal(t, served, described)
}

// Each address is asked in the way that it is meant, in ways that it is not, and
// answered with what the schema has as an example.
func TestSchema_holds_for_answers_and_refusals(t *testing.T) {
	t.Parallel()
	schema := shopapi.Load(t, schemaFile)
	d := open(t)
	own := schema.Example(t, "OwnOrder")
	for _, row := range []struct {
		method, path, body, answer string
		status                     int
	}{
		{"GET", startAt(official, shopPage, "&scope=snsapi_base"), "", "", 302},
		{"GET", startAt(official, "https://evil.example/"), "", "", 422},
		{"GET", callbackAt(official, code, strings.Repeat("A", 26)), "", "", 400},
		{"POST", "/wx/login/" + mini, `{"code":"` + code + `","phone_code":"p"}`, schema.Example(t, "Session"), 200},
		{"POST", "/wx/login/" + official, `{"ticket":"` + ticket + `","verifier":"` + verifier + `"}`, schema.Example(t, "Session"), 200},
		{"POST", "/wx/login/" + mini, `{"code":""}`, "", 422},
		{"GET", "/wx/jsconfig/" + official + "?url=https%3A%2F%2Fm.example.com%2F", "", schema.Example(t, "JSConfig"), 200},
		{"GET", "/wx/jsconfig/" + official + "?url=https%3A%2F%2Fevil.example%2F", "", "", 403},
		{"GET", "/wx/orders/order-0001", "", own, 200},
		{"POST", "/wx/orders/order-0001/check", "{}", own, 200},
		{"POST", "/wx/orders/order-0001/check", "", own, 202},
		{"POST", "/wx/orders/order-0001/pay", `{"redirect_url":"https://www.example.com/"}`, `{"client":"h5","h5":{"url":"https://wx.tenpay.com/x"}}`, 200},
		{"POST", "/wx/message/" + official, "<xml/>", `{"content_type":"text/plain","body":"success"}`, 200},
		{"POST", "/wx/message/" + official, "<xml/>", `{"content_type":"application/xml; charset=utf-8","body":"<xml></xml>"}`, 200},
		{"POST", "/wx/message/" + official, "<xml/>", `{"content_type":"application/json; charset=utf-8","body":"{}"}`, 200},
		{"GET", "/wx/message/" + official + "?echostr=1", "", `{"content_type":"text/plain","body":"1"}`, 200},
		{"GET", "/" + verifyTxt, "", "", 200},
	} {
		d.worker.answer = func(string, []byte) ([]byte, error) {
			status := max(row.status, 200)
			return []byte(`{"status":` + map[bool]string{true: "202", false: "200"}[status == 202] + `,"body":` + row.answer + `}`), nil
		}
		for _, html := range []bool{false, true} {
			r := httptest.NewRequestWithContext(t.Context(), row.method, row.path, strings.NewReader(row.body))
			r.Header.Set("Authorization", "Bearer "+d.sessionOf(shopMch, mini))
			if row.body != "" {
				r.Header.Set("Content-Type", map[bool]string{true: "text/xml", false: "application/json"}[row.body == "<xml/>"])
			}
			if !html {
				r.Header.Set("Accept", "application/json")
			}
			w := httptest.NewRecorder()
			d.ServeHTTP(w, r)
			require.Equal(t, row.status, w.Code, "%s %s: %s", row.method, row.path, w.Body)
			schema.Check(t, r, row.body, w.Code, w.Header(), w.Body.String())
		}
	}
}

func TestSchema_holds_for_what_goes_wrong_on_the_way(t *testing.T) {
	t.Parallel()
	schema := shopapi.Load(t, schemaFile)
	d := open(t)
	for route, methods := range theRoutes() {
		for _, method := range methods {
			if method == http.MethodHead {
				continue
			}
			for _, answer := range []func(string, []byte) ([]byte, error){nil, refuses(problem.NotFound, ""), refuses(problem.Unavailable, ""), says("nonsense")} {
				d.worker.answer = answer
				for _, authorization := range []string{"", "Bearer " + d.sessionOf(shopMch, mini)} {
					r := httptest.NewRequestWithContext(t.Context(), method, pathOf(route), strings.NewReader("{}"))
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("Authorization", authorization)
					w := httptest.NewRecorder()
					d.ServeHTTP(w, r)
					schema.Check(t, r, "{}", w.Code, w.Header(), w.Body.String())
				}
			}
		}
	}
}
