package store

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
)

const eventSchemas = "../../schema/events"

// lifeOfOrders plays orders through every fact that can be told of one.
func lifeOfOrders() []pay.Event {
	at := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	order := pay.Order{
		MchID: "1900000109", OutTradeNo: "T20260301000001", AppID: "wx8888888888888888", Client: pay.ClientJSAPI, Protocol: pay.ProtocolV3,
		Description: "One pot of tea", Amount: 100, Currency: pay.CNY, OpenID: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
		Digest:    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		CreatedAt: at, ExpiresAt: at.Add(2 * time.Hour),
	}
	says := func(kind pay.ObservationKind, tx pay.TransactionID) pay.Observation {
		return pay.Observation{
			Kind: kind, Source: pay.SourceNotification, ObservedAt: at.Add(time.Minute), MchID: order.MchID, OutTradeNo: order.OutTradeNo, AppID: order.AppID,
			TransactionID: tx, Amount: 100, Currency: pay.CNY, PaidAt: at.Add(50 * time.Second), Credential: pay.Credential{PrepayID: "wx1"}, Code: "PARAM_ERROR", Reason: "refused",
		}
	}
	refunds := func(no pay.OutRefundNo, state pay.RefundState) pay.Observation {
		obs := says(pay.ObservedRefund, "4200000001")
		obs.OutRefundNo, obs.RefundAmount, obs.RefundState, obs.RefundID, obs.ReceivedAccount = no, 60, state, "50"+string(no), "purse"
		return obs
	}
	wished := refunds("R4", "")
	wished.Kind, wished.Origin, wished.Digest = pay.ObservedRefundRequested, pay.RefundByCommand, order.Digest
	gone := refunds("R4", "")
	gone.Kind, gone.AskedAt = pay.ObservedRefundMissing, at.Add(time.Hour)
	var told []pay.Event
	for _, life := range [][]pay.Observation{
		{says(pay.ObservedPrepared, ""), says(pay.ObservedPaid, "4200000001"), says(pay.ObservedPaid, "4200000002")},
		{says(pay.ObservedClosed, ""), says(pay.ObservedPaid, "4200000001")},
		{says(pay.ObservedRefused, "")},
		{says(pay.ObservedPaid, "4200000001"), refunds("R1", pay.RefundSucceeded), refunds("R2", pay.RefundClosed), refunds("R3", pay.RefundAbnormal)},
		{says(pay.ObservedPaid, "4200000001"), wished, gone},
	} {
		book, change := pay.NewOrder(order, pay.SourceCommand)
		told = append(told, change.Events...)
		book.Attempts = map[pay.OutRefundNo][]pay.Attempt{"R4": {{Number: 1, StartedAt: at, FinishedAt: at.Add(time.Second), Outcome: pay.AttemptRejected}}}
		for _, obs := range life {
			told = append(told, book.Apply(obs, pay.Policies{}).Events...)
		}
	}
	return told
}

func TestEncodeEvents_writes_what_the_schemas_promise(t *testing.T) {
	t.Parallel()
	events := lifeOfOrders()
	outgoing, err := encodeEvents(events)
	require.NoError(t, err)
	seen := map[pay.Fact]bool{}
	for i, out := range outgoing {
		seen[out.Fact] = true
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		schema, err := compiler.Compile(filepath.Join(eventSchemas, string(out.Fact)+".v1.schema.json"))
		require.NoError(t, err)
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(out.Payload))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(document), "%s: %s", out.Fact, out.Payload)

		parsed, err := event.Parse(out.Payload)
		require.NoError(t, err)
		require.Equal(t, out.EventID, parsed.ID)
		require.Equal(t, events[i].Order.Sequence, parsed.Data.Sequence)
	}
	require.Len(t, seen, 11, "every fact was told")
}

// A reader of the examples may derive the ids: they are true ones. (A message's is
// no fact of the books; package message sees to it.)
func TestEventIDs_of_the_examples(t *testing.T) {
	t.Parallel()
	examples, err := filepath.Glob(filepath.Join(eventSchemas, "[or]*.example.json"))
	require.NoError(t, err)
	require.Len(t, examples, 11)
	for _, path := range examples {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		var e event.Event
		require.NoError(t, json.Unmarshal(raw, &e))
		told := pay.Event{Fact: pay.Fact(filepath.Base(path[:len(path)-len(".v1.example.json")])), Order: pay.Order{
			MchID: pay.MchID(e.Data.MchID), OutTradeNo: pay.OutTradeNo(e.Data.OutTradeNo), TransactionID: pay.TransactionID(e.Data.TransactionID),
		}}
		if a := e.Data.Anomaly; a != nil {
			told.Anomaly = &pay.Anomaly{Kind: pay.AnomalyKind(a.Kind), TransactionID: pay.TransactionID(a.TransactionID), OutRefundNo: pay.OutRefundNo(a.OutRefundNo)}
		}
		if r := e.Data.Refund; r != nil {
			told.Refund = &pay.Refund{OutRefundNo: pay.OutRefundNo(r.OutRefundNo)}
		}
		require.Equal(t, eventID(told), e.ID, path)
	}
}
