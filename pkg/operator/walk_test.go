package operator_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/pay"
	problems "github.com/fenflow/fenflow/pkg/problem"
)

// walk has one request that does something for every route of the schema. The
// tests that use it fail at a route that nobody wrote one for.
type walk struct {
	*stage
	worker *standIn
	routes []walked
}

// walked is one method at one address, and a request for it that is right.
type walked struct {
	method, pattern, path, body string
}

func (r walked) String() string { return r.method + " " + r.pattern }

// namesOfWalk are what the bodies of its requests name.
type namesOfWalk struct{ letter, name, nkey string }

// bodies are what the routes that change something are sent. An empty one is
// for those that need none.
func (n namesOfWalk) bodies() map[string]string {
	const reason = `{"reason":"why not"}`
	named := `{"delivery_ids":["` + n.letter + `"],"reason":"why not"}`
	return map[string]string{
		"/operator/v1/orders/{out_trade_no}/check":        "",
		"/operator/v1/orders/{out_trade_no}/close":        reason,
		"/operator/v1/refunds":                            `{"out_refund_no":"R-walk","out_trade_no":"order-0001","amount_fen":1,"reason":"why not"}`,
		"/operator/v1/refunds/{number}/retry":             reason,
		"/operator/v1/refunds/{number}/abnormal":          `{"type":"MERCHANT_BANK_CARD","reason":"why not"}`,
		"/operator/v1/refunds/{number}/give-up":           reason,
		"/operator/v1/dead-letters/{delivery_id}/discard": reason,
		"/operator/v1/dead-letters/{delivery_id}/replay":  reason,
		"/operator/v1/dead-letter-replays":                named,
		"/operator/v1/rejected-publications":              `{"sequences":[1],"reason":"why not"}`,
		"/operator/v1/subscribers":                        `{"name":"` + n.name + `-two","mchid":"1900000109","nkey":"` + n.nkey + `","reason":"why not"}`,
		"/operator/v1/subscribers/{name}/remove":          `{"lose_unacknowledged":true,"reason":"why not"}`,
		"/operator/v1/anomalies/{transaction_id}/accept":  reason,
		"/operator/v1/anomalies/{transaction_id}/refund":  reason,
		"/operator/v1/rehearsals":                         `{"delivery_ids":["` + n.letter + `"]}`,
		"/operator/v1/rehearsed-replays":                  `{"delivery_ids":["` + n.letter + `"],"orders":[],"reason":"why not"}`,
		"/operator/v1/notification-replays":               named,
		"/operator/v1/recoveries":                         `{"since":"2026-03-01T00:00:00Z","reason":"why not"}`,
		"PUT /operator/v1/apps/{appid}/menu":              `{"menu":{"button":[]},"reason":"why not"}`,
		"DELETE /operator/v1/apps/{appid}/menu":           reason,
	}
}

// needed is the query that a route cannot do without, but for one parameter.
func needed(item *openapi3.PathItem, but string) (query string) {
	values := map[string]string{"sequence": "1", "since": "2026-03-01T00:00:00Z"}
	if item.Get == nil {
		return ""
	}
	for _, p := range item.Get.Parameters {
		if p.Value.In == "query" && p.Value.Required && p.Value.Name != but {
			query += "&" + p.Value.Name + "=" + values[p.Value.Name]
		}
	}
	if query == "" {
		return ""
	}
	return "?" + query[1:]
}

func setupWalk(t *testing.T) *walk {
	t.Helper()
	s, worker := setupWithWorker(t)
	w := &walk{stage: s, worker: worker}
	// What a worker is asked counts, and not what it would say.
	refusal, err := problems.WriteRefusal(problems.New(problems.Unavailable, "not today"))
	require.NoError(t, err)
	worker.answer, worker.result = string(refusal), pay.CommandResult{Status: http.StatusServiceUnavailable, Body: []byte(`{}`)}
	o := s.place(shop, "order-0001")
	s.pay(o, tx, "EV-1")
	s.refunded(o, tx, "R-1")
	s.attempted("R-1", 1, pay.AttemptBlocked, noon)
	s.waits("R-1")
	s.held(s.place(shop, "order-0002"), "42-odd", price-1, noon)
	s.arrives(pay.Arrival{AppID: "wx8888888888888888", OpenID: "openid-1", Phone: "+86 13800000000"})
	letter, second := s.letter(o, pay.LetterMalformed), s.letter(o, pay.LetterMalformed)
	_, outcome, err := s.AddSubscriber(t.Context(), pay.Subscriber{Name: "erp", MchID: shop, NKey: aKey(t), StreamAt: noon, CreatedBy: "cli:test"}, time.Time{}, "goes live")
	require.NoError(t, err)
	require.Equal(t, pay.SubscriberAdded, outcome)

	values := map[string]string{
		"out_trade_no": "order-0001", "number": "R-1", "delivery_id": string(letter.ID), "transaction_id": "42-odd", "mchid": string(shop), "name": "erp", "sequence": "1",
		"appid": "wx8888888888888888", "id": "openid-1",
	}
	bodies := namesOfWalk{letter: string(second.ID), name: "erp", nkey: aKey(t)}.bodies()
	for pattern, item := range s.schema.document.Paths.Map() {
		path := pattern
		for name, value := range values {
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
		}
		require.NotContains(t, path, "{", "say what stands there in a request: %s", pattern)
		for method := range item.Operations() {
			r := walked{method: method, pattern: pattern, path: path}
			r.path += needed(item, "")
			if method != http.MethodGet {
				key := pattern
				if _, own := bodies[r.String()]; own { // an address that several methods change
					key = r.String()
				}
				body, there := bodies[key]
				require.True(t, there, "say what %s is sent, so that it is known who may", r)
				r.body = body
				delete(bodies, key)
			}
			w.routes = append(w.routes, r)
		}
	}
	require.Empty(t, bodies, "the schema has no such routes")
	slices.SortFunc(w.routes, func(a, b walked) int { return strings.Compare(b.String(), a.String()) }) // to replay comes before to discard
	return w
}

