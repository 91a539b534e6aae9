package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

// opened leaves letters behind that an operator is needed for, the first the oldest.
func (b *books) opened(reason pay.LetterReason, n int) []pay.DeliveryID {
	b.t.Helper()
	ids := make([]pay.DeliveryID, n)
	for i := range ids {
		ids[i] = b.lettered(shop, reason, noon.Add(time.Duration(i)*time.Second)).Delivery.ID
		require.NoError(b.t, b.exec(`UPDATE dead_letters SET state = 'open', next_retry_at = NULL WHERE delivery_id = $1`, string(ids[i])))
	}
	return ids
}

func (b *books) replay(which pay.LetterChoice) []pay.DeliveryID {
	b.t.Helper()
	ids, err := b.ReplayLetters(b.t.Context(), which, "token:night-shift", "the orders \x00 are there")
	require.NoError(b.t, err)
	return ids
}

func TestReplayLetters_by_id_lets_open_notifications_wait_and_says_who_did_it(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open := b.opened(pay.LetterMismatch, 2)
	waiting := b.lettered(shop, pay.LetterUnknownOrder, noon).Delivery.ID
	discarded, answered := b.opened(pay.LetterInternal, 1)[0], b.opened(pay.LetterMalformed, 1)[0]
	_, _, _, err := b.DiscardLetter(t.Context(), discarded, "token:me", "because")
	require.NoError(t, err)
	require.NoError(t, b.exec(`UPDATE dead_letters SET kind = 'answer' WHERE delivery_id = $1`, string(answered)))
	attempts, err := b.CountAttempt(t.Context(), shop, open[0])
	require.NoError(t, err)
	require.Equal(t, 1, attempts)

	all := []pay.DeliveryID{open[1], waiting, discarded, answered, open[0], "x\x00", pay.DeliveryID(uuid.NewString())}
	require.Equal(t, open, b.replay(pay.LetterChoice{IDs: all}), "the oldest first, and nothing that is not open")
	require.Empty(t, b.replay(pay.LetterChoice{IDs: all}), "they are being tried")
	for _, id := range open {
		letter, _, err := b.Letter(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, pay.LetterWaiting, letter.State)
		require.WithinDuration(t, time.Now(), letter.NextRetryAt, time.Minute)
		require.Equal(t, 1, letter.Attempts)
	}
	claimed, err := b.ClaimWaitingLetters(t.Context(), 10, time.Minute)
	require.NoError(t, err)
	require.Len(t, claimed, 2, "they are due at once")

	log := b.audit()
	require.Len(t, log, 3, "the two, and the discard")
	for _, entry := range log[:2] {
		require.Contains(t, open, pay.DeliveryID(entry.Subject))
		require.Equal(t, pay.AuditEntry{
			ID: entry.ID, At: entry.At, MchID: shop, Actor: "token:night-shift", Action: "dead_letter.replay", Subject: entry.Subject,
			Detail: map[string]any{"reason": "the orders \uFFFD are there", "letter_reason": "mismatch"},
		}, entry)
	}
	attempts, err = b.CountAttempt(t.Context(), shop, open[0])
	require.NoError(t, err)
	require.Equal(t, 1, attempts, "they are counted anew")

	listed, err := b.ListLetters(t.Context(), pay.LetterFilter{IDs: all, State: pay.LetterOpen, Limit: 1})
	require.NoError(t, err)
	require.Len(t, listed, 5, "in any state")
	require.Empty(t, listed[0].Delivery.Body)
}

func TestReplayLetters_by_filter_takes_the_oldest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lost, odd := b.opened(pay.LetterUnknownOrder, 4), b.opened(pay.LetterMismatch, 1)
	require.Empty(t, b.replay(pay.LetterChoice{Reason: pay.LetterUnknownOrder}), "without a limit, none")
	require.Empty(t, b.replay(pay.LetterChoice{MchID: other, Limit: 9}))
	require.Equal(t, lost[2:3], b.replay(pay.LetterChoice{Reason: pay.LetterUnknownOrder, Since: noon.Add(2 * time.Second), Limit: 1}))
	require.Equal(t, lost[:2], b.replay(pay.LetterChoice{MchID: shop, Reason: pay.LetterUnknownOrder, Limit: 2}))
	require.ElementsMatch(t, []pay.DeliveryID{odd[0], lost[3]}, b.replay(pay.LetterChoice{Limit: 1000}))
}

func TestReplayLetters_without_an_actor_changes_nothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := b.opened(pay.LetterMismatch, 1)
	_, err := b.ReplayLetters(t.Context(), pay.LetterChoice{IDs: ids}, "", "because")
	require.ErrorContains(t, err, "audit_actor_is_set")
	require.Equal(t, 1, b.count(`SELECT count(*) FROM dead_letters WHERE state = 'open'`))
}

func TestReplayLetters_by_several_at_once_take_each_letter_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := b.opened(pay.LetterUnknownOrder, 40)
	taken := make([][]pay.DeliveryID, 6)
	var together errgroup.Group
	for i := range taken {
		which := pay.LetterChoice{IDs: ids}
		if i%2 == 0 {
			which = pay.LetterChoice{Reason: pay.LetterUnknownOrder, Limit: 15}
		}
		together.Go(func() (err error) {
			taken[i], err = b.ReplayLetters(t.Context(), which, fmt.Sprintf("token:%d", i), "because")
			return err
		})
	}
	together.Go(func() error { _, err := b.OpenOverdueLetters(t.Context(), 0); return err })
	require.NoError(t, together.Wait())
	var all []pay.DeliveryID
	for _, some := range taken {
		all = append(all, some...)
	}
	require.ElementsMatch(t, ids, all)
	require.Equal(t, 40, b.count(`SELECT count(*) FROM audit WHERE action = 'dead_letter.replay'`))
	require.Equal(t, 40, b.count(`SELECT count(*) FROM dead_letters WHERE state = 'waiting'`), "what is due is not overdue")
}
