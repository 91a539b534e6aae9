package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/ingest"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/session"
)

const goodOrder = `{"out_trade_no":"order-0001","appid":"wx8888888888888888","client":"mini_program","description":"咖啡 x1","amount_fen":100,"currency":"CNY","openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}`

// bench is the business API with the worker's side in the test's hands.
type bench struct {
	*ingest.APIHandler

	gate   *ingest.Gate
	worker *worker
	log    *syncBuffer

	mu        sync.Mutex
	submitted []pay.Command
	wait      time.Duration
	result    pay.CommandResult
	replied   bool
	err       error
}

func (b *bench) SubmitCommand(_ context.Context, c pay.Command, wait time.Duration) (pay.CommandResult, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.submitted, b.wait = append(b.submitted, c), wait
	return b.result, b.replied, b.err
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{gate: ingest.NewGate(func() string { return serverID }), worker: &worker{}, log: &syncBuffer{}}
	b.gate.Set(goodVerdict())
	b.APIHandler = ingest.NewAPI(ingest.APIConfig{
		Merchants: directory(t), Gate: b.gate, Commands: b, Worker: b.worker, Metrics: ingest.NewMetrics(prometheus.NewRegistry()),
		Sessions: session.NewVerifier(nil, now), Logger: slog.New(slog.NewJSONHandler(b.log, nil)), Now: now,
	})
	return b
}

func ask(method, path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+apiKey)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		if r.Header.Del(headers[i]); headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	return r
}

func (b *bench) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

func problemOf(t *testing.T, w *httptest.ResponseRecorder) problem.Document {
	t.Helper()
	require.Equal(t, problem.ContentType, w.Header().Get("Content-Type"))
	var d problem.Document
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &d), w.Body)
	require.Equal(t, w.Code, d.Status)
	require.NotEmpty(t, d.NextStep)
	return d
}

func TestAPI_refuses_at_the_door(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		request *http.Request
		kind    problem.Kind
	}{
		"no key":           {ask("POST", "/v1/orders", goodOrder, "Authorization", ""), problem.Unauthorized},
		"wrong key":        {ask("POST", "/v1/orders", goodOrder, "Authorization", "Bearer fk_no"), problem.Unauthorized},
		"empty key":        {ask("POST", "/v1/orders", goodOrder, "Authorization", "Bearer "), problem.Unauthorized},
		"other scheme":     {ask("POST", "/v1/orders", goodOrder, "Authorization", "Basic "+apiKey), problem.Unauthorized},
		"long key":         {ask("POST", "/v1/orders", goodOrder, "Authorization", "Bearer "+strings.Repeat("x", 1<<16)), problem.Unauthorized},
		"read without key": {ask("GET", "/v1/orders/order-0001", "", "Authorization", ""), problem.Unauthorized},
		"GET orders":       {ask("GET", "/v1/orders", ""), problem.MethodNotAllowed},
		"DELETE an order":  {ask("DELETE", "/v1/orders/order-0001", ""), problem.MethodNotAllowed},
		"invented method":  {ask("ACK", "/v1/orders", ""), problem.MethodNotAllowed},
		"nothing there":    {ask("GET", "/v2", ""), problem.NotFound},
		"notify path":      {ask("POST", "/notify/v3/1900000109", "{}"), problem.NotFound},
		"form":             {ask("POST", "/v1/orders", goodOrder, "Content-Type", "application/x-www-form-urlencoded"), problem.UnsupportedMedia},
		"no media type":    {ask("POST", "/v1/orders", goodOrder, "Content-Type", ""), problem.UnsupportedMedia},
		"large":            {ask("POST", "/v1/orders", `{"attach":"`+strings.Repeat("x", 16<<10)+`"}`), problem.TooLarge},
		"bad number":       {ask("GET", "/v1/orders/x", ""), problem.NotFound},
		"bad UTF-8 number": {ask("GET", "/v1/orders/%ff%fe%00aaaaaa", ""), problem.NotFound},
		"bad command id":   {ask("GET", "/v1/commands/1", ""), problem.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			answer := b.send(row.request)
			require.Equal(t, row.kind.Status(), answer.Code, answer.Body)
			require.Equal(t, row.kind.Code(), problemOf(t, answer).Code)
			require.Empty(t, b.submitted)
			require.Empty(t, b.worker.questions())
			require.NotContains(t, b.log.String(), apiKey)
			if row.kind == problem.Unauthorized {
				require.Contains(t, answer.Header().Get("WWW-Authenticate"), "Bearer")
			}
		})
	}
}

