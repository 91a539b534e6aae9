package store_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// everything is each row of each table as text, and where the sequences stand.
func (b *books) everything() map[string]string {
	b.t.Helper()
	all := map[string]string{}
	for _, table := range b.rows(`SELECT format('%I', relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = 'public' AND c.relkind = 'r'`) {
		all[table] = b.text(`SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\n' ORDER BY t::text)), '') FROM ` + table + ` AS t`)
	}
	for _, sequence := range b.rows(`SELECT schemaname || '.' || sequencename || ' ' || coalesce(last_value::text, '') FROM pg_sequences`) {
		all[sequence] = "sequence"
	}
	require.Greater(b.t, len(all), 20)
	return all
}

func (b *books) rows(query string, args ...any) []string {
	b.t.Helper()
	rows, err := b.sql.QueryContext(b.t.Context(), query, args...)
	require.NoError(b.t, err)
	defer func() { require.NoError(b.t, rows.Close()) }()
	var texts []string
	for rows.Next() {
		var text string
		require.NoError(b.t, rows.Scan(&text))
		texts = append(texts, text)
	}
	require.NoError(b.t, rows.Err())
	return texts
}

// facets are the rows that an effect tells of, in the words of an effect.
func (b *books) facets() map[string]bool {
	b.t.Helper()
	seen := map[string]bool{}
	for _, query := range []string{
		`SELECT concat_ws('/', 'order', mchid, out_trade_no, state, sequence) FROM orders`,
		`SELECT concat_ws('/', 'history', mchid, out_trade_no, sequence, what, from_state, to_state, transaction_id, out_refund_no, refund_from, refund_to, detail) FROM history`,
		`SELECT concat_ws('/', 'payment', mchid, transaction_id, out_trade_no, amount_fen, refunded_fen, reserved_fen, overrun_fen, notified_at IS NOT NULL) FROM payments`,
		`SELECT concat_ws('/', 'anomaly', mchid, transaction_id, kind, out_refund_no, policy, state, expected_fen, actual_fen) FROM anomalies`,
		`SELECT concat_ws('/', 'refund', mchid, out_refund_no, transaction_id, amount_fen, origin, state) FROM refunds`,
		`SELECT concat_ws('/', 'event', event_id, fact, payload::json -> 'data' ->> 'sequence') FROM outbox`,
		`SELECT concat_ws('/', 'letter', delivery_id, state) FROM dead_letters`,
	} {
		for _, row := range b.rows(query) {
			seen[row] = true
		}
	}
	return seen
}

// told says the same of effects.
func facetsOf(effects []pay.Effect) map[string]bool {
	said := map[string]bool{}
	say := func(parts ...any) {
		var texts []string
		for _, p := range parts {
			texts = append(texts, fmt.Sprint(p))
		}
		said[strings.Join(texts, "/")] = true
	}
	last := map[string][]any{} // of several changes to one row, the last is what is there
	for _, e := range effects {
		if o := e.Order; o != nil && o.SequenceWas != o.SequenceIsNow {
			last["order "+string(o.OutTradeNo)] = []any{"order", o.MchID, o.OutTradeNo, o.StateIsNow, o.SequenceIsNow}
		}
		for _, h := range e.History {
			say("history", h.MchID, h.OutTradeNo, h.Sequence, h.What, h.From, h.To, h.TransactionID, h.OutRefundNo, h.RefundFrom, h.RefundTo, h.Detail)
		}
		for _, p := range e.Payments {
			last["payment "+string(p.TransactionID)] = []any{"payment", p.MchID, p.TransactionID, p.OutTradeNo, int64(p.Amount), int64(p.Refunded), int64(p.Reserved), int64(p.Overrun), fmt.Sprint(!p.NotifiedAt.IsZero())[:1]}
		}
		for _, a := range e.Anomalies {
			last["anomaly "+string(a.TransactionID)+string(a.Kind)+string(a.OutRefundNo)] = []any{"anomaly", a.MchID, a.TransactionID, a.Kind, a.OutRefundNo, a.Policy, a.State, int64(a.ExpectedFen), int64(a.ActualFen)}
		}
		for _, r := range e.Refunds {
			last["refund "+string(r.OutRefundNo)] = []any{"refund", r.MchID, r.OutRefundNo, r.TransactionID, int64(r.Amount), r.Origin, r.State}
		}
		for _, v := range e.Events {
			say("event", v.EventID, v.Fact, v.Sequence)
		}
		if l := e.Letter; l != nil && l.StateWas != l.StateIsNow {
			say("letter", e.Delivery, l.StateIsNow)
		}
		for _, id := range e.Wakes {
			say("letter", id, pay.LetterWaiting)
		}
	}
	for _, parts := range last {
		say(parts...)
	}
	return said
}

// appeared are the rows that are there and were not.
func appeared(before, after map[string]bool) []string {
	var rows []string
	for row := range after {
		if !before[row] {
			rows = append(rows, row)
		}
	}
	slices.Sort(rows)
	return rows
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

// expectations are the sequences that effects saw.
func expectations(effects []pay.Effect) map[pay.OrderKey]int64 {
	orders := map[pay.OrderKey]int64{}
	for _, e := range effects {
		if e.Order == nil {
			continue
		}
		if _, seen := orders[e.Order.OrderKey]; !seen {
			orders[e.Order.OrderKey] = e.Order.SequenceWas
		}
	}
	return orders
}
