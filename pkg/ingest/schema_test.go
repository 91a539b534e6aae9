package ingest_test

import (
	"errors"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/testkit/shopapi"
)

const schemaFile = "../../schema/openapi-shop.yaml"

func TestSchema_has_the_business_APIs_addresses_and_methods(t *testing.T) {
	t.Parallel()
	served := map[string][]string{}
	for route, method := range theRoutes() {
		served[route] = []string{method}
	}
	require.Equal(t, served, shopapi.Load(t, schemaFile).Routes("/v1/"))
}

// asked is one request of each address, as it is meant, and the schema of what
// it is answered.
func asked() []struct{ method, path, body, schema string } {
	const order, refund = "/v1/orders/T20260301000001", "/v1/refunds/R20260302000001"
	return []struct{ method, path, body, schema string }{
		{"POST", "/v1/orders", goodOrder, "Order"},
		{"GET", order, "", "Order"},
		{"POST", order + "/check", "", "Order"},
		{"POST", order + "/close", "{}", "Order"},
		{"GET", order + "/history", "", "History"},
		{"POST", "/v1/refunds", `{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":1}`, "Refund"},
		{"GET", refund, "", "Refund"},
		{"POST", refund + "/abnormal", toUser, "Refund"},
		{"GET", "/v1/commands/0191d5e4-7a3b-7c00-8000-000000000001", "", "Command"},
		{"GET", "/v1/accounts/" + accountID, "", "Account"},
		{"POST", "/v1/accounts/" + accountID + "/refresh", `{"appid":"wx8888888888888888"}`, "Account"},
	}
}

func TestSchema_holds_for_the_business_APIs_answers(t *testing.T) {
	t.Parallel()
	schema := shopapi.Load(t, schemaFile)
	for _, row := range asked() {
		b := newBench(t)
		example := schema.Example(t, row.schema)
		for _, status := range []int{http.StatusOK, http.StatusAccepted} {
			b.replied, b.result = status == http.StatusOK, pay.CommandResult{Status: http.StatusCreated, Body: []byte(example)}
			if row.path == "/v1/orders/T20260301000001/close" {
				b.result.Status = http.StatusOK
			}
			b.worker.answer = says(`{"status":` + strconv.Itoa(status) + `,"body":` + example + `}`)
			if status == http.StatusAccepted && (row.schema == "Account" || row.schema == "History" || row.method == "GET" && row.schema != "Command") {
				continue // these are answered at once
			}
			r := ask(row.method, row.path, row.body)
			answer := b.send(r)
			require.Less(t, answer.Code, 300, "%s %s: %s", row.method, row.path, answer.Body)
			schema.Check(t, r, row.body, answer.Code, answer.Header(), answer.Body.String())
		}
	}
}

func TestSchema_holds_for_the_business_APIs_refusals(t *testing.T) {
	t.Parallel()
	schema := shopapi.Load(t, schemaFile)
	refusal, err := problem.WriteRefusal(problem.New(problem.NotFound, "no such thing"))
	require.NoError(t, err)
	for _, row := range asked() {
		for name, change := range map[string]func(*bench, *http.Request){
			"no key":     func(_ *bench, r *http.Request) { r.Header.Del("Authorization") },
			"gate shut":  func(b *bench, _ *http.Request) { b.gate.Set(nil) },
			"no broker":  func(b *bench, _ *http.Request) { b.err = errors.New("away") },
			"not there":  func(b *bench, _ *http.Request) { b.worker.answer = says(string(refusal)); b.err = errors.New("away") },
			"no meaning": func(b *bench, _ *http.Request) { b.worker.answer = says("[]"); b.replied = true },
			"other media": func(b *bench, r *http.Request) {
				b.err = errors.New("away")
				r.Header.Set("Content-Type", "text/plain")
			},
		} {
			b := newBench(t)
			r := ask(row.method, row.path, row.body)
			change(b, r)
			answer := b.send(r)
			require.GreaterOrEqual(t, answer.Code, 400, "%s: %s %s", name, row.method, row.path)
			schema.Check(t, r, row.body, answer.Code, answer.Header(), answer.Body.String())
		}
	}
}

func TestSchema_holds_for_introspection(t *testing.T) {
	t.Parallel()
	schema := shopapi.Load(t, schemaFile)
	_, verifier := house(t)
	b := newBench(t)
	b.Sessions = verifier
	for body, status := range map[string]int{`{"session":"x"}`: 200, `{"session":1}`: 422, `{}`: 422} {
		r := ask("POST", "/v1/sessions/introspect", body)
		answer := b.send(r)
		require.Equal(t, status, answer.Code)
		schema.Check(t, r, body, answer.Code, answer.Header(), answer.Body.String())
	}
}