func TestAPI_takes_nothing_while_the_gate_is_shut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.gate.Set(&ingest.Verdict{Problems: []string{"sync_interval is 2m, must be always"}})
	answer := b.send(ask("POST", "/v1/orders", goodOrder))
	require.Equal(t, http.StatusServiceUnavailable, answer.Code)
	require.Contains(t, problemOf(t, answer).Detail, "sync_interval")
	require.NotEmpty(t, answer.Header().Get("Retry-After"))
	require.Empty(t, b.submitted)
}

func TestCreateOrder_hands_on_exactly_what_was_asked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.replied, b.result = true, pay.CommandResult{Status: 201, Body: []byte(`{"state":"awaiting_payment"}`)}
	answer := b.send(ask("POST", "/v1/orders", goodOrder, "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
	require.Equal(t, http.StatusCreated, answer.Code, answer.Body)
	require.JSONEq(t, `{"state":"awaiting_payment"}`, answer.Body.String())
	require.Equal(t, "application/json", answer.Header().Get("Content-Type"))
	require.Equal(t, "no-store", answer.Header().Get("Cache-Control"))
	require.Equal(t, "/v1/orders/order-0001", answer.Header().Get("Location"))
	require.Len(t, b.submitted, 1)
	c := b.submitted[0]
	require.Equal(t, mchid, c.MchID)
	require.Equal(t, pay.CommandOrderCreate, c.Kind)
	require.Equal(t, pay.OutTradeNo("order-0001"), c.OutTradeNo)
	require.Equal(t, now(), c.ReceivedAt)
	require.Equal(t, now().Add(time.Minute), c.Deadline)
	require.Equal(t, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", c.TraceParent)
	require.Regexp(t, `^[0-9a-f]{64}$`, c.Digest)
	require.JSONEq(t, strings.Replace(goodOrder, "}", `,"time_expire":"2026-11-21T06:00:00Z"}`, 1), string(c.Body))
	id, err := uuid.Parse(string(c.ID))
	require.NoError(t, err)
	require.Equal(t, uuid.Version(7), id.Version())
	require.Contains(t, b.log.String(), "order-0001")
	require.NotContains(t, b.log.String(), "oUpF8uMuAJO", "no bodies in the log")
}

func TestCreateOrder_passes_on_the_workers_outcome(t *testing.T) {
	t.Parallel()
	for status, contentType := range map[int]string{200: "application/json", 201: "application/json", 409: problem.ContentType, 422: problem.ContentType, 503: problem.ContentType} {
		b := newBench(t)
		b.replied, b.result = true, pay.CommandResult{Status: status, Body: []byte(`{"a":1}`)}
		answer := b.send(ask("POST", "/v1/orders", goodOrder))
		require.Equal(t, status, answer.Code)
		require.Equal(t, contentType, answer.Header().Get("Content-Type"))
		require.JSONEq(t, `{"a":1}`, answer.Body.String())
		require.Equal(t, status == 503, answer.Header().Get("Retry-After") != "")
	}
	for name, nonsense := range map[string]pay.CommandResult{"no status": {Body: []byte(`{}`)}, "no JSON": {Status: 200, Body: []byte(`order`)}, "nothing": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.replied, b.result = true, nonsense
			require.Equal(t, problem.Internal.Code(), problemOf(t, b.send(ask("POST", "/v1/orders", goodOrder))).Code)
		})
	}
}

func TestCreateOrder_answers_202_where_the_outcome_will_be(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	answer := b.send(ask("POST", "/v1/orders", goodOrder, "Prefer", "wait=3"))
	require.Equal(t, http.StatusAccepted, answer.Code)
	require.Equal(t, "/v1/commands/"+string(b.submitted[0].ID), answer.Header().Get("Location"))
	require.Equal(t, "wait=3", answer.Header().Get("Preference-Applied"))
	var body map[string]string
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &body))
	require.Equal(t, map[string]string{"command_id": string(b.submitted[0].ID), "mchid": "1900000109", "out_trade_no": "order-0001", "outcome": "pending", "digest": b.submitted[0].Digest}, body)
}