// everything is all rows of all tables, but for when a token was used last.
func (w *walk) everything() map[string]string {
	w.t.Helper()
	rows, err := w.sql.QueryContext(w.t.Context(), `SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'deliveries\_%' AND tablename NOT LIKE 'published\_%'`)
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, rows.Close()) }()
	all := map[string]string{}
	for rows.Next() {
		var table string
		require.NoError(w.t, rows.Scan(&table))
		all[table] = ""
	}
	require.NoError(w.t, rows.Err())
	require.Greater(w.t, len(all), 15)
	for table := range all {
		all[table] = w.text(`SELECT coalesce(string_agg(row::text, E'\n' ORDER BY row::text), '') FROM (SELECT to_jsonb(t) - 'last_used_at' AS row FROM "` + table + `" AS t) AS rows`)
	}
	return all
}

// asked is how much of the worker was asked for, by subject.
func (w *walk) asked() map[string]string {
	w.worker.mu.Lock()
	defer w.worker.mu.Unlock()
	asked := maps.Clone(w.worker.questions)
	if asked == nil {
		asked = map[string]string{}
	}
	for i, c := range w.worker.commands {
		asked[fmt.Sprint("command ", i)] = string(c.Kind)
	}
	return asked
}

// sendFrom is a request from an address of its own: nobody is locked out for another.
func (w *walk) sendFrom(place int, r walked, method, authorization string) reply {
	w.t.Helper()
	request := httptest.NewRequestWithContext(w.t.Context(), method, r.path, strings.NewReader(r.body))
	request.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", place>>16&255, place>>8&255, place&255)
	request.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	return w.send(request)
}

func TestAPI_and_its_schema_have_the_same_addresses(t *testing.T) {
	t.Parallel()
	s := setup(t)
	routes, walks := s.handler.(chi.Routes)
	require.True(t, walks)
	var served []string
	require.NoError(t, chi.Walk(routes, func(method, pattern string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method == http.MethodGet { // a route takes every method, to refuse it by name
			served = append(served, pattern)
		}
		return nil
	}))
	require.ElementsMatch(t, slices.Collect(maps.Keys(s.schema.document.Paths.Map())), served)
}

// Every address, by every method: without a live token there is one answer.
func TestTokens_every_route_asks_for_a_live_one(t *testing.T) {
	t.Parallel()
	w := setupWalk(t)
	revoked := w.mint("leaver", pay.TokenOperate)
	_, err := w.RevokeToken(t.Context(), "leaver", "cli:test")
	require.NoError(t, err)
	before, place := w.everything(), 0
	for _, r := range w.routes {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace, "BREW"} {
			for name, authorization := range map[string]string{
				"none": "", "revoked": "Bearer " + revoked, "malformed": "Bearer fft_' OR 1=1 --", "of another scheme": "Token " + w.operate, "cut short": "Bearer " + w.operate[:len(w.operate)-1],
			} {
				place++
				answer := w.sendFrom(place, r, method, authorization)
				require.Equal(t, http.StatusUnauthorized, answer.status, "%s at %s with a token that is %s", method, r.pattern, name)
				require.Equal(t, "FEN-3010", answer.problem(t).Code)
			}
		}
	}
	require.Equal(t, before, w.everything())
	require.Empty(t, w.asked())
}

// readersAsk are the questions to a worker that change nothing wherever they are
// answered: a token that may only read may have them asked, and no others.
func readersAsk() []string {
	return []string{
		bus.RequestOperateKeys, bus.RequestOperateMerchant, bus.RequestOperateRejected, bus.RequestOperateReverify, bus.RequestOperateLane,
		bus.RequestOperateEvents, bus.RequestOperateConnections, bus.RequestOperateSubscriber, bus.RequestOperateRecoverable,
		bus.RequestOperateMenu,
	}
}

