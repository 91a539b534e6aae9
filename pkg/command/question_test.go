package command_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
)

type fields map[string]any

// create is an order.create as the edge sends it.
func (b *bundle) create(no string, change ...func(fields)) pay.Command {
	b.t.Helper()
	f := fields{
		"out_trade_no": no, "appid": b.merchant.Appid, "client": "jsapi", "description": "tea", "amount_fen": 100, "currency": "CNY",
		"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "time_expire": b.clock.Now().Add(2 * time.Hour).Truncate(time.Second).Format(time.RFC3339),
	}
	for _, c := range change {
		c(f)
	}
	body, err := json.Marshal(f)
	require.NoError(b.t, err)
	id, err := uuid.NewV7()
	require.NoError(b.t, err)
	now := b.clock.Now()
	return pay.Command{
		ID: pay.CommandID(id.String()), MchID: pay.MchID(b.merchant.Mchid), Kind: pay.CommandOrderCreate, OutTradeNo: pay.OutTradeNo(no),
		Digest: "digest-of-" + no, Body: body, ReceivedAt: now, Deadline: now.Add(time.Minute),
	}
}

type reply struct {
	OutRefundNo   string     `json:"out_refund_no"`
	OutTradeNo    string     `json:"out_trade_no"`
	State         string     `json:"state"`
	Sequence      int        `json:"sequence"`
	AmountFen     int        `json:"amount_fen"`
	TransactionID string     `json:"transaction_id"`
	PaidAt        *time.Time `json:"paid_at"`
	Late          bool       `json:"late"`
	Pay           flat       `json:"pay"`
	Digest        string     `json:"digest"`
	Code          string     `json:"code"`
	Detail        string     `json:"detail"`
}

// flat are the texts of an object, without the objects in it.
type flat map[string]string

func (f *flat) UnmarshalJSON(raw []byte) error {
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	*f = flat{}
	for name, value := range all {
		if text, is := value.(string); is {
			(*f)[name] = text
		}
	}
	return nil
}

// shut is an order.close as the edge sends it.
func (b *bundle) shut(no string) pay.Command {
	b.t.Helper()
	id, err := uuid.NewV7()
	require.NoError(b.t, err)
	return pay.Command{
		ID: pay.CommandID(id.String()), MchID: pay.MchID(b.merchant.Mchid), Kind: pay.CommandOrderClose, OutTradeNo: pay.OutTradeNo(no),
		Digest: "close-of-" + no, Body: []byte("{}"), ReceivedAt: b.clock.Now(),
	}
}

// refund is a refund.create as the edge sends it; the digest is made of what is
// asked for.
func (b *bundle) refund(no string, f fields) pay.Command {
	b.t.Helper()
	f["out_refund_no"] = no
	body, err := json.Marshal(f)
	require.NoError(b.t, err)
	id, err := uuid.NewV7()
	require.NoError(b.t, err)
	order, _ := f["out_trade_no"].(string)
	return pay.Command{
		ID: pay.CommandID(id.String()), MchID: pay.MchID(b.merchant.Mchid), Kind: pay.CommandRefundCreate, OutTradeNo: pay.OutTradeNo(order),
		OutRefundNo: pay.OutRefundNo(no), Digest: "digest-of-" + string(body), Body: body, ReceivedAt: b.clock.Now(),
	}
}

// paid places an order and lets it be paid, with the payment in the books.
func (b *bundle) paid(no string) {
	b.t.Helper()
	b.execute(b.create(no))
	b.payAt(no)
	status, r := b.check(no)
	require.Equal(b.t, http.StatusOK, status)
	require.Equal(b.t, "paid", r.State)
}

// payAt pays at the platform; its notification is lost.
func (b *bundle) payAt(no string) {
	b.t.Helper()
	_, err := b.platform.Pay(no, simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(b.t, err)
}

// ask puts a question to the service and gives status and body of its answer.
func (b *bundle) ask(serve func(context.Context, []byte) ([]byte, error), question fields) (int, []byte) {
	b.t.Helper()
	question["mchid"] = b.merchant.Mchid
	raw, err := json.Marshal(question)
	require.NoError(b.t, err)
	answer, err := serve(b.t.Context(), raw)
	require.NoError(b.t, err)
	return unwrap(b.t, answer)
}

func unwrap(t *testing.T, answer []byte) (status int, body []byte) {
	t.Helper()
	var a struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	}
	require.NoError(t, json.Unmarshal(answer, &a))
	return a.Status, a.Body
}

func (b *bundle) check(no string) (int, reply) {
	b.t.Helper()
	status, body := b.ask(b.service.ActCheck, fields{"out_trade_no": no})
	return status, parse(b.t, body)
}

func (b *bundle) execute(cmd pay.Command) (pay.CommandResult, reply) {
	b.t.Helper()
	result, err := b.service.Execute(b.t.Context(), cmd)
	require.NoError(b.t, err)
	return result, parse(b.t, result.Body)
}

func parse(t *testing.T, body []byte) reply {
	t.Helper()
	var r reply
	require.NoError(t, json.Unmarshal(body, &r), string(body))
	return r
}

func (b *bundle) order(no string) pay.Order {
	b.t.Helper()
	order, found, err := b.store.Order(b.t.Context(), pay.MchID(b.merchant.Mchid), pay.OutTradeNo(no))
	require.NoError(b.t, err)
	require.True(b.t, found)
	return order
}

func (b *bundle) count(query string, args ...any) int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.db.QueryRowContext(b.t.Context(), query, args...).Scan(&n))
	return n
}
