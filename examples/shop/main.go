// Shop is a shop's back end in its smallest form. It holds the API key and the
// price list, and it alone places orders: a page says what it wants, never what
// that costs. The page pays at fenflow's front door; what is paid, the shop is
// told by events (examples/subscriber-go), never by the page.
//
//	API_KEY=fk_… APPID=wx… go run ./examples/shop
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

type item struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	AmountFen int64  `json:"amount_fen"`
}

type shop struct {
	api, key string
	prices   []item
}
type object = map[string]any

func newShop(env func(string) string) (http.Handler, error) {
	s := &shop{api: cmp.Or(env("API_URL"), "http://127.0.0.1:8081"), key: env("API_KEY"), prices: []item{
		{"tea", "一杯茶 · A cup of tea", 100}, {"cake", "一块茶点 · A tea cake", 680}, {"pot", "一壶茶 · A pot of tea", 2500},
	}}
	if s.key == "" || env("APPID") == "" {
		return nil, errors.New("API_KEY (the shop's key of the business API) or APPID (the official account) is missing")
	}
	page := object{ // what the page needs to know; none of it is secret
		"front": cmp.Or(env("FRONT_URL"), "http://127.0.0.1:8082"), "appid": env("APPID"), "website_appid": env("WEBSITE_APPID"),
		"jweixin": cmp.Or(env("JWEIXIN_URL"), "https://res.wx.qq.com/open/js/jweixin-1.6.0.js"), "items": s.prices,
	}
	mux := http.NewServeMux()
	mux.Handle("POST /shop/orders", handler(s.order))
	mux.Handle("GET /config.json", handler(func(*http.Request) (int, object) { return http.StatusOK, page }))
	for _, file := range []string{"index.html", "app.js", "front.js", "style.css", "tea.png"} {
		mux.HandleFunc("GET /"+strings.Replace(file, "index.html", "{$}", 1), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Referrer-Policy", "strict-origin") // H5 payment wants the site's name; nobody gets the rest
			w.Header().Set("Content-Security-Policy", fmt.Sprintf("script-src 'self' %s; object-src 'none'; base-uri 'none'", page["jweixin"]))
			http.ServeFile(w, r, filepath.Join(cmp.Or(env("PAGES_DIR"), "examples/h5"), file))
		})
	}
	return mux, nil
}

// order takes {"request_id", "item", "client"} from a buyer's page. A price in it
// is not read. The same request_id is the same order, however often it is sent.
func (s *shop) order(r *http.Request) (status int, body object) {
	ctx, cancel := context.WithTimeout(r.Context(), 25*time.Second)
	defer cancel()
	var buyer, wish object
	session := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if err := s.ask(ctx, "/v1/sessions/introspect", object{"session": session}, &buyer); err != nil {
		log.Printf("introspect: %v", err)
		return http.StatusBadGateway, object{"error": "the session cannot be checked now; try again"}
	}
	err := json.NewDecoder(io.LimitReader(r.Body, 4096)).Decode(&wish)
	request, _ := wish["request_id"].(string)
	i := slices.IndexFunc(s.prices, func(it item) bool { return it.ID == wish["item"] })
	if buyer["active"] != true {
		return http.StatusUnauthorized, object{"error": "log in first"}
	} else if err != nil || i < 0 || request == "" {
		return http.StatusBadRequest, object{"error": "say request_id, an item of the price list, and client"}
	}
	number := sha256.Sum256(fmt.Appendf(nil, "%s\n%s", buyer["account_id"], request))
	order := object{
		"out_trade_no": "S" + hex.EncodeToString(number[:])[:31], "appid": buyer["appid"], "client": wish["client"],
		"description": s.prices[i].Name, "amount_fen": s.prices[i].AmountFen, "currency": "CNY",
	}
	switch wish["client"] { // whose order it is: an openid where WeChat Pay asks for one, else the account
	case "jsapi", "mini_program":
		order["openid"] = buyer["openid"]
	case "h5": // your proxy says where the buyer is; on your own machine that is nowhere (RFC 5737)
		order["payer_client_ip"], order["h5_type"] = cmp.Or(r.Header.Get("X-Real-IP"), "203.0.113.7"), "Wap"
		fallthrough
	default: // native and app; fenflow refuses what it does not know
		order["account_id"] = buyer["account_id"]
	}
	if err := s.ask(ctx, "/v1/orders", order, &struct{}{}); err != nil {
		log.Printf("order %s: %v", order["out_trade_no"], err)
		return http.StatusBadGateway, object{"error": "the order could not be placed"}
	}
	return http.StatusCreated, object{"out_trade_no": order["out_trade_no"]}
}

// ask posts to fenflow's business API. After 202, 429, 5xx and no answer nothing is
// known yet, and the same is sent again.
func (s *shop) ask(ctx context.Context, path string, question, into any) error {
	body, err := json.Marshal(question)
	for err == nil {
		req, wrong := http.NewRequestWithContext(ctx, http.MethodPost, s.api+path, bytes.NewReader(body))
		if wrong != nil {
			return wrong
		}
		req.Header = http.Header{"Authorization": {"Bearer " + s.key}, "Content-Type": {"application/json"}, "Prefer": {"wait=10"}}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // half of it is not JSON
			_ = resp.Body.Close()
			switch status := resp.StatusCode; {
			case status == http.StatusOK || status == http.StatusCreated:
				return json.Unmarshal(text, into)
			case status != http.StatusAccepted && status != http.StatusTooManyRequests && status < http.StatusInternalServerError:
				return fmt.Errorf("%s was refused with %d: %s", path, status, text)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: no certain answer: %w", path, ctx.Err())
		case <-time.After(500 * time.Millisecond):
		}
	}
	return err
}

type handler func(*http.Request) (status int, body object)

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body := h(r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the page may be gone
}

func main() {
	shop, err := newShop(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: cmp.Or(os.Getenv("LISTEN"), "127.0.0.1:8095"), Handler: shop, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
