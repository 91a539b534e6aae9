package worker_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/testkit"
)

// decision is a command as the console sends it.
func (w *world) decision(kind pay.CommandKind, anomaly pay.AnomalyKind, tx string) pay.Command {
	w.t.Helper()
	return w.command(kind, "", "", fmt.Sprintf(`{"transaction_id":%q,"kind":%q,"actor":"token:ada","reason":"the customer called"}`, tx, anomaly))
}

// oddMoney waits for an anomaly and gives its transaction.
func (w *world) oddMoney(no string, kind pay.AnomalyKind) (tx string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		return w.db.QueryRowContext(w.t.Context(), `SELECT transaction_id FROM anomalies WHERE out_trade_no = $1 AND kind = $2 AND state = 'open'`, no, string(kind)).Scan(&tx) == nil
	}, soon, often)
	return tx
}

// A merchant who holds everything: late and doubled money waits, and what the
// console commands is carried out once, under the permissions of production,
// whichever worker is there, and after one was away.
func TestWorker_carries_out_what_operators_decide(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	w.configure("protocol: v3\n", "protocol: v3\n      anomalies: {late_payment: hold, double_payment: hold}\n")
	r := w.start()
	w.ready(r)
	console := w.connect("console")
	submit := func(b *bus.Bus, cmd pay.Command) pay.CommandResult {
		result, replied, err := b.SubmitCommand(t.Context(), cmd, 25*time.Second)
		require.NoError(t, err)
		require.True(t, replied)
		return result
	}

	// Late money: the order was closed, and is paid all the same.
	w.place("T00000001")
	require.Equal(t, http.StatusOK, w.submit(w.command(pay.CommandOrderClose, "T00000001", "", "{}")).Status)
	_, err := w.platform.SetFault(simulator.Fault{Kind: simulator.FaultSuccessAfterClose, OutTradeNo: "T00000001", Count: 1})
	require.NoError(t, err)
	_, err = w.platform.Pay("T00000001", simulator.PayRequest{})
	require.NoError(t, err)
	late := w.oddMoney("T00000001", pay.AnomalyLatePayment)
	// Doubled money: of two payments one pays.
	w.place("T00000002")
	_, err = w.platform.SetFault(simulator.Fault{Kind: simulator.FaultSecondPayment, OutTradeNo: "T00000002", Count: 1})
	require.NoError(t, err)
	_, err = w.platform.Pay("T00000002", simulator.PayRequest{})
	require.NoError(t, err)
	double := w.oddMoney("T00000002", pay.AnomalyDoublePayment)
	require.Equal(t, 1, w.count(`SELECT count(*) FROM orders WHERE state = 'paid'`))

	accept := w.decision(pay.CommandAnomalyAccept, pay.AnomalyLatePayment, late)
	require.Equal(t, http.StatusOK, submit(console, accept).Status)
	w.allPaid(2)
	require.Equal(t, 1, w.count(`SELECT count(*) FROM orders WHERE out_trade_no = 'T00000001' AND late AND transaction_id = $1`, late))
	require.Equal(t, http.StatusConflict, submit(console, w.decision(pay.CommandAnomalyRefund, pay.AnomalyLatePayment, late)).Status)

	// Decided while no worker runs: the stream keeps it.
	require.NoError(t, r.stop())
	require.NoError(t, console.PublishCommand(t.Context(), w.decision(pay.CommandAnomalyAccept, pay.AnomalyDoublePayment, double)))
	require.NoError(t, console.PublishCommand(t.Context(), w.decision(pay.CommandAnomalyAccept, pay.AnomalyDoublePayment, double)))
	again := w.start()
	w.ready(again)
	require.Eventually(t, func() bool { return w.count(`SELECT count(*) FROM commands WHERE kind = 'anomaly.accept'`) == 3 }, soon, often)
	require.Equal(t, 1, w.count(`SELECT count(*) FROM anomalies WHERE transaction_id = $1 AND state = 'accepted' AND decided_by = 'token:ada'`, double))
	w.allPaid(2)
	require.Zero(t, w.count(`SELECT count(*) FROM refunds`))
	require.Equal(t, 2, w.count(`SELECT count(*) FROM audit WHERE actor = 'token:ada' AND action = 'anomaly.accept'`))
	require.NotContains(t, r.logs.String()+again.logs.String(), "denies a permission")

	// The shop's listener has no say in it.
	forged := w.decision(pay.CommandAnomalyRefund, pay.AnomalyDoublePayment, double)
	require.Error(t, w.api.PublishCommand(t.Context(), forged))
}