func TestTokens_of_role_read_change_nothing_on_any_route(t *testing.T) {
	t.Parallel()
	w := setupWalk(t)
	before := w.everything()
	for _, r := range w.routes {
		w.clock.Advance(time.Second) // nobody is too fast
		answer := w.do(r.method, r.path, r.body, w.read)
		if r.method == http.MethodGet {
			require.NotContains(t, []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnprocessableEntity}, answer.status, "%s: %s", r, answer.body)
			continue
		}
		require.Equal(t, http.StatusForbidden, answer.status, "%s: %s", r, answer.body)
		require.Equal(t, "FEN-3008", answer.problem(t).Code)
	}
	require.Equal(t, before, w.everything())
	for subject, question := range w.asked() {
		require.Contains(t, readersAsk(), subject)
		if subject == bus.RequestOperateSubscriber {
			require.Contains(t, question, `"do":"look"`)
		}
		if subject == bus.RequestOperateMenu {
			require.Contains(t, question, `"act":"get"`)
		}
		require.NotContains(t, question, `"live":true`)
	}
	require.Equal(t, http.StatusForbidden, w.do(http.MethodGet, "/operator/v1/merchants/1900000109/check?live=true", "", w.read).status, "it costs a call to WeChat Pay")
}

// The other half of the proof: the requests that were refused would have done something.
func TestTokens_of_role_operate_do_what_those_of_role_read_may_not(t *testing.T) {
	t.Parallel()
	w := setupWalk(t)
	for _, r := range w.routes {
		if r.method == http.MethodGet {
			continue
		}
		w.clock.Advance(time.Second)
		before, asked := w.everything(), w.asked()
		answer := w.do(r.method, r.path, r.body, w.operate)
		require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnprocessableEntity}, answer.status, "%s: %s", r, answer.body)
		after, askedNow := w.everything(), w.asked()
		require.False(t, maps.Equal(before, after) && maps.Equal(asked, askedNow), "%s did nothing: %d %s", r, answer.status, answer.body)
	}
}

// oddities are what people and programs send that mean no good, or no better.
func oddities() []string {
	return []string{
		"../../../etc/passwd", "..", "%", "%25", "_", "'; DROP TABLE orders; --", `\`, `"`, "a\x00b", "\xff\xfe", "😀", "ａｂｃ", "\u202eabc", "a\r\nSet-Cookie: x=1",
		"-1", "0", "18446744073709551616", "9223372036854775808", "1e9", strings.Repeat("9", 129), strings.Repeat("测", 200), "*", ">", "a.b", " ", "{}", "null", uuid.Nil.String(),
	}
}

// Whatever stands in an address or a query, it is a fault of whoever sent it.
func TestAPI_takes_odd_numbers_and_names_for_what_they_are(t *testing.T) {
	t.Parallel()
	w := setupWalk(t)
	before := w.everything()
	for _, r := range w.routes {
		patterned := strings.Split(r.pattern, "/")
		for i, part := range patterned {
			if !strings.HasPrefix(part, "{") {
				continue
			}
			for _, odd := range oddities() {
				w.clock.Advance(time.Second)
				parts := strings.Split(r.path, "/")
				parts[i] = url.PathEscape(odd)
				answer := w.do(r.method, strings.Join(parts, "/"), r.body, w.operate)
				require.GreaterOrEqual(t, answer.status, 400, "%s with %q: %s", r, odd, answer.body)
				require.NotEqual(t, http.StatusInternalServerError, answer.status, "%s with %q: %s", r, odd, answer.body)
			}
		}
	}
	require.Equal(t, before, w.everything())
	for subject := range w.asked() {
		require.Contains(t, readersAsk(), subject)
	}
}

// forgeries are cursors that a client wrote, for any list: with times at the edges,
// and with one field that holds what no row has there.
func forgeries(edges []string) (all []string) {
	for _, of := range []string{"orders", "letters", "audit", "anomalies", "refunds", "notifications", "replayable", "subscribers", "events", "rejected", "recoverable"} {
		fields := map[string]string{"of": of, "at": noon.Format(time.RFC3339), "id": "1", "no": "order-0001", "mchid": string(shop), "kind": string(pay.AnomalyLatePayment)}
		forge := func(name, value string) {
			changed := maps.Clone(fields)
			changed[name] = value
			raw, err := json.Marshal(changed)
			if err != nil { // strings always marshal
				panic(err)
			}
			all = append(all, base64.RawURLEncoding.EncodeToString(raw))
		}
		for _, at := range edges {
			forge("at", at)
		}
		for _, name := range []string{"id", "no", "kind", "mchid", "part"} {
			for _, odd := range []string{"a\x00b", "'", "\u202e", "-1", ""} {
				forge(name, odd)
			}
		}
	}
	return all
}

