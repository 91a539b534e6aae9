package message

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/wechat"
)

// A reader of the example may derive all of it from what WeChat sent, its id included.
func TestEncode_makes_the_example(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("../../schema/events/message.received.v1.example.json")
	require.NoError(t, err)
	var e event.MessageEvent
	require.NoError(t, json.Unmarshal(example, &e))
	m, err := wechat.ParseMessage([]byte(e.Data.Raw))
	require.NoError(t, err)
	_, made, err := encode("1900000109", "wx8888888888888888", m)
	require.NoError(t, err)
	require.JSONEq(t, string(example), string(made))
}
