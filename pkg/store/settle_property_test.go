package store_test

import (
	"encoding/json"
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
		orders := b.placeMany(20)
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
		l := b.ledger(rt, orders[0].OutTradeNo, orders[len(orders)-1].OutTradeNo)
		for i, o := range orders {
			now := b.order(o)
			b.mustEqualModel(rt, now, l, model[o.OutTradeNo])
			mustTellOnce(rt, now, facts[o.OutTradeNo], i%2 == 0)
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

// ledger is what the tables say about the orders of one run, by number.
type ledger struct {
	lines    map[pay.OutTradeNo]int64
	payments map[pay.OutTradeNo]map[pay.TransactionID]pay.Fen
}

func (b *books) ledger(t *rapid.T, from, to pay.OutTradeNo) ledger {
	l := ledger{lines: map[pay.OutTradeNo]int64{}, payments: map[pay.OutTradeNo]map[pay.TransactionID]pay.Fen{}}
	var lines, payments []byte
	require.NoError(t, b.sql.QueryRowContext(b.t.Context(), `SELECT json_object_agg(out_trade_no, lines), (SELECT coalesce(json_object_agg(out_trade_no, paid), '{}') FROM
			(SELECT out_trade_no, json_object_agg(transaction_id, amount_fen) AS paid FROM payments WHERE out_trade_no BETWEEN $1 AND $2 GROUP BY 1) AS p)
		FROM (SELECT out_trade_no, count(*) AS lines FROM history WHERE out_trade_no BETWEEN $1 AND $2 GROUP BY 1) AS h`, string(from), string(to)).Scan(&lines, &payments))
	require.NoError(t, json.Unmarshal(lines, &l.lines))
	require.NoError(t, json.Unmarshal(payments, &l.payments))
	return l
}

func (b *books) mustEqualModel(t *rapid.T, now pay.Order, l ledger, model *pay.Book) {
	require.Equal(t, *model.Order, now)
	require.Equal(t, now.Sequence, l.lines[now.OutTradeNo])
	require.Len(t, l.payments[now.OutTradeNo], len(model.Payments))
	for tx, p := range model.Payments {
		require.Equal(t, p.Amount, l.payments[now.OutTradeNo][tx])
	}
}

// mustTellOnce checks what does not depend on the order of arrival.
func mustTellOnce(t *rapid.T, now pay.Order, told map[pay.Fact]int, paid bool) {
	require.Equal(t, paid, now.State == pay.OrderPaid)
	require.Equal(t, paid, told[pay.FactOrderPaid] == 1, "%s", now.OutTradeNo)
	for _, fact := range slices.Sorted(maps.Keys(told)) {
		if fact != pay.FactOrderAnomaly {
			require.LessOrEqual(t, told[fact], 1, "%s of %s", fact, now.OutTradeNo)
		}
	}
}
