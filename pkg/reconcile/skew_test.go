package reconcile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/reconcile"
	"github.com/fenflow/fenflow/pkg/simulator"
)

// off sets this machine's clock off from the database's and hears of it, as the
// first claim of every process does.
func (b *bundle) off(by time.Duration) {
	b.t.Helper()
	b.options.Now = func() time.Time { return time.Now().Add(by) }
	b.service = b.reconciler()
	b.place(b.shop, "T00000099")
	b.make("T00000099", "next_check_at = now()")
	asked := b.wire.count("query")
	b.until(func() bool { return b.wire.count("query") > asked })
}

func TestClock_that_is_off_neither_hurries_nor_holds_up_questions(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"behind": -4 * time.Minute, "ahead": 4 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *reconcile.Options) { o.Waits.RefundPoll, o.Waits.RefundBackoff = time.Minute, time.Minute })
			transaction := b.paid("T00000001")
			_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultRefundStuck})
			require.NoError(t, err)
			b.off(by)
			b.refund("T00000001", transaction, theRefund, 30)
			b.until(func() bool { return b.refundState(theRefund) == pay.RefundProcessing })
			b.until(func() bool {
				return b.count(`SELECT count(*) FROM refunds WHERE leased_until IS NULL AND next_check_at BETWEEN now() + interval '50 seconds' AND now() + interval '61 seconds'`) == 1
			}, "a poll later, by the database's clock")
			require.LessOrEqual(t, b.wire.count("refund_query"), 1)
		})
	}
}

func TestClock_that_is_ahead_does_not_shorten_the_quarantine(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *reconcile.Options) {
		o.Waits.UnknownQuarantine, o.Waits.RefundBackoff = 4*time.Minute, time.Millisecond
	})
	transaction := b.paid("T00000001")
	b.off(4*time.Minute + 30*time.Second)
	b.wire.fails("refund", answers(500, "SYSTEM_ERROR"), answers(400, "PARAM_ERROR"))
	b.refund("T00000001", transaction, theRefund, 30)
	b.until(func() bool {
		return b.count(`SELECT count(*) FROM refunds WHERE leased_until IS NULL AND state = 'requested'
			AND next_check_at BETWEEN now() + interval '3 minutes' AND now() + interval '5 minutes'`) == 1
	}, "asked again when the quarantine of the unknown attempt is over")
	require.Equal(t, []string{"unknown", "rejected"}, b.outcomes(theRefund))
	for range 3 { // whoever asks sooner gives up no sooner
		asked := b.wire.count("refund_query")
		_, err := b.db.ExecContext(t.Context(), `UPDATE refunds SET next_check_at = now()`)
		require.NoError(t, err)
		b.until(func() bool { return b.wire.count("refund_query") > asked })
	}
	require.Equal(t, pay.RefundRequested, b.refundState(theRefund))
}

func TestRefund_that_was_accepted_and_is_not_there_is_asked_about_with_pauses(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *reconcile.Options) { o.Waits.RefundPoll, o.Waits.RefundBackoff = time.Minute, time.Minute })
	transaction := b.paid("T00000001")
	b.refund("T00000001", transaction, theRefund, 30)
	begun := b.begin(theRefund)
	require.NoError(t, b.store.EndAttempt(t.Context(), b.mchid, theRefund, pay.Attempt{Number: begun.Number, FinishedAt: time.Now(), Outcome: pay.AttemptAccepted, Status: 200}))
	b.expire(theRefund)
	b.until(func() bool {
		return b.count(`SELECT count(*) FROM refunds WHERE leased_until IS NULL AND check_api = 'refund_query' AND next_check_at > now() + interval '50 seconds'`) == 1
	})
	require.Equal(t, 1, b.wire.count("refund_query"))
	require.Zero(t, b.wire.count("refund"), "it is never sent again")
	b.says("accepted it and does not know it")
	require.Equal(t, pay.RefundRequested, b.refundState(theRefund))
}
