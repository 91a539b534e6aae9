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

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
)

func TestMessageSchema_accepts_its_example_and_knows_every_field(t *testing.T) {
	t.Parallel()
	schema, raw := compile(t, event.TypeMessageReceived), example(t, event.TypeMessageReceived)
	require.NoError(t, validate(t, schema, raw))
	e, err := event.ParseMessage(raw)
	require.NoError(t, err)
	again, err := json.Marshal(e)
	require.NoError(t, err)
	require.JSONEq(t, string(raw), string(again))
	for _, swap := range [][2]string{{`"msg_type": "event"`, `"msg_type": ""`}, {"/apps/wx", "/apps/wx/"}, {".received.v1", ".received.v2"}, {`"EventKey": "tea_of_the_day"`, `"EventKey": 1`}} {
		require.Contains(t, string(raw), swap[0])
		require.Error(t, validate(t, schema, bytes.Replace(raw, []byte(swap[0]), []byte(swap[1]), 1)), swap[1])
	}
}

func TestMessageSchema_names_every_field_of_the_structs(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(schemas, "message.received.v1.schema.json"))
	require.NoError(t, err)
	var schema struct {
		Properties map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"properties"`
	}
	require.NoError(t, json.Unmarshal(raw, &schema))
	require.ElementsMatch(t, slices.Collect(maps.Keys(schema.Properties)), jsonNames(reflect.TypeFor[event.MessageEvent]()))
	require.ElementsMatch(t, slices.Collect(maps.Keys(schema.Properties["data"].Properties)), jsonNames(reflect.TypeFor[event.Message]()))
}

func jsonNames(of reflect.Type) []string {
	var names []string
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

func TestParseMessage_refuses_half_a_message(t *testing.T) {
	t.Parallel()
	const whole = `{"specversion":"1.0","id":"a","type":"fenflow.message.received.v1","data":{"appid":"wx1","msg_type":"text"}}`
	_, err := event.ParseMessage([]byte(whole))
	require.NoError(t, err)
	for _, gone := range []string{`"id":"a",`, `"appid":"wx1",`, `"specversion":"1.0",`, `"type":"fenflow.message.received.v1",`, `,"msg_type":"text"`} {
		_, err := event.ParseMessage([]byte(strings.Replace(whole, gone, "", 1)))
		require.ErrorContains(t, err, "parse message", gone)
	}
	_, err = event.ParseMessage([]byte("<xml/>"))
	require.ErrorContains(t, err, "parse message")
}

// A subscriber of orders that is handed a message by mistake must not stop.
func TestParse_takes_a_message_for_a_type_of_another_kind(t *testing.T) {
	t.Parallel()
	e, err := event.Parse(example(t, event.TypeMessageReceived))
	require.NoError(t, err)
	require.Equal(t, event.TypeMessageReceived, e.Type)
	require.Empty(t, e.Data.OutTradeNo)
}
