package store_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fenflow/fenflow/pkg/pay"
)

// The books end the same whatever the order in which 200 messages arrive, how
// they are cut into batches and how often one comes: each paid order is paid
// once by its transaction, and the rows are those that the pure rules give.
func TestSettle_shuffled_ends_in_the_same_books(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		orders := make([]pay.Order, 20)
		for i := range orders {
			orders[i] = b.place()
		}
		arrival := rapid.Permutation(story(orders)).Draw(rt, "arrival")
		model := map[pay.OutTradeNo]*pay.Book{}
		for _, o := range orders {
			book, _ := pay.NewOrder(o, pay.SourceCommand)
			model[o.OutTradeNo] = book
		}
		facts := map[pay.OutTradeNo]map[pay.Fact]int{}
		for len(arrival) > 0 {
			batch := arrival[:rapid.IntRange(1, len(arrival)).Draw(rt, "batch")]
			arrival = arrival[len(batch):]
			for _, e := range batch {
				model[e.Observation.OutTradeNo].Apply(*e.Observation, pay.Policies{})
			}
			settled, err := b.Settle(t.Context(), batch, defaults)
			require.NoError(rt, err)
			for _, e := range settled.Events {
				if facts[e.OutTradeNo] == nil {
					facts[e.OutTradeNo] = map[pay.Fact]int{}
				}
				facts[e.OutTradeNo][e.Fact]++
			}
		}
		for i, o := range orders {
			b.mustEqualModel(rt, o, model[o.OutTradeNo])
			b.mustTellOnce(rt, o, facts[o.OutTradeNo], i%2 == 0)
		}
	})
}

// story is 200 messages about 20 orders: every second one is paid, twice by
// some; all are prepared and asked about; each message comes twice.
func story(orders []pay.Order) []pay.Entry {
	var entries []pay.Entry
	for i, o := range orders {
		prepared := observe(o, pay.ObservedPrepared)
		prepared.Credential = pay.Credential{PrepayID: "wx" + string(o.OutTradeNo), ExpiresAt: noon.Add(time.Hour)}
		told := []pay.Entry{arrived(prepared), arrived(observe(o, pay.ObservedOpen)), arrived(observe(o, pay.ObservedOpen))}
		if i%2 == 0 {
			told = append(told, arrived(payment(o, pay.TransactionID("4200-"+o.OutTradeNo))))
		} else {
			told = append(told, arrived(observe(o, pay.ObservedOpen)))
		}
		if i%6 == 0 {
			told = append(told, arrived(payment(o, pay.TransactionID("4201-"+o.OutTradeNo))))
		} else {
			told = append(told, arrived(observe(o, pay.ObservedClosed)))
		}
		entries = append(append(entries, told...), told...)
	}
	return entries
}

func (b *books) mustEqualModel(t *rapid.T, o pay.Order, model *pay.Book) {
	now, found, err := b.Order(b.t.Context(), o.MchID, o.OutTradeNo)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, *model.Order, now)
	rows, err := b.sql.QueryContext(b.t.Context(), `SELECT transaction_id, amount_fen FROM payments WHERE mchid = $1 AND out_trade_no = $2`, string(o.MchID), string(o.OutTradeNo))
	require.NoError(t, err)
	got, want := map[string]int64{}, map[string]int64{}
	for rows.Next() {
		var tx string
		var amount int64
		require.NoError(t, rows.Scan(&tx, &amount))
		got[tx] = amount
	}
	require.NoError(t, rows.Err())
	require.NoError(t, rows.Close())
	for tx, p := range model.Payments {
		want[string(tx)] = int64(p.Amount)
	}
	require.Equal(t, want, got)
	var lines int64
	require.NoError(t, b.sql.QueryRowContext(b.t.Context(), `SELECT count(*) FROM history WHERE mchid = $1 AND out_trade_no = $2`, string(o.MchID), string(o.OutTradeNo)).Scan(&lines))
	require.Equal(t, now.Sequence, lines)
}

// mustTellOnce checks what does not depend on the order of arrival.
func (b *books) mustTellOnce(t *rapid.T, o pay.Order, told map[pay.Fact]int, paid bool) {
	want := 0
	if paid {
		want = 1
	}
	require.Equal(t, want, told[pay.FactOrderPaid], "%s", o.OutTradeNo)
	for _, fact := range slices.Sorted(maps.Keys(told)) {
		if fact != pay.FactOrderAnomaly {
			require.LessOrEqual(t, told[fact], 1, fmt.Sprintf("%s of %s", fact, o.OutTradeNo))
		}
	}
	now, _, err := b.Order(b.t.Context(), o.MchID, o.OutTradeNo)
	require.NoError(t, err)
	require.Equal(t, paid, now.State == pay.OrderPaid)
}
