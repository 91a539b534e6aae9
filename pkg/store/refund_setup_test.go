package store_test

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

const quarantine = 10 * time.Minute

// numbers of transactions and refunds in these tests name their order, because
// they are unique over all orders of the merchant.
func txOf(o pay.Order) pay.TransactionID { return pay.TransactionID("42-" + o.OutTradeNo) }

func refundOf(o pay.Order, n int) pay.OutRefundNo {
	return pay.OutRefundNo(fmt.Sprintf("R%d-%s", n, o.OutTradeNo))
}

// wish is a shop's request to give back some of the payment txOf(o).
func wish(o pay.Order, no pay.OutRefundNo, amount pay.Fen) pay.Observation {
	obs := observe(o, pay.ObservedRefundRequested)
	obs.Source, obs.KeyID, obs.ObservedAt = pay.SourceCommand, "", noon.Add(time.Hour)
	obs.TransactionID, obs.OutRefundNo, obs.RefundAmount, obs.Currency = txOf(o), no, amount, pay.CNY
	obs.Origin, obs.Digest, obs.Reason = pay.RefundByCommand, fmt.Sprintf("%s/%s/%d", no, o.OutTradeNo, amount), "tea was cold"
	return obs
}

// seen is where WeChat Pay sees a refund of the payment txOf(o).
func seen(o pay.Order, no pay.OutRefundNo, amount pay.Fen, state pay.RefundState) pay.Observation {
	obs := observe(o, pay.ObservedRefund)
	obs.ObservedAt = noon.Add(2 * time.Hour)
	obs.TransactionID, obs.OutRefundNo, obs.RefundAmount, obs.Currency, obs.RefundState = txOf(o), no, amount, pay.CNY, state
	obs.RefundID = "50-" + string(no)
	if state == pay.RefundSucceeded {
		obs.SucceededAt, obs.ReceivedAccount = noon.Add(119*time.Minute), "purse of the buyer"
	}
	return obs
}

// missing is WeChat Pay's verified word that it has no such refund.
func missing(o pay.Order, no pay.OutRefundNo, askedAt time.Time) pay.Observation {
	obs := observe(o, pay.ObservedRefundMissing)
	obs.Source, obs.ObservedAt, obs.OutRefundNo = pay.SourceQuery, askedAt, no
	obs.AskedAt, obs.Quarantine, obs.Code, obs.Reason = askedAt, quarantine, "RESOURCE_NOT_EXISTS", "no such refund"
	return obs
}

// paidOrder is an order that was paid with txOf(o).
func (b *books) paidOrder() pay.Order {
	b.t.Helper()
	o := b.place()
	b.settle(arrived(payment(o, txOf(o))))
	return b.order(o)
}

// told settles observations that have no bytes of their own, one commit each.
func (b *books) told(observations ...pay.Observation) []pay.Result {
	b.t.Helper()
	var results []pay.Result
	for _, obs := range observations {
		results = append(results, b.settle(pay.Entry{Observation: &obs}).Results...)
	}
	return results
}

func (b *books) story(o pay.Order) pay.Story {
	b.t.Helper()
	story, found, err := b.Story(b.t.Context(), o.MchID, o.OutTradeNo)
	require.NoError(b.t, err)
	require.True(b.t, found)
	return story
}

func (b *books) refund(no pay.OutRefundNo) pay.Refund {
	b.t.Helper()
	r, found, err := b.Refund(b.t.Context(), shop, no)
	require.NoError(b.t, err)
	require.True(b.t, found)
	return r
}

func (b *books) payment(o pay.Order) pay.Payment {
	b.t.Helper()
	p, found, err := b.Payment(b.t.Context(), o.MchID, txOf(o))
	require.NoError(b.t, err)
	require.True(b.t, found)
	return p
}