// Whatever a parameter is, and whichever list a cursor is of.
func TestAPI_takes_odd_parameters_for_what_they_are(t *testing.T) {
	t.Parallel()
	w := setupWalk(t)
	edges := []string{
		"0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999999Z", "2026-02-30T00:00:00Z",
		"0000-01-01T00:00:00+23:59",
	}
	for _, r := range w.routes {
		if r.method != http.MethodGet {
			continue
		}
		for _, parameter := range w.schema.document.Paths.Value(r.pattern).Get.Parameters {
			if parameter.Value.In != "query" {
				continue
			}
			name := parameter.Value.Name
			values := append(oddities(), edges...)
			if name == "cursor" {
				values = append(values, forgeries(edges)...)
			}
			for _, value := range values {
				w.clock.Advance(time.Second)
				path, _, _ := strings.Cut(r.path, "?")
				query := needed(w.schema.document.Paths.Value(r.pattern), name)
				query += map[bool]string{true: "?", false: "&"}[query == ""] + name + "=" + url.QueryEscape(value)
				answer := w.do(r.method, path+query, "", w.operate)
				require.NotEqual(t, http.StatusInternalServerError, answer.status, "%s?%s=%q: %s", r, name, value, answer.body)
			}
		}
	}
}

// Whatever the body of an act is, nothing comes of it that is not whole.
func TestAPI_takes_odd_bodies_for_what_they_are(t *testing.T) {
	t.Parallel()
	w := setupWalk(t)
	before := w.everything()
	deep := strings.Repeat(`{"reason":`, 3000)
	for _, r := range w.routes {
		if r.method == http.MethodGet {
			continue
		}
		bodies := []string{"null", "[]", "1", `"x"`, deep, strings.Repeat("[", 8000), `{"reason":"` + strings.Repeat("a", 1<<20) + `"}`, "{\"reason\":\"\xff\"}", `{"reason":"x"}{"reason":"y"}`}
		if r.body != "" {
			bodies = append(bodies, "", "{}", r.body[:len(r.body)-1], r.body+"}", strings.TrimSuffix(r.body, "}")+`,"actor":"token:boss"}`)
		}
		if strings.Contains(r.body, "why not") {
			bodies = append(bodies, strings.Replace(r.body, "why not", `\ud800`, 1), strings.Replace(r.body, "why not", `a\u0000b`, 1))
		}
		if strings.Contains(r.body, `"since":`) {
			bodies = append(bodies, strings.Replace(r.body, "2026-03-01T00:00:00Z", "9999-12-31T23:59:59-23:59", 1), strings.Replace(r.body, "2026-03-01T00:00:00Z", "0000-01-01T00:00:00+23:59", 1))
		}
		for _, body := range bodies {
			w.clock.Advance(time.Second)
			odd := r
			odd.body = body
			answer := w.sendFrom(1, odd, r.method, "Bearer "+w.operate)
			require.GreaterOrEqual(t, answer.status, 400, "%s %.99s: %s", r, body, answer.body)
			require.Less(t, answer.status, 500, "%s %.99s: %s", r, body, answer.body)
		}
	}
	require.Equal(t, before, w.everything())
	require.Empty(t, w.asked())
}

// Money is a whole number of fen within bounds, whoever computes it.
func TestRefunds_of_odd_amounts_are_refused(t *testing.T) {
	t.Parallel()
	w := setupWalk(t)
	for _, amount := range []string{"0", "-1", "-0", "1.0", "0.005", "1e2", "10000000001", "9223372036854775807", "9223372036854775808", "9223372036854775807.58", `"1"`, "null", "true", "[1]", "01", "1 "} {
		w.clock.Advance(time.Second)
		body := `{"out_refund_no":"R-walk","out_trade_no":"order-0001","amount_fen":` + amount + `,"reason":"why not"}`
		answer := w.post("/operator/v1/refunds", body)
		if amount == "1 " {
			require.Len(t, w.worker.commands, 1, "that is one")
			continue
		}
		require.Equal(t, "FEN-300"+map[bool]string{true: "2", false: "1"}[amount == "01"], answer.problem(t).Code, amount)
		require.Empty(t, w.worker.commands)
	}
	for _, twice := range []string{`"amount_fen":1,"amount_fen":100`, `"amount_fen":1,"Amount_fen":100`} {
		require.Equal(t, "FEN-3001", w.post("/operator/v1/refunds", `{"out_refund_no":"R-two","out_trade_no":"order-0001",`+twice+`,"reason":"why not"}`).problem(t).Code)
	}
	require.Len(t, w.worker.commands, 1)
}
