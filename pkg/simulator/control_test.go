package simulator_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

func TestControl(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shop := newReceiver(t, noContent)
	b.place(t, "order-1", b.notifyURL(shop))
	status, body := b.post(t, "/control/orders/order-1/pay",
		`{"amount_fen":99,"coupon_fen":9,"openid":"oSomebody","transaction_id":"4200000000000000000000000001"}`)
	require.Equal(t, http.StatusOK, status, body)
	b.settled(t)

	_, text := b.get(t, "/control/ledger")
	var ledger simulator.Ledger
	require.NoError(t, json.Unmarshal([]byte(text), &ledger))
	require.Len(t, ledger.Payments, 1)
	payment := ledger.Payments[0]
	require.WithinDuration(t, time.Now(), payment.PaidAt, soon)
	require.Equal(t, time.UTC, payment.PaidAt.Location())
	payment.PaidAt = time.Time{}
	require.Equal(t, simulator.Payment{TransactionID: "4200000000000000000000000001", OutTradeNo: "order-1",
		AmountFen: 99, PayerFen: 90, CouponFen: 9, Openid: "oSomebody"}, payment)
	require.EqualValues(t, 100, ledger.Orders[0].AmountFen, "the order is what was asked for")
	require.EqualValues(t, 99, *b.parse(t, shop.all()[0]).Amount.Total, "the notification says what was paid")

	status, text = b.get(t, "/control/orders/order-1")
	require.Equal(t, http.StatusOK, status)
	var order struct {
		State      string
		Deliveries []simulator.Attempt
	}
	require.NoError(t, json.Unmarshal([]byte(text), &order))
	require.Equal(t, "success", order.State)
	require.Len(t, order.Deliveries, 1)
	require.Equal(t, http.StatusNoContent, order.Deliveries[0].Status)

	_, text = b.get(t, "/control/deliveries?summary=1")
	var summary simulator.Summary
	require.NoError(t, json.Unmarshal([]byte(text), &summary))
	require.Equal(t, 1, summary.Acknowledged)
	require.Len(t, summary.AckMs, 1)
	_, text = b.get(t, "/control/deliveries")
	require.Contains(t, text, `"kind":"genuine"`)
}

func TestControlRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.place(t, "order-1", "http://127.0.0.1:1/n")
	rows := map[string]struct {
		path, body string
		status     int
	}{
		"an unknown order":       {"/control/orders/nothing/pay", `{}`, http.StatusNotFound},
		"an unknown field":       {"/control/orders/order-1/pay", `{"colour":1}`, http.StatusBadRequest},
		"a fraction":             {"/control/orders/order-1/pay", `{"amount_fen":1.5}`, http.StatusBadRequest},
		"an amount of zero":      {"/control/orders/order-1/pay", `{"amount_fen":0}`, http.StatusBadRequest},
		"a coupon beyond amount": {"/control/orders/order-1/pay", `{"coupon_fen":101}`, http.StatusBadRequest},
		"an unknown protocol":    {"/control/orders/order-1/pay", `{"notify":"v4"}`, http.StatusBadRequest},
		"too many duplicates":    {"/control/orders/order-1/pay", `{"duplicates":1001}`, http.StatusBadRequest},
		"a notify_url in parts":  {"/control/orders/order-1/pay", `{"notify_url":"/n"}`, http.StatusBadRequest},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := b.post(t, row.path, row.body)
			require.Equal(t, row.status, status, body)
			require.Contains(t, body, `"error"`)
		})
	}
}

func TestAnOrderIsPaidOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.place(t, "order-1", "http://127.0.0.1:1/n")
	b.place(t, "order-2", "http://127.0.0.1:1/n")
	status, first := b.post(t, "/control/orders/order-1/pay", `{"notify":"none","transaction_id":"42"}`)
	require.Equal(t, http.StatusOK, status, first)
	status, body := b.post(t, "/control/orders/order-1/pay", ``)
	require.Equal(t, http.StatusConflict, status, "an order is paid once")
	require.Contains(t, body, `"transaction_id":"42"`, "the answer shows the payment in the way")
	status, _ = b.post(t, "/control/orders/order-2/pay", `{"transaction_id":"42"}`)
	require.Equal(t, http.StatusConflict, status, "a transaction belongs to one order")
}
