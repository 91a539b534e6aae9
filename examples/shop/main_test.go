package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// api plays fenflow's business API: it knows one session and writes down what it
// was asked.
type api struct {
	mu      sync.Mutex
	orders  []map[string]any
	outages []int // statuses that the next orders are answered with first
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var question map[string]any
	if err := json.NewDecoder(r.Body).Decode(&question); err != nil || r.Header.Get("Authorization") != "Bearer fk_test" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if r.URL.Path == "/v1/sessions/introspect" {
		active := question["session"] == "good"
		_ = json.NewEncoder(w).Encode(map[string]any{"active": active, "account_id": "a1", "appid": "wx01", "openid": "o1"})
		return
	}
	a.orders = append(a.orders, question)
	status := http.StatusCreated
	if len(a.outages) > 0 {
		status, a.outages = a.outages[0], a.outages[1:]
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{}`))
}

func (a *api) placed() []map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.orders
}

func open(t *testing.T, outages ...int) (*api, string) {
	t.Helper()
	a := &api{outages: outages}
	business := httptest.NewServer(a)
	t.Cleanup(business.Close)
	environment := map[string]string{"API_URL": business.URL, "API_KEY": "fk_test", "APPID": "wx01", "PAGES_DIR": "../h5"}
	handler, err := newShop(func(name string) string { return environment[name] })
	require.NoError(t, err)
	shop := httptest.NewServer(handler)
	t.Cleanup(shop.Close)
	return a, shop.URL
}

func post(t *testing.T, shop, session, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, shop+"/shop/orders", strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+session)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(text)
}

func TestShop_orders_at_its_own_price(t *testing.T) {
	t.Parallel()
	api, shop := open(t)
	status, text := post(t, shop, "good", `{"request_id":"r1","item":"pot","client":"jsapi","amount_fen":1,"price":0.01,"appid":"wx99","openid":"o99"}`)
	require.Equal(t, http.StatusCreated, status, text)
	order := api.placed()[0]
	require.InDelta(t, 2500, order["amount_fen"], 0)
	require.Equal(t, []any{"wx01", "o1"}, []any{order["appid"], order["openid"]}, "the buyer's, by the session")
	require.JSONEq(t, fmt.Sprintf(`{"out_trade_no":%q}`, order["out_trade_no"]), text)
	require.Len(t, order["out_trade_no"], 32)
}

func TestShop_a_double_tap_and_an_outage_are_one_order(t *testing.T) {
	t.Parallel()
	api, shop := open(t, http.StatusServiceUnavailable, http.StatusAccepted)
	for range 2 {
		status, text := post(t, shop, "good", `{"request_id":"r1","item":"tea","client":"native"}`)
		require.Equal(t, http.StatusCreated, status, text)
	}
	all := api.placed()
	require.Len(t, all, 4, "sent until it was certain")
	for _, order := range all {
		require.Equal(t, all[0], order)
		require.Equal(t, "a1", order["account_id"])
	}
	_, _ = post(t, shop, "good", `{"request_id":"r2","item":"tea","client":"native"}`)
	require.NotEqual(t, all[0]["out_trade_no"], api.placed()[4]["out_trade_no"])
}

func TestShop_refuses(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		session, body string
		status        int
	}{
		"who is not logged in":    {"bad", `{"request_id":"r","item":"tea","client":"jsapi"}`, http.StatusUnauthorized},
		"what it does not sell":   {"good", `{"request_id":"r","item":"gold","client":"jsapi"}`, http.StatusBadRequest},
		"an order without an id":  {"good", `{"item":"tea","client":"jsapi"}`, http.StatusBadRequest},
		"an item that is no text": {"good", `{"request_id":"r","item":["tea"],"client":"jsapi"}`, http.StatusBadRequest},
		"what is not JSON":        {"good", `item=tea`, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api, shop := open(t)
			status, text := post(t, shop, row.session, row.body)
			require.Equal(t, row.status, status, text)
			require.Empty(t, api.placed())
		})
	}
}

func TestShop_an_order_that_is_refused_is_not_repeated(t *testing.T) {
	t.Parallel()
	api, shop := open(t, http.StatusConflict)
	status, _ := post(t, shop, "good", `{"request_id":"r","item":"tea","client":"h5"}`)
	require.Equal(t, http.StatusBadGateway, status)
	require.Len(t, api.placed(), 1)
	require.Equal(t, []any{"203.0.113.7", "Wap"}, []any{api.placed()[0]["payer_client_ip"], api.placed()[0]["h5_type"]})
}

func TestShop_tells_the_page_no_secret(t *testing.T) {
	t.Parallel()
	_, shop := open(t)
	for _, path := range []string{"/", "/app.js", "/style.css", "/config.json"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, shop+path, http.NoBody)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode, path)
		require.NotContains(t, string(text), "fk_test", path)
	}
	_, err := newShop(func(string) string { return "" })
	require.ErrorContains(t, err, "API_KEY")
}
