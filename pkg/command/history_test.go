package command_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// told is a history as a shop reads it.
type told struct {
	State   string `json:"state"`
	Entries []struct {
		Sequence   int       `json:"sequence"`
		What       string    `json:"what"`
		Source     string    `json:"source"`
		From       string    `json:"from"`
		To         string    `json:"to"`
		RefundFrom string    `json:"refund_from"`
		RefundTo   string    `json:"refund_to"`
		DeliveryID string    `json:"delivery_id"`
		KeyID      string    `json:"key_id"`
		At         time.Time `json:"at"`
	} `json:"entries"`
	Payments []struct {
		TransactionID string     `json:"transaction_id"`
		AmountFen     int        `json:"amount_fen"`
		RefundedFen   int        `json:"refunded_fen"`
		ReservedFen   int        `json:"reserved_fen"`
		NotifiedAt    *time.Time `json:"notified_at"`
	} `json:"payments"`
	Refunds []struct {
		OutRefundNo string `json:"out_refund_no"`
		State       string `json:"state"`
		Attempts    []struct {
			Number  int    `json:"number"`
			Outcome string `json:"outcome"`
			Code    string `json:"code"`
		} `json:"attempts"`
	} `json:"refunds"`
	Anomalies []struct {
		Kind   string `json:"kind"`
		State  string `json:"state"`
		Policy string `json:"policy"`
	} `json:"anomalies"`
}

func (b *bundle) history(no string) told {
	b.t.Helper()
	status, body := b.ask(b.service.ReadHistory, fields{"out_trade_no": no})
	require.Equal(b.t, http.StatusOK, status, string(body))
	var h told
	require.NoError(b.t, json.Unmarshal(body, &h))
	return h
}

func TestHistory_tells_every_change_with_the_key_that_proved_it(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	b.execute(b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 30}))
	b.word("R1", pay.RefundSucceeded)
	b.execute(b.refund("R2", fields{"out_trade_no": "T00000001", "amount_fen": 20}))
	h := b.history("T00000001")
	require.Equal(t, "paid", h.State)
	var path []string
	for i, e := range h.Entries {
		require.Equal(t, i+1, e.Sequence)
		path = append(path, e.What+" by "+e.Source)
		if e.Source == "query" || e.What == "prepared" {
			require.Equal(t, b.merchant.PublicKeyID, e.KeyID, e.What)
		}
		if e.What == "prepared" || e.What == "paid" {
			_, err := uuid.Parse(e.DeliveryID)
			require.NoError(t, err, "the bytes that moved it are in the archive")
		}
	}
	require.Equal(t, []string{
		"created by command", "prepared by command", "paid by query", "refund_requested by command",
		"refund_processing by query", "refund_succeeded by query", "refund_requested by command",
	}, path)
	require.Equal(t, "processing", h.Entries[5].RefundFrom)
	require.Equal(t, "succeeded", h.Entries[5].RefundTo)
	require.Len(t, h.Payments, 1)
	require.Equal(t, 30, h.Payments[0].RefundedFen)
	require.Equal(t, 20, h.Payments[0].ReservedFen)
	require.Nil(t, h.Payments[0].NotifiedAt)
	require.Len(t, h.Refunds, 2)
	require.Equal(t, "succeeded", h.Refunds[0].State)
	require.Empty(t, h.Anomalies)
}

func TestHistory_tells_of_the_latest_attempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	b.execute(b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 30}))
	_, err := b.db.ExecContext(t.Context(), `INSERT INTO refund_attempts (mchid, out_refund_no, attempt, started_at, finished_at, outcome, status, code)
		SELECT $1, 'R1', n, $2::timestamptz, $2, 'rejected', 400, 'INVALID_REQUEST' FROM generate_series(1, 25) AS n`, b.merchant.Mchid, b.clock.Now())
	require.NoError(t, err)
	attempts := b.history("T00000001").Refunds[0].Attempts
	require.Len(t, attempts, 20)
	require.Equal(t, 6, attempts[0].Number)
	require.Equal(t, 25, attempts[19].Number)
	require.Equal(t, "INVALID_REQUEST", attempts[19].Code)
}

func TestHistory_tells_of_money_that_does_not_fit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	_, err := b.store.Settle(t.Context(), []pay.Entry{{Observation: &pay.Observation{
		Kind: pay.ObservedPaid, Source: pay.SourceNotification, ObservedAt: b.clock.Now(), MchID: pay.MchID(b.merchant.Mchid),
		AppID: pay.AppID(b.merchant.Appid), OutTradeNo: "T00000001", TransactionID: "4200000002", Amount: 100, PayerTotal: 100, Currency: pay.CNY, PaidAt: b.clock.Now(),
	}}}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(t, err)
	h := b.history("T00000001")
	require.Len(t, h.Anomalies, 1)
	require.Equal(t, "double_payment", h.Anomalies[0].Kind)
	require.Equal(t, "refund", h.Anomalies[0].Policy)
	require.Len(t, h.Refunds, 1)
	require.Equal(t, "auto-4200000002", h.Refunds[0].OutRefundNo)
	require.Len(t, h.Payments, 2)
}

func TestHistory_writes_empty_lists_and_404(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	_, body := b.ask(b.service.ReadHistory, fields{"out_trade_no": "T00000001"})
	for _, list := range []string{`"payments":[]`, `"refunds":[]`, `"anomalies":[]`} {
		require.Contains(t, string(body), list)
	}
	status, _ := b.ask(b.service.ReadHistory, fields{"out_trade_no": "T00000009"})
	require.Equal(t, http.StatusNotFound, status)
	_, err := b.service.ReadHistory(t.Context(), []byte("{"))
	require.Error(t, err)
}
