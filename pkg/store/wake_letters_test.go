package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

const overdue = 10 * time.Minute

// overdueNotices are notices of refunds whose payment is not in the books; they
// waited so long that they opened.
func (b *books) overdueNotices(o pay.Order, n int) []pay.Entry {
	b.t.Helper()
	notices := make([]pay.Entry, n)
	for i := range notices {
		notices[i] = arrived(seen(o, refundOf(o, i), 10, pay.RefundSucceeded))
	}
	b.settle(notices...)
	require.NoError(b.t, b.exec(`UPDATE dead_letters SET first_failed_at = now() - interval '1 hour', next_retry_at = now() + interval '20 seconds'
		WHERE out_trade_no = $1`, string(o.OutTradeNo)))
	require.Equal(b.t, n, b.opens())
	return notices
}

func (b *books) opens() int {
	b.t.Helper()
	opened, err := b.OpenOverdueLetters(b.t.Context(), overdue)
	require.NoError(b.t, err)
	return opened
}

func (b *books) claimLetters() []pay.Letter {
	b.t.Helper()
	letters, err := b.ClaimWaitingLetters(b.t.Context(), 10, time.Minute)
	require.NoError(b.t, err)
	return letters
}

// asked is an answer to a query: the payment that no notification told of.
func asked(o pay.Order, tx pay.TransactionID) pay.Entry {
	obs := payment(o, tx)
	obs.Source = pay.SourceQuery
	return pay.Entry{Observation: &obs}
}

func TestLetters_that_opened_settle_when_their_payment_is_booked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, stranger := b.place(), b.place()
	notices := b.overdueNotices(o, 1)
	others := b.overdueNotices(stranger, 1)
	b.settle(asked(o, txOf(o)))
	require.Equal(t, "waiting 1 unknown_order", b.letter(notices[0]))
	require.Equal(t, "open 1 unknown_order", b.letter(others[0]), "its payment is still missing")
	require.Zero(t, b.opens(), "it is tried before it is opened again")

	due := b.claimLetters()
	require.Len(t, due, 1)
	require.Equal(t, notices[0].Delivery.ID, due[0].Delivery.ID)
	b.settle(notices...)
	require.Equal(t, "resolved 1 unknown_order", b.letter(notices[0]))
	require.Equal(t, pay.RefundSucceeded, b.refund(refundOf(o, 0)).State)
	b.mustBalance()
}

func TestLetters_that_fail_again_open_at_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	notice := b.overdueNotices(o, 1)[0]
	b.settle(asked(o, "another-"+txOf(o)))
	require.Len(t, b.claimLetters(), 1)
	b.settle(notice)
	require.Equal(t, "waiting 2 unknown_order", b.letter(notice))
	require.Equal(t, 1, b.opens())
	require.Equal(t, "open 2 unknown_order", b.letter(notice))
}

func TestLetters_that_a_person_dealt_with_are_not_woken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	states := []string{"discarded", "resolved", "replaying", "open"}
	notices := b.overdueNotices(o, len(states))
	for i, state := range states {
		require.NoError(t, b.exec(`UPDATE dead_letters SET state = $2, resolved_at = CASE WHEN $2 = 'resolved' THEN now() END,
			reason = CASE WHEN $2 = 'open' THEN 'mismatch' ELSE reason END WHERE delivery_id = $1`, string(notices[i].Delivery.ID), state))
	}
	b.settle(asked(o, txOf(o)))
	for i, state := range states {
		require.Equal(t, state, b.text(`SELECT state FROM dead_letters WHERE delivery_id = $1`, string(notices[i].Delivery.ID)))
	}
	require.Empty(t, b.claimLetters())
}