func TestCreateOrder_waits_as_preferred(t *testing.T) {
	t.Parallel()
	for prefer, want := range map[string]struct {
		wait    time.Duration
		applied string
	}{
		"":                             {5 * time.Second, ""},
		"wait=0":                       {0, "wait=0"},
		"wait=10":                      {10 * time.Second, "wait=10"},
		"wait=20":                      {20 * time.Second, "wait=20"},
		"wait=3600":                    {20 * time.Second, "wait=20"},
		`respond-async, WAIT = "7"; x`: {7 * time.Second, "wait=7"},
		"wait=-1":                      {5 * time.Second, ""},
		"wait=soon":                    {5 * time.Second, ""},
		"wait=99999999999999999999":    {5 * time.Second, ""},
		"respond-async":                {5 * time.Second, ""},
	} {
		b := newBench(t)
		answer := b.send(ask("POST", "/v1/orders", goodOrder, "Prefer", prefer))
		require.Equal(t, want.wait, b.wait, prefer)
		require.Equal(t, want.applied, answer.Header().Get("Preference-Applied"), prefer)
	}
}

func TestCreateOrder_says_repeat_when_the_broker_is_away(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.err = errors.New("nats: secret address")
	answer := b.send(ask("POST", "/v1/orders", goodOrder))
	require.Equal(t, http.StatusServiceUnavailable, answer.Code)
	require.NotEmpty(t, answer.Header().Get("Retry-After"))
	d := problemOf(t, answer)
	require.Equal(t, problem.BrokerUnavailable.Code(), d.Code)
	require.Contains(t, d.NextStep, "same out_trade_no")
	require.NotContains(t, answer.Body.String(), "secret address")
	require.Contains(t, b.log.String(), "secret address")
}

func TestCreateOrder_needs_the_whole_body(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := ask("POST", "/v1/orders", goodOrder)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(goodOrder), failing{}))
	require.Equal(t, http.StatusBadRequest, b.send(r).Code)
	require.Empty(t, b.submitted)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestRead_asks_a_worker_about_the_merchant_of_the_key(t *testing.T) {
	t.Parallel()
	for path, question := range map[string]string{
		"/v1/orders/order-0001":                             `fenflow.read.order {"mchid":"1900000109","out_trade_no":"order-0001"}`,
		"/v1/orders/a%7Cb%2Ac-_":                            `fenflow.read.order {"mchid":"1900000109","out_trade_no":"a|b*c-_"}`,
		"/v1/orders/a|b*c-_":                                `fenflow.read.order {"mchid":"1900000109","out_trade_no":"a|b*c-_"}`,
		"/v1/commands/0191D5E4-7A3B-7C00-8000-000000000001": `fenflow.read.command {"command_id":"0191d5e4-7a3b-7c00-8000-000000000001","mchid":"1900000109"}`,
	} {
		b := newBench(t)
		b.worker.answer = says(`{"status":200,"body":{"state":"paid"}}`)
		answer := b.send(ask("GET", path, ""))
		require.Equal(t, http.StatusOK, answer.Code, answer.Body)
		require.JSONEq(t, `{"state":"paid"}`, answer.Body.String())
		require.Equal(t, []string{question}, b.worker.questions())
	}
}

func TestRead_passes_on_problems_and_answers_503_without_a_worker(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	answer := b.send(ask("GET", "/v1/orders/order-0001", ""))
	require.Equal(t, http.StatusServiceUnavailable, answer.Code)
	require.Equal(t, problem.NoWorker.Code(), problemOf(t, answer).Code)
	require.NotEmpty(t, answer.Header().Get("Retry-After"))
	b.worker.answer = says(`{"status":404,"body":{"status":404,"code":"FEN-3004","next_step":"x"}}`)
	answer = b.send(ask("GET", "/v1/orders/order-0001", ""))
	require.Equal(t, http.StatusNotFound, answer.Code)
	require.Equal(t, "FEN-3004", problemOf(t, answer).Code)
	for _, nonsense := range []string{``, `{}`, `{"status":200}`, `{"status":99,"body":{}}`, `[]`} {
		b.worker.answer = says(nonsense)
		require.Equal(t, http.StatusInternalServerError, b.send(ask("GET", "/v1/orders/order-0001", "")).Code, nonsense)
	}
}
