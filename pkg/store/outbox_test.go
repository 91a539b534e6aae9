package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
)

func receipts(events []pay.Outgoing) []pay.Publication {
	all := make([]pay.Publication, len(events))
	for i, e := range events {
		all[i] = pay.Publication{EventID: e.EventID, Sequence: uint64(i + 1), Duplicate: i%2 == 1, At: time.Now()}
	}
	return all
}

func TestOutbox_claims_each_event_once_and_moves_it(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 10 {
		b.place()
	}
	young, err := b.ClaimOutbox(t.Context(), time.Hour, 100)
	require.NoError(t, err)
	require.Empty(t, young, "too young for the sweep")

	first, err := b.ClaimOutbox(t.Context(), 0, 4)
	require.NoError(t, err)
	require.Len(t, first, 4)
	rest, err := b.ClaimOutbox(t.Context(), 0, 100)
	require.NoError(t, err)
	require.Len(t, rest, 6)
	none, err := b.ClaimOutbox(t.Context(), 0, 100)
	require.NoError(t, err)
	require.Empty(t, none, "leased")
	require.Equal(t, event.TypeOrderCreated, parsed(t, first[0].Payload).Type)
	require.Equal(t, pay.FactOrderCreated, first[0].Fact)
	require.Equal(t, shop, first[0].MchID)

	require.NoError(t, b.MarkPublished(t.Context(), receipts(first)))
	require.NoError(t, b.MarkPublished(t.Context(), receipts(first)), "already moved")
	require.Equal(t, 6, b.count(`SELECT count(*) FROM outbox`))
	require.Equal(t, 4, b.count(`SELECT count(*) FROM published`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM published WHERE event_id = $1 AND stream_sequence = 2 AND duplicate AND payload = $2`, first[1].EventID, string(first[1].Payload)))
	require.Zero(t, b.count(`SELECT count(*) FROM published_default`))

	// It is given out again when its lease has run out.
	require.NoError(t, b.exec(`UPDATE outbox SET claimed_until = now() - interval '1 second'`))
	again, err := b.ClaimOutbox(t.Context(), 0, 100)
	require.NoError(t, err)
	require.Len(t, again, 6)
}

func TestOutbox_sweeps_at_once_share_the_work_and_never_deadlock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 60 {
		b.place()
	}
	claimed := make([][]pay.Outgoing, 4)
	var together errgroup.Group
	for i := range claimed {
		together.Go(func() (err error) {
			claimed[i], err = b.ClaimOutbox(t.Context(), 0, 15)
			return err
		})
	}
	require.NoError(t, together.Wait())
	seen := map[string]bool{}
	var all []pay.Outgoing
	for _, events := range claimed {
		for _, e := range events {
			require.False(t, seen[e.EventID])
			seen[e.EventID] = true
			all = append(all, e)
		}
	}
	forwards := receipts(all)
	backwards := make([]pay.Publication, 0, 2*len(forwards))
	for i := range forwards {
		backwards = append(backwards, forwards[len(forwards)-1-i], forwards[len(forwards)-1-i])
	}
	var marks errgroup.Group
	for range 3 {
		marks.Go(func() error { return b.MarkPublished(t.Context(), forwards) })
		marks.Go(func() error { return b.MarkPublished(t.Context(), backwards) })
	}
	require.NoError(t, marks.Wait())
	require.Equal(t, len(all), b.count(`SELECT count(*) FROM published`))
}

func TestEvents_have_the_same_id_in_every_database(t *testing.T) {
	t.Parallel()
	one, two := setup(t), setup(t)
	for _, b := range []*books{one, two} {
		o := b.placeAs("T-same-000001")
		b.settle(arrived(payment(o, "4200")))
	}
	ids := `SELECT string_agg(event_id::text, ' ' ORDER BY fact) FROM outbox`
	require.Equal(t, one.text(ids), two.text(ids))
	// Subscribers remember ids for ever: this one may never change.
	require.Equal(t, "08a2f699-8259-5f4f-8a1c-89395bd6ffe7", one.text(`SELECT event_id FROM outbox WHERE fact = 'order.paid'`))
}
