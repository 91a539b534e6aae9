package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// archivedAt is the payment of an order that was notified of at some time.
func (b *books) archivedAt(o pay.Order, at time.Time) pay.Delivery {
	b.t.Helper()
	e := arrived(payment(o, txOf(o)))
	e.Delivery.ID, e.Observation.DeliveryID, e.Delivery.ReceivedAt = idAt(at), "", at
	b.settle(e)
	return *e.Delivery
}

func (b *books) replayable(f pay.ArchiveFilter) []pay.DeliveryID {
	b.t.Helper()
	listed, err := b.ListReplayable(b.t.Context(), f)
	require.NoError(b.t, err)
	count, err := b.CountReplayable(b.t.Context(), f)
	require.NoError(b.t, err)
	if f.AfterID == "" && len(listed) < f.Limit {
		require.Equal(b.t, len(listed), count)
	}
	ids := make([]pay.DeliveryID, len(listed))
	for i, d := range listed {
		ids[i] = d.ID
	}
	return ids
}

func TestReplayable_are_the_notifications_of_a_time(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.EnsurePartitions(t.Context(), noon))
	var all []pay.DeliveryID
	for i := range 6 { // two days, and so two partitions, and one merchant more
		o := order(pay.OutTradeNo("T-day-" + string(rune('a'+i))))
		if i == 3 {
			o.MchID = other
		}
		placed, _, _, err := b.CreateOrder(t.Context(), o)
		require.NoError(t, err)
		all = append(all, b.archivedAt(placed, noon.Add(time.Duration(i)*12*time.Hour)).ID)
	}
	answer := arrived(payment(b.place(), "42-answer"))
	answer.Delivery.Kind, answer.Delivery.ID, answer.Observation.DeliveryID = pay.DeliveryAnswer, idAt(noon.Add(time.Hour)), ""
	b.settle(answer)
	gone := b.failed(arrived(payment(order("T-gone"), "42-gone")), pay.LetterMismatch)
	_, _, _, err := b.DiscardLetter(t.Context(), gone.Delivery.ID, "token:me", "because")
	require.NoError(t, err)

	require.Equal(t, all, b.replayable(pay.ArchiveFilter{Limit: 100}), "no answers, and nothing that was discarded")
	require.Equal(t, all[1:3], b.replayable(pay.ArchiveFilter{Since: noon.Add(12 * time.Hour), Until: noon.Add(36 * time.Hour), Limit: 100}))
	require.Equal(t, all[3:4], b.replayable(pay.ArchiveFilter{MchID: other, Limit: 100}))
	require.Equal(t, all[:2], b.replayable(pay.ArchiveFilter{Limit: 2}))
	require.Equal(t, all[2:4], b.replayable(pay.ArchiveFilter{AfterID: all[1], Limit: 2}))
	require.Empty(t, b.replayable(pay.ArchiveFilter{Until: noon, Limit: 9}))
	ages := time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC)
	require.Equal(t, all, b.replayable(pay.ArchiveFilter{Since: ages, Limit: 100}), "since ever")
	require.Empty(t, b.replayable(pay.ArchiveFilter{Until: ages, Limit: 100}))
}

func TestFindStored_has_bytes_letter_and_attempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paid := arrived(payment(b.place(), "42-1"))
	b.settle(paid)
	waits := b.failed(arrived(payment(order("T-nobody"), "42-2")), pay.LetterUnknownOrder)
	_, err := b.CountAttempt(t.Context(), shop, waits.Delivery.ID)
	require.NoError(t, err)
	// A letter outlives the day of its delivery, and may be of a merchant without orders.
	old := b.failed(arrived(payment(order("T-nobody"), "42-3")), pay.LetterMismatch)
	old.Delivery.MchID = other
	b.failed(old, pay.LetterMismatch)
	b.forge(`DELETE FROM deliveries WHERE delivery_id = $1`, string(old.Delivery.ID))
	b.forge(`DELETE FROM dead_letters WHERE delivery_id = $1 AND mchid = $2`, string(old.Delivery.ID), string(shop))

	stored, err := b.FindStored(t.Context(), []pay.DeliveryID{paid.Delivery.ID, waits.Delivery.ID, old.Delivery.ID, "x\x00", pay.DeliveryID(uuid.NewString())})
	require.NoError(t, err)
	require.Len(t, stored, 3)
	require.Equal(t, paid.Delivery.Body, stored[paid.Delivery.ID].Delivery.Body)
	require.Equal(t, paid.Delivery.Headers, stored[paid.Delivery.ID].Delivery.Headers)
	require.Equal(t, paid.Delivery.Position, stored[paid.Delivery.ID].Delivery.Position)
	require.Equal(t, paid.Delivery.ReceivedAt, stored[paid.Delivery.ID].Delivery.ReceivedAt)
	require.Empty(t, stored[paid.Delivery.ID].LetterState)
	require.Equal(t, pay.LetterWaiting, stored[waits.Delivery.ID].LetterState)
	require.Equal(t, 1, stored[waits.Delivery.ID].Attempts)
	require.Equal(t, pay.LetterOpen, stored[old.Delivery.ID].LetterState)
	require.Equal(t, other, stored[old.Delivery.ID].Delivery.MchID)
}

func TestRecordReplay_names_each_notification_once_for_each_merchant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := []pay.DeliveryID{idAt(noon), idAt(noon.Add(time.Second)), idAt(noon.Add(time.Minute))}
	deliveries := []pay.Delivery{{ID: ids[1], MchID: shop}, {ID: ids[0], MchID: shop}, {ID: ids[2], MchID: other}}
	require.NoError(t, b.RecordReplay(t.Context(), deliveries, "token:me", "a new \x00 rule"))
	log := b.audit()
	require.Len(t, log, 2)
	for _, entry := range log {
		require.Equal(t, "notification.replay", entry.Action)
		require.Equal(t, "a new \uFFFD rule", entry.Detail["reason"])
		if entry.MchID == shop {
			require.Equal(t, string(ids[0]), entry.Subject)
			require.EqualValues(t, 2, entry.Detail["count"])
			require.Equal(t, []any{string(ids[0]), string(ids[1])}, entry.Detail["delivery_ids"])
		}
	}
	require.ErrorContains(t, b.RecordReplay(t.Context(), deliveries, "", "x"), "audit_actor_is_set")
}

func TestReplayable_does_not_miss_a_merchant_without_orders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	early := arrived(payment(order("T-nobody"), "42-early"))
	early.Delivery.MchID = other
	early = b.failed(early, pay.LetterUnknownOrder)
	shown, err := b.ListDeliveries(t.Context(), pay.DeliveryFilter{Limit: 9})
	require.NoError(t, err)
	require.Len(t, shown.Deliveries, 1)
	require.Equal(t, []pay.DeliveryID{early.Delivery.ID}, b.replayable(pay.ArchiveFilter{Limit: 9}), "what the archive shows can be settled again")
}
