package event_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
)

const schemas = "../../schema/events"

func types() []string { return append(orderTypes(), refundTypes()...) }

func orderTypes() []string {
	return []string{event.TypeOrderCreated, event.TypeOrderPrepared, event.TypeOrderPaid, event.TypeOrderClosed, event.TypeOrderFailed, event.TypeOrderAnomaly}
}

func refundTypes() []string {
	return []string{event.TypeRefundRequested, event.TypeRefundSucceeded, event.TypeRefundClosed, event.TypeRefundAbnormal, event.TypeRefundFailed}
}

func compile(t *testing.T, typ string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(filepath.Join(schemas, strings.TrimPrefix(typ, "fenflow.")+".schema.json"))
	require.NoError(t, err)
	return schema
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	for _, typ := range types() {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			schema, raw := compile(t, typ), example(t, typ)

			t.Run("accept their example", func(t *testing.T) {
				t.Parallel()
				require.NoError(t, validate(t, schema, raw))
			})
			t.Run("know every field of the Go struct", func(t *testing.T) {
				t.Parallel()
				e, err := event.Parse(raw)
				require.NoError(t, err)
				again, err := json.Marshal(e)
				require.NoError(t, err)
				require.JSONEq(t, string(raw), string(again))
			})
			t.Run("refuse a float amount, another type and another state", func(t *testing.T) {
				t.Parallel()
				for _, swap := range [][2]string{{`"amount_fen": 100`, `"amount_fen": 100.5`}, {typ, "fenflow.order.other.v1"}, {`"state": "`, `"state": "un`}} {
					require.Contains(t, string(raw), swap[0])
					require.Error(t, validate(t, schema, bytes.Replace(raw, []byte(swap[0]), []byte(swap[1]), 1)), swap[1])
				}
			})
		})
	}
}

func example(t *testing.T, typ string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(schemas, strings.TrimPrefix(typ, "fenflow.")+".example.json"))
	require.NoError(t, err)
	return raw
}

func TestSchemas_of_refunds_want_the_refund_as_it_stands_after_the_fact(t *testing.T) {
	t.Parallel()
	for _, typ := range refundTypes() {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			schema, raw := compile(t, typ), example(t, typ)
			for name, spoil := range map[string]func(data, refund map[string]any){
				"no refund":         func(data, _ map[string]any) { delete(data, "refund") },
				"another state":     func(_, refund map[string]any) { refund["state"] = "processing" },
				"unknown state":     func(_, refund map[string]any) { refund["state"] = "done" },
				"float amount":      func(_, refund map[string]any) { refund["amount_fen"] = 60.5 },
				"no amount":         func(_, refund map[string]any) { delete(refund, "amount_fen") },
				"amount of nothing": func(_, refund map[string]any) { refund["amount_fen"] = 0 },
				"no payment":        func(_, refund map[string]any) { delete(refund, "transaction_id") },
				"unknown origin":    func(_, refund map[string]any) { refund["origin"] = "somebody" },
				"number of spaces":  func(_, refund map[string]any) { refund["out_refund_no"] = "R 1" },
			} {
				var doc map[string]any
				require.NoError(t, json.Unmarshal(raw, &doc))
				data := doc["data"].(map[string]any)
				spoil(data, data["refund"].(map[string]any))
				spoiled, err := json.Marshal(doc)
				require.NoError(t, err)
				require.Error(t, validate(t, schema, spoiled), name)
			}
		})
	}
	for typ, field := range map[string]string{event.TypeRefundSucceeded: "succeeded_at", event.TypeRefundFailed: "failure"} {
		var doc map[string]any
		require.NoError(t, json.Unmarshal(example(t, typ), &doc))
		delete(doc["data"].(map[string]any)["refund"].(map[string]any), field)
		spoiled, err := json.Marshal(doc)
		require.NoError(t, err)
		require.ErrorContains(t, validate(t, compile(t, typ), spoiled), field)
	}
}

