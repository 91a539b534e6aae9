package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
)

func TestCreateOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("writes row, history and event, and reads back what it returned", func(t *testing.T) {
		t.Parallel()
		given := order("T-create-1")
		given.CreatedAt = given.CreatedAt.Add(789 * time.Nanosecond).In(time.FixedZone("Beijing", 8*3600))
		created, isNew, events, err := b.CreateOrder(t.Context(), given)
		require.NoError(t, err)
		require.True(t, isNew)
		require.Equal(t, b.order(given), created)
		require.Equal(t, noon, created.CreatedAt)
		require.Equal(t, pay.OrderCreated, created.State)
		require.EqualValues(t, 1, created.Sequence)
		require.Equal(t, given.PrepayRequest, created.PrepayRequest)

		require.Len(t, events, 1)
		require.Equal(t, string(events[0].Payload), b.text(`SELECT payload FROM outbox WHERE event_id = $1`, events[0].EventID))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM history WHERE out_trade_no = 'T-create-1' AND sequence = 1 AND what = 'created'`))
		e := parsed(t, events[0].Payload)
		require.Equal(t, event.TypeOrderCreated, e.Type)
		require.Equal(t, "/merchants/1900000109", e.Source)
		require.Equal(t, events[0].EventID, e.ID)
		require.EqualValues(t, 100, e.Data.AmountFen)
	})

	t.Run("returns the existing row for a number that is taken", func(t *testing.T) {
		t.Parallel()
		first := b.placeAs("T-create-2")
		second := order("T-create-2")
		second.Amount, second.Digest = 999, "another"
		got, isNew, events, err := b.CreateOrder(t.Context(), second)
		require.NoError(t, err)
		require.False(t, isNew)
		require.Empty(t, events)
		require.Equal(t, first, got)
		require.Equal(t, []string{event.TypeOrderCreated}, b.facts(first))
	})

	t.Run("makes one order of many twins at once", func(t *testing.T) {
		t.Parallel()
		var twins sync.WaitGroup
		created := make(chan bool, 8)
		for range cap(created) {
			twins.Go(func() {
				got, isNew, _, err := b.CreateOrder(t.Context(), order("T-create-3"))
				if err == nil && got.OutTradeNo == "T-create-3" {
					created <- isNew
				}
			})
		}
		twins.Wait()
		close(created)
		isNew, all := 0, 0
		for one := range created {
			all++
			if one {
				isNew++
			}
		}
		require.Equal(t, 8, all)
		require.Equal(t, 1, isNew)
		require.Equal(t, []string{event.TypeOrderCreated}, b.facts(order("T-create-3")))
	})

	t.Run("keeps numbers of different merchants apart", func(t *testing.T) {
		t.Parallel()
		b.placeAs("T-create-4")
		theirs := order("T-create-4")
		theirs.MchID = other
		_, isNew, _, err := b.CreateOrder(t.Context(), theirs)
		require.NoError(t, err)
		require.True(t, isNew)
	})

	t.Run("says that an unknown order is not there", func(t *testing.T) {
		t.Parallel()
		_, found, err := b.Order(t.Context(), shop, "T-nobody")
		require.NoError(t, err)
		require.False(t, found)
	})
}
