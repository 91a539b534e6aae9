package devstack

import (
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// booked is one payment as a ledger holds it.
type booked struct {
	OutTradeNo string
	AmountFen  int64
}

// platformBooks are the payments of one order by the platform's ledger, and
// whether one of them is for the order's amount.
func (v *visitor) platformBooks(no string) (payments map[string]booked, deliverable bool) {
	ledger, err := v.platform.ledger(v.t.Context())
	require.NoError(v.t, err)
	payments = map[string]booked{}
	for _, p := range ledger.Payments {
		if p.OutTradeNo == no {
			payments[p.TransactionID] = booked{no, p.AmountFen}
			deliverable = deliverable || p.AmountFen == orderFen
		}
	}
	return payments, deliverable
}

const orderFen = 100

// ourBooks are the same by fenflow's tables.
func (v *visitor) ourBooks(db *sql.DB, no string) map[string]booked {
	rows, err := db.QueryContext(v.t.Context(), "SELECT transaction_id, out_trade_no, amount_fen FROM payments WHERE out_trade_no = $1", no)
	require.NoError(v.t, err)
	defer func() { _ = rows.Close() }()
	payments := map[string]booked{}
	for rows.Next() {
		var id string
		var p booked
		require.NoError(v.t, rows.Scan(&id, &p.OutTradeNo, &p.AmountFen))
		payments[id] = p
	}
	require.NoError(v.t, rows.Err())
	return payments
}

func (v *visitor) setFault(f simulator.Fault) {
	v.t.Helper()
	require.NoError(v.t, v.platform.setFault(v.t.Context(), f))
}

// fired says how often the faults of an order happened.
func (v *visitor) fired(no string) int {
	document, err := read[struct{ Faults []simulator.Fault }](v.t.Context(), v.platform, "/control/faults")
	require.NoError(v.t, err)
	total := 0
	for _, f := range document.Faults {
		if f.OutTradeNo == no {
			total += f.Fired
		}
	}
	return total
}

// Whatever the platform does, the three ledgers end the same: the platform's,
// ours, and the subscriber's.
func TestStack_ends_with_the_platforms_books_under_every_fault(t *testing.T) {
	t.Parallel()
	stack := startForTest(t)
	v := visit(t, stack)
	db, err := sql.Open("postgres", stack.postgres.URL(databaseName))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })

	for i, fault := range []simulator.Fault{
		{Kind: simulator.FaultNoticeDuplicate, Count: 3},
		{Kind: simulator.FaultNoticeDelay, DelayMs: 1500},
		{Kind: simulator.FaultNoticeDrop, Count: 2},
		{Kind: simulator.FaultNoticeReorder, DelayMs: 1500},
		{Kind: simulator.FaultNoticeNewID, Count: 1},
		{Kind: simulator.FaultNoticeSigntest, Count: 2},
		{Kind: simulator.FaultNoticeTampered, Count: 2},
		{Kind: simulator.FaultNoticeWrongSerial, Count: 2},
		{Kind: simulator.FaultNoticeClockBehind, Count: 2},
		{Kind: simulator.FaultNoticeClockAhead, Count: 2},
		{Kind: simulator.FaultSecondPayment, Count: 1},
		{Kind: simulator.FaultAmountDiffers, Count: 1},
		{Kind: simulator.FaultErrorBefore, Count: 2},
		{Kind: simulator.FaultErrorAfter, Count: 2},
		{Kind: simulator.FaultTimeoutAfter, Count: 1, DelayMs: 500},
		{Kind: simulator.FaultFrequencyLimited, Count: 2},
		{Kind: simulator.FaultFrequencyLimitedAfter, Count: 2},
		{Kind: simulator.FaultAnswerSigntest, Count: 2},
		{Kind: simulator.FaultAnswerTampered, Count: 2},
		{Kind: simulator.FaultAnswerWrongSerial, Count: 2},
	} {
		t.Run(string(fault.Kind), func(t *testing.T) {
			t.Parallel()
			v := *v
			v.t = t
			no := fmt.Sprintf("FAULT-%02d", i)
			fault.OutTradeNo = no
			v.setFault(fault)
			v.order(no)
			v.pay(no, nil)
			require.Eventually(t, func() bool {
				theirs, deliverable := v.platformBooks(no)
				_, delivered := v.paid(no)
				return len(theirs) > 0 && maps.Equal(theirs, v.ourBooks(db, no)) && delivered == deliverable && v.fired(no) > 0
			}, patience, pollEvery)
		})
	}
	t.Cleanup(func() { // after all of them
		got := v.subscriber.received()
		require.Zero(t, got.repeated)
		require.Empty(t, got.bad)
	})
}

// The platform goes away and comes back: orders and payments go on.
func TestStack_goes_on_after_the_platform_was_down(t *testing.T) {
	t.Parallel()
	v := visit(t, startForTest(t))
	v.order("DOWN-00001")
	v.setFault(simulator.Fault{Kind: simulator.FaultPlatformDown})
	v.pay("DOWN-00001", nil)
	placed := make(chan struct{})
	go func() {
		defer close(placed)
		v.order("DOWN-00002")
	}()
	require.Eventually(t, func() bool {
		document, err := read[struct{ Faults []simulator.Fault }](t.Context(), v.platform, "/control/faults")
		return err == nil && document.Faults[0].Fired >= 2
	}, patience, pollEvery)
	status, _, err := v.platform.call(t.Context(), http.MethodDelete, "/control/faults", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	<-placed
	v.pay("DOWN-00002", nil)
	require.Eventually(t, v.received(2), patience, pollEvery)
}
