package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// letter is the state, attempts and reason of one delivery's letter.
func (b *books) letter(e pay.Entry) string {
	b.t.Helper()
	return b.text(`SELECT state || ' ' || attempts || ' ' || reason FROM dead_letters WHERE delivery_id = $1`, string(e.Delivery.ID))
}

func TestLetters_payment_before_its_order(t *testing.T) {
	t.Parallel()
	b := setup(t)
	early := arrived(payment(order("T-early-000001"), "4200"))
	settled := b.settle(early, early)
	require.Equal(t, []pay.Outcome{pay.OutcomeLettered, pay.OutcomeLettered}, outcomes(settled))
	require.Equal(t, "waiting 1 unknown_order", b.letter(early))

	waiting, err := b.WaitingLettersFor(t.Context(), shop, "T-early-000001")
	require.NoError(t, err)
	require.Len(t, waiting, 1)
	got := waiting[0]
	require.Equal(t, *early.Delivery, got.Delivery, "bytes and headers come back as they were")
	require.Equal(t, pay.LetterUnknownOrder, got.Reason)
	require.Equal(t, pay.LetterWaiting, got.State)
	require.Equal(t, 1, got.Attempts)
	require.WithinDuration(t, time.Now(), got.FirstFailAt, time.Minute)
	require.NoError(t, b.exec(`UPDATE dead_letters SET next_retry_at = now() + interval '20 seconds'`))
	opened, err := b.OpenOverdueLetters(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, 1, opened)
	late, err := b.WaitingLettersFor(t.Context(), shop, "T-early-000001")
	require.NoError(t, err)
	require.Len(t, late, 1, "an order that appears after ten minutes still finds its payment")
	require.Equal(t, pay.LetterOpen, late[0].State)
	none, err := b.WaitingLettersFor(t.Context(), other, "T-early-000001")
	require.NoError(t, err)
	require.Empty(t, none)

	o := b.placeAs("T-early-000001")
	require.Equal(t, []pay.Outcome{pay.OutcomeApplied}, outcomes(b.settle(early)))
	require.Equal(t, pay.OrderPaid, b.order(o).State)
	require.Equal(t, "resolved 1 unknown_order", b.letter(early))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM deliveries`))
}

func TestLetters_go_through_their_states(t *testing.T) {
	t.Parallel()
	b := setup(t)
	state := func(e pay.Entry, s string) {
		require.NoError(t, b.exec(`UPDATE dead_letters SET state = $2, next_retry_at = CASE WHEN $2 = 'waiting' THEN now() END,
			resolved_at = CASE WHEN $2 = 'resolved' THEN now() END WHERE delivery_id = $1`, string(e.Delivery.ID), s))
	}
	fails := func(cause pay.LetterReason) pay.Entry {
		e := arrived(payment(order("T-nowhere-00001"), "4200"))
		e.Letter = &pay.LetterCause{Reason: cause, Detail: "because"}
		b.settle(e)
		return e
	}
	t.Run("waiting opens for a reason that does not come right by itself", func(t *testing.T) {
		t.Parallel()
		e := fails(pay.LetterUnknownOrder)
		e.Letter = &pay.LetterCause{Reason: pay.LetterMismatch, Detail: "appid"}
		b.settle(e)
		require.Equal(t, "open 2 mismatch", b.letter(e))
	})
	t.Run("an open one stays open when it fails again", func(t *testing.T) {
		t.Parallel()
		e := fails(pay.LetterInternal)
		e.Letter = &pay.LetterCause{Reason: pay.LetterUnknownOrder, Detail: "not yet"}
		b.settle(e)
		require.Equal(t, "open 2 unknown_order", b.letter(e))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM dead_letters WHERE delivery_id = $1 AND first_failed_at < last_failed_at`, string(e.Delivery.ID)))
	})
	t.Run("a replay that fails comes back to the operator", func(t *testing.T) {
		t.Parallel()
		e := fails(pay.LetterInternal)
		state(e, "replaying")
		b.settle(e)
		require.Equal(t, "open 2 internal", b.letter(e))
	})
	t.Run("a replay that works resolves, also where there was nothing to move", func(t *testing.T) {
		t.Parallel()
		o := b.place()
		e := arrived(payment(o, pay.TransactionID("tx-"+o.OutTradeNo)))
		b.settle(e)
		e.Letter = &pay.LetterCause{Reason: pay.LetterInternal}
		b.settle(e)
		state(e, "replaying")
		e.Letter = nil
		require.Equal(t, []pay.Outcome{pay.OutcomeUnchanged}, outcomes(b.settle(e)))
		require.Equal(t, "resolved 1 internal", b.letter(e))
	})
	t.Run("a discarded one stays discarded, whatever comes", func(t *testing.T) {
		t.Parallel()
		e := fails(pay.LetterInternal)
		state(e, "discarded")
		b.settle(e)
		require.Equal(t, "discarded 2 internal", b.letter(e))
		e.Letter, e.Observation = nil, nil
		b.settle(e)
		require.Equal(t, "discarded 2 internal", b.letter(e))
	})
	t.Run("a resolved one that fails again opens", func(t *testing.T) {
		t.Parallel()
		e := fails(pay.LetterInternal)
		state(e, "resolved")
		b.settle(e)
		require.Equal(t, "open 2 internal", b.letter(e))
	})
	t.Run("of copies in one batch the effect counts", func(t *testing.T) {
		t.Parallel()
		o := b.place()
		good := arrived(payment(o, pay.TransactionID("tx-"+o.OutTradeNo)))
		bad := good
		bad.Letter = &pay.LetterCause{Reason: pay.LetterInternal}
		b.settle(bad, good, bad)
		require.Zero(t, b.count(`SELECT count(*) FROM dead_letters WHERE delivery_id = $1`, string(good.Delivery.ID)))
		require.Equal(t, pay.OrderPaid, b.order(o).State)
	})
}