// A field that the Go struct has and the schema has not would be published and
// never promised; here every field is set, and the schema allows no other.
func TestSchema_names_every_field_of_the_structs(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(schemas, "order.schema.json"))
	require.NoError(t, err)
	type node struct {
		Properties map[string]node `json:"properties"`
	}
	var schema node
	require.NoError(t, json.Unmarshal(raw, &schema))
	for path, value := range map[string]reflect.Type{
		"":                    reflect.TypeFor[event.Event](),
		"data":                reflect.TypeFor[event.Order](),
		"data.failure":        reflect.TypeFor[event.Failure](),
		"data.anomaly":        reflect.TypeFor[event.Anomaly](),
		"data.refund":         reflect.TypeFor[event.Refund](),
		"data.refund.failure": reflect.TypeFor[event.Failure](),
	} {
		at := schema
		for name := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '.' }) {
			at = at.Properties[name]
		}
		var fields []string
		for i := range value.NumField() {
			if name, _, _ := strings.Cut(value.Field(i).Tag.Get("json"), ","); name != "-" { // not on the wire
				fields = append(fields, name)
			}
		}
		require.ElementsMatch(t, slices.Collect(maps.Keys(at.Properties)), fields, path)
	}
}

func validate(t *testing.T, schema *jsonschema.Schema, raw []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	require.NoError(t, err)
	return schema.Validate(doc)
}

func TestTypeOf_covers_every_fact(t *testing.T) {
	t.Parallel()
	facts := []pay.Fact{
		pay.FactOrderCreated, pay.FactOrderPrepared, pay.FactOrderPaid, pay.FactOrderClosed, pay.FactOrderFailed, pay.FactOrderAnomaly,
		pay.FactRefundRequested, pay.FactRefundSucceeded, pay.FactRefundClosed, pay.FactRefundAbnormal, pay.FactRefundFailed,
	}
	got := make([]string, 0, len(facts))
	for _, f := range facts {
		got = append(got, event.TypeOf(string(f)))
	}
	require.Equal(t, types(), got)
}

func TestParse_refuses_half_an_event(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "{}", `{"specversion":"1.0"}`, `{"specversion":"1.0","id":"a","type":"b"}`, `{"specversion":"0.3","id":"a","type":"b","data":{"mchid":"1","out_trade_no":"2"}}`} {
		_, err := event.Parse([]byte(raw))
		require.ErrorContains(t, err, "parse event", raw)
	}
}

func TestParse_holds_known_types_to_an_order(t *testing.T) {
	t.Parallel()
	for _, typ := range types() {
		for _, data := range []string{`null`, `{}`, `[]`, `{"mchid":"1"}`, `{"mchid":"1","out_trade_no":2}`} {
			_, err := event.Parse([]byte(`{"specversion":"1.0","id":"a","type":"` + typ + `","data":` + data + `}`))
			require.ErrorContains(t, err, "parse event", "%s %s", typ, data)
		}
	}
}

// What a later version publishes must not stop the subscribers of today.
func TestParse_takes_types_of_a_later_version_with_their_bytes(t *testing.T) {
	t.Parallel()
	for data, order := range map[string]string{
		`{"date":"2026-01-02","differences":[1,2]}`:        "",   // a bill, say
		`{"mchid":1,"out_trade_no":"T1"}`:                  "",   // an order in another shape: nothing rather than half of it
		`{"mchid":"1900000109"}`:                           "",   // names no order
		`{"mchid":"1900000109","out_trade_no":"T1","x":1}`: "T1", // an order with more to it
	} {
		e, err := event.Parse([]byte(`{"specversion":"1.0","id":"a","type":"fenflow.later.thing.v1","data":` + data + `}`))
		require.NoError(t, err, data)
		require.Equal(t, "fenflow.later.thing.v1", e.Type)
		require.Equal(t, order, e.Data.OutTradeNo, data)
		require.JSONEq(t, data, string(e.RawData))
		if order == "" {
			require.Zero(t, e.Data, data)
		}
	}
}

func TestParse_keeps_the_bytes_of_data(t *testing.T) {
	t.Parallel()
	e, err := event.Parse(example(t, event.TypeOrderPaid))
	require.NoError(t, err)
	var order event.Order
	require.NoError(t, json.Unmarshal(e.RawData, &order))
	require.Equal(t, e.Data, order)
}
