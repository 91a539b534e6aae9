package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
)

func TestLetter_has_the_bytes_as_they_came(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.lettered(shop, pay.LetterUnknownOrder, noon)
	letter, found, err := b.Letter(t.Context(), e.Delivery.ID)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, *e.Delivery, letter.Delivery)
	require.Equal(t, pay.LetterWaiting, letter.State)
	require.Equal(t, noon, letter.FirstFailAt)
	require.WithinDuration(t, time.Now(), letter.NextRetryAt, time.Minute)
	require.Zero(t, letter.ResolvedAt)
	for _, id := range []pay.DeliveryID{"", "x\x00", pay.DeliveryID(uuid.NewString())} {
		_, found, err := b.Letter(t.Context(), id)
		require.NoError(t, err)
		require.False(t, found)
	}
}

func TestDiscardLetter_is_done_once_and_for_a_reason(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.lettered(shop, pay.LetterUnknownOrder, noon)
	letter, discard, found, err := b.DiscardLetter(t.Context(), e.Delivery.ID, "token:night-shift", "a \x00 test")
	require.NoError(t, err)
	require.True(t, found)
	require.WithinDuration(t, time.Now(), discard.At, time.Minute)
	require.Equal(t, pay.Discard{Actor: "token:night-shift", Reason: "a \uFFFD test", At: discard.At}, discard)
	require.Equal(t, pay.LetterDiscarded, letter.State)
	require.Zero(t, letter.NextRetryAt)
	require.Equal(t, e.Delivery.Body, letter.Delivery.Body, "its bytes stay")

	again, first, found, err := b.DiscardLetter(t.Context(), e.Delivery.ID, "token:other", "me too")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, letter, again)
	discard.Again = true
	require.Equal(t, discard, first, "the first word counts")

	log := b.audit()
	require.Len(t, log, 1)
	require.Equal(t, pay.AuditEntry{
		ID: log[0].ID, At: log[0].At, MchID: shop, Actor: "token:night-shift", Action: "dead_letter.discard", Subject: string(e.Delivery.ID),
		Detail: map[string]any{"reason": "a \uFFFD test", "letter_reason": "unknown_order"},
	}, log[0])
	for _, id := range []pay.DeliveryID{"", "x\x00", pay.DeliveryID(uuid.NewString())} {
		_, discard, found, err := b.DiscardLetter(t.Context(), id, "token:me", "because")
		require.NoError(t, err)
		require.False(t, found)
		require.Zero(t, discard)
	}
	_, discard, _, err = b.DiscardLetter(t.Context(), b.lettered(shop, pay.LetterInternal, noon).Delivery.ID, "", "because")
	require.ErrorContains(t, err, "audit_actor_is_set")
	require.False(t, store.Retryable(err))
	require.Zero(t, discard)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM dead_letters WHERE state = 'open'`), "nobody did it, so it is not done")
}

func TestDiscardLetter_leaves_a_settled_one_alone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	early := arrived(payment(order("T-early-000001"), "4200"))
	b.settle(early)
	b.placeAs("T-early-000001")
	b.settle(early)
	letter, discard, found, err := b.DiscardLetter(t.Context(), early.Delivery.ID, "token:me", "because")
	require.NoError(t, err)
	require.True(t, found)
	require.Zero(t, discard)
	require.Equal(t, pay.LetterResolved, letter.State)
	require.False(t, letter.ResolvedAt.IsZero())
	require.Empty(t, b.audit())
}

func TestDiscardLetter_by_several_and_while_it_settles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for round := range 10 {
		early := arrived(payment(order(pay.OutTradeNo("T-early-00000"+string(rune('a'+round)))), pay.TransactionID("42-"+string(rune('a'+round)))))
		b.settle(early)
		b.placeAs(early.Delivery.OutTradeNo)
		mine := make([]bool, 4)
		var together errgroup.Group
		for i := range mine {
			together.Go(func() error {
				_, discard, _, err := b.DiscardLetter(t.Context(), early.Delivery.ID, "token:me", "because")
				mine[i] = discard.Actor != "" && !discard.Again
				return err
			})
		}
		together.Go(func() error { _, err := b.Settle(t.Context(), []pay.Entry{early}, defaults); return err })
		require.NoError(t, together.Wait())
		discards := 0
		for _, m := range mine {
			if m {
				discards++
			}
		}
		letter, _, err := b.Letter(t.Context(), early.Delivery.ID)
		require.NoError(t, err)
		require.Equal(t, letter.State == pay.LetterDiscarded, discards == 1)
		require.LessOrEqual(t, discards, 1)
		require.Equal(t, discards, b.count(`SELECT count(*) FROM audit WHERE subject = $1`, string(early.Delivery.ID)))
	}
}

func TestDiscardLetter_that_was_discarded_by_hand_has_nobody_to_name(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.lettered(shop, pay.LetterMismatch, noon)
	require.NoError(t, b.exec(`UPDATE dead_letters SET state = 'discarded', next_retry_at = NULL`))
	_, discard, found, err := b.DiscardLetter(t.Context(), e.Delivery.ID, "token:me", "because")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, pay.Discard{Again: true}, discard)
}