func TestLetters_are_claimed_under_a_lease_and_open_when_overdue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.settle(unknownOrders(5)...)
	early, err := b.ClaimWaitingLetters(t.Context(), 10, time.Minute)
	require.NoError(t, err)
	require.Empty(t, early, "the first retry comes after a second")

	require.NoError(t, b.exec(`UPDATE dead_letters SET next_retry_at = now()`))
	claimed, err := b.ClaimWaitingLetters(t.Context(), 3, time.Minute)
	require.NoError(t, err)
	require.Len(t, claimed, 3)
	require.NotEmpty(t, claimed[0].Delivery.Body)
	rest, err := b.ClaimWaitingLetters(t.Context(), 10, time.Minute)
	require.NoError(t, err)
	require.Len(t, rest, 2)

	opened, err := b.OpenOverdueLetters(t.Context(), 10*time.Minute)
	require.NoError(t, err)
	require.Zero(t, opened)
	ages, err := b.OldestAges(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 5, ages.WaitingLetterRows)
	require.Positive(t, ages.WaitingLetters)

	opened, err = b.OpenOverdueLetters(t.Context(), 0)
	require.NoError(t, err)
	require.Zero(t, opened, "they are being tried")
	require.NoError(t, b.exec(`UPDATE dead_letters SET last_failed_at = now(), next_retry_at = now() + interval '30 seconds'`))
	opened, err = b.OpenOverdueLetters(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, 5, opened)
	ages, err = b.OldestAges(t.Context())
	require.NoError(t, err)
	require.Zero(t, ages.WaitingLetters)
	require.EqualValues(t, 5, ages.OpenLetterRows)
}

func TestCountAttempt_counts_for_each_delivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one := idAt(time.Now())
	for _, id := range []pay.DeliveryID{one, "", "not a uuid \x00"} {
		for want := 1; want <= 3; want++ {
			got, err := b.CountAttempt(t.Context(), shop, id)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
	got, err := b.CountAttempt(t.Context(), other, one)
	require.NoError(t, err)
	require.Equal(t, 1, got)
}
