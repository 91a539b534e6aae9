package event_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
)

const schemas = "../../schema/events"

func types() []string {
	return []string{event.TypeOrderCreated, event.TypeOrderPrepared, event.TypeOrderPaid, event.TypeOrderClosed, event.TypeOrderFailed, event.TypeOrderAnomaly}
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
			schema := compile(t, typ)
			raw, err := os.ReadFile(filepath.Join(schemas, strings.TrimPrefix(typ, "fenflow.")+".example.json"))
			require.NoError(t, err)

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

func validate(t *testing.T, schema *jsonschema.Schema, raw []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	require.NoError(t, err)
	return schema.Validate(doc)
}

func TestTypeOf_covers_every_fact(t *testing.T) {
	t.Parallel()
	facts := []pay.Fact{pay.FactOrderCreated, pay.FactOrderPrepared, pay.FactOrderPaid, pay.FactOrderClosed, pay.FactOrderFailed, pay.FactOrderAnomaly}
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