// attempted writes an attempt as whoever sends refunds leaves it behind.
func (b *books) attempted(no pay.OutRefundNo, number int, outcome pay.AttemptOutcome, startedAt, finishedAt time.Time) pay.Attempt {
	b.t.Helper()
	require.NoError(b.t, b.exec(`INSERT INTO refund_attempts (mchid, out_refund_no, attempt, started_at, finished_at, outcome, status, code, request_id)
		VALUES ($1, $2, $3, $4, $5, $6, 400, 'PARAM_ERROR', 'req-1')`, string(shop), string(no), number, startedAt, nullable(finishedAt), string(outcome)))
	return pay.Attempt{Number: number, StartedAt: startedAt, FinishedAt: finishedAt, Outcome: outcome, Status: 400, Code: "PARAM_ERROR", RequestID: "req-1"}
}

func nullable(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// mustBalance holds the sums of every payment against the refunds beside it.
func (b *books) mustBalance() {
	b.t.Helper()
	b.mustBalanceBetween("", "~")
}

// mustBalanceBetween does so for the orders of some numbers.
func (b *books) mustBalanceBetween(from, to pay.OutTradeNo) {
	b.t.Helper()
	require.Zero(b.t, b.count(`SELECT count(*) FROM payments AS p
		CROSS JOIN LATERAL (SELECT coalesce(sum(amount_fen) FILTER (WHERE state = 'succeeded'), 0) AS gone,
				coalesce(sum(amount_fen) FILTER (WHERE state IN ('requested', 'processing', 'abnormal')), 0) AS going
			FROM refunds AS r WHERE r.mchid = p.mchid AND r.transaction_id = p.transaction_id) AS r
		WHERE p.mchid = $1 AND p.out_trade_no BETWEEN $2 AND $3 AND (p.refunded_fen <> r.gone OR p.reserved_fen <> r.going
			OR p.overrun_fen <> greatest(p.refunded_fen + p.reserved_fen - p.amount_fen, 0))`, string(shop), string(from), string(to)), "the sums of a payment are those over its refunds")
	require.Zero(b.t, b.count(`SELECT count(*) FROM refunds WHERE mchid = $1 AND out_trade_no BETWEEN $2 AND $3
		AND (state IN ('requested', 'processing', 'abnormal')) <> (next_check_at IS NOT NULL)`, string(shop), string(from), string(to)))
}

// model is the books as the pure rules give them, without a database.
type model struct {
	*pay.Book
	history []pay.HistoryEntry
	facts   map[string]int
	letters int
}

func modelOf(o pay.Order) *model {
	book, change := pay.NewOrder(o, pay.SourceCommand)
	m := &model{Book: book, facts: map[string]int{}}
	m.keep(change)
	return m
}

func (m *model) tell(obs pay.Observation, policies pay.Policies) {
	m.keep(m.Apply(obs, policies))
}

func (m *model) keep(c pay.Change) {
	m.history = append(m.history, c.History...)
	for _, e := range c.Events {
		m.facts[e.Key()]++
	}
	if c.Letter != nil {
		m.letters++
	}
}

// mustBe holds what the tables say about an order against the model, row by row.
func (b *books) mustBe(m *model) {
	b.t.Helper()
	story := b.story(*m.Order)
	want := *m.Order
	want.CheckedAt = story.Order.CheckedAt // the store's own note
	require.Equal(b.t, want, story.Order)
	payments := map[pay.TransactionID]pay.Payment{}
	for _, p := range story.Payments {
		payments[p.TransactionID] = p
	}
	require.Equal(b.t, m.Payments, payments)
	require.Len(b.t, story.Refunds, len(m.Refunds))
	for _, r := range story.Refunds {
		want := *m.Refunds[r.OutRefundNo]
		want.Path, want.Request = nil, r.Request
		require.Equal(b.t, want, r.Refund)
	}
	require.Len(b.t, story.Anomalies, len(m.Anomalies))
	for _, a := range m.Anomalies {
		require.Contains(b.t, story.Anomalies, *a)
	}
	require.Len(b.t, story.History, len(m.history))
	for i, h := range story.History {
		h.DeliveryID = m.history[i].DeliveryID // the archive's id of it
		require.Equal(b.t, m.history[i], h)
	}
	for key, n := range m.facts {
		require.Equal(b.t, 1, n, key)
	}
	require.Equal(b.t, len(m.facts), b.count(`SELECT count(*) FROM outbox WHERE mchid = $1 AND out_trade_no = $2`, string(m.Order.MchID), string(m.Order.OutTradeNo)))
}
