package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
)

func TestSettle_pays_an_order_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	entry := arrived(payment(o, "4200"))
	settled := b.settle(entry)

	require.Equal(t, []pay.Outcome{pay.OutcomeApplied}, outcomes(settled))
	now := b.order(o)
	require.Equal(t, now, *settled.Results[0].Order)
	require.Equal(t, pay.OrderPaid, now.State)
	require.Equal(t, pay.TransactionID("4200"), now.TransactionID)
	require.EqualValues(t, 2, now.Sequence)
	require.False(t, now.Late)
	require.True(t, now.NextCheckAt.IsZero())
	require.Equal(t, 1, b.count(`SELECT count(*) FROM payments WHERE transaction_id = '4200' AND amount_fen = 100 AND payer_total_fen = 99 AND refunded_fen = 0`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM history WHERE sequence = 2 AND what = 'paid' AND from_state = 'created' AND to_state = 'paid'
		AND key_id = 'PUB_KEY_ID_1' AND delivery_id = $1`, string(entry.Delivery.ID)))
	require.Equal(t, []string{event.TypeOrderCreated, event.TypeOrderPaid}, b.facts(o))
	require.Len(t, settled.Events, 1)
	require.Equal(t, string(settled.Events[0].Payload), b.text(`SELECT payload FROM outbox WHERE event_id = $1`, settled.Events[0].EventID))
	e := parsed(t, settled.Events[0].Payload)
	require.Equal(t, "4200", e.Data.TransactionID)
	require.Equal(t, noon.Add(time.Second), *e.Data.PaidAt)

	// Whatever comes again changes nothing.
	again := b.settle(entry, arrived(payment(o, "4200")), arrived(observe(o, pay.ObservedOpen)), arrived(observe(o, pay.ObservedClosed)))
	require.Equal(t, []pay.Outcome{pay.OutcomeUnchanged, pay.OutcomeUnchanged, pay.OutcomeUnchanged, pay.OutcomeUnchanged}, outcomes(again))
	require.Empty(t, again.Events)
	require.Equal(t, now, b.order(o))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM payments`))
	require.Equal(t, 2, b.count(`SELECT count(*) FROM history`))
	require.Equal(t, 4, b.count(`SELECT count(*) FROM deliveries`))
}

func TestSettle_takes_duplicates_in_one_batch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.place(), b.place()
	twice := arrived(payment(one, "4200"))
	settled := b.settle(twice, arrived(payment(two, "4300")), twice, arrived(payment(one, "4200")), twice)
	require.Equal(t, []pay.Outcome{pay.OutcomeApplied, pay.OutcomeApplied, pay.OutcomeUnchanged, pay.OutcomeUnchanged, pay.OutcomeUnchanged}, outcomes(settled))
	require.Len(t, settled.Events, 2)
	require.Equal(t, []string{event.TypeOrderCreated, event.TypeOrderPaid}, b.facts(one))
	require.Equal(t, 3, b.count(`SELECT count(*) FROM deliveries`))
}

func TestSettle_applies_several_steps_of_one_order_in_the_order_given(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	prepared := observe(o, pay.ObservedPrepared)
	prepared.Source = pay.SourceCommand
	prepared.Credential = pay.Credential{PrepayID: "wx26", ExpiresAt: noon.Add(2 * time.Hour).Add(7)}
	renewed := prepared
	renewed.Credential.PrepayID = "wx27"

	settled := b.settle(pay.Entry{Observation: &prepared}, pay.Entry{Observation: &prepared}, pay.Entry{Observation: &renewed},
		arrived(observe(o, pay.ObservedClosed)), arrived(payment(o, "4200")))
	require.Equal(t, []pay.Outcome{pay.OutcomeApplied, pay.OutcomeUnchanged, pay.OutcomeApplied, pay.OutcomeApplied, pay.OutcomeApplied}, outcomes(settled))
	now := b.order(o)
	require.True(t, now.Late)
	require.Equal(t, "wx27", now.Credential.PrepayID)
	require.EqualValues(t, 6, now.Sequence)
	require.Equal(t, "created prepared renewed closed late_payment paid", b.text(`SELECT string_agg(what, ' ' ORDER BY sequence) FROM history`))
	require.Equal(t, []string{event.TypeOrderCreated, event.TypeOrderPrepared, event.TypeOrderClosed, event.TypeOrderAnomaly, event.TypeOrderPaid}, b.facts(o))

	// A credential is known again after it went through the database.
	p := b.place()
	seen := observe(p, pay.ObservedPrepared)
	seen.Credential = pay.Credential{PrepayID: "wx28", ExpiresAt: noon.Add(2 * time.Hour).Add(7)}
	b.settle(pay.Entry{Observation: &seen})
	require.Equal(t, []pay.Outcome{pay.OutcomeUnchanged}, outcomes(b.settle(pay.Entry{Observation: &seen})))
}

func TestSettle_keeps_money_that_does_not_fit(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("a wrong amount is a payment and an anomaly, and no order.paid", func(t *testing.T) {
		t.Parallel()
		o := b.place()
		wrong := payment(o, "amount-1")
		wrong.Amount = 99
		require.Equal(t, []pay.Outcome{pay.OutcomeApplied, pay.OutcomeUnchanged}, outcomes(b.settle(arrived(wrong), arrived(wrong))))
		require.Equal(t, pay.OrderCreated, b.order(o).State)
		require.Equal(t, 1, b.count(`SELECT count(*) FROM payments WHERE transaction_id = 'amount-1' AND amount_fen = 99`))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM anomalies WHERE transaction_id = 'amount-1' AND kind = 'amount_mismatch'
			AND policy = 'hold' AND state = 'open' AND expected_fen = 100 AND actual_fen = 99 AND decided_at IS NULL`))
		require.Equal(t, []string{event.TypeOrderCreated, event.TypeOrderAnomaly}, b.facts(o))
		require.Zero(t, b.count(`SELECT count(*) FROM dead_letters`))
	})

	t.Run("a second transaction is a double payment", func(t *testing.T) {
		t.Parallel()
		o := b.place()
		b.settle(arrived(payment(o, "double-1")))
		b.settle(arrived(payment(o, "double-2")), arrived(payment(o, "double-2")))
		require.Equal(t, pay.TransactionID("double-1"), b.order(o).TransactionID)
		require.Equal(t, 1, b.count(`SELECT count(*) FROM anomalies WHERE transaction_id = 'double-2' AND kind = 'double_payment' AND policy = 'refund'`))
		require.Equal(t, []string{event.TypeOrderCreated, event.TypeOrderPaid, event.TypeOrderAnomaly, event.TypeRefundRequested}, b.facts(o))
	})

	t.Run("late money follows the merchant's policy", func(t *testing.T) {
		t.Parallel()
		accepted, held := b.place(), b.place()
		b.settle(arrived(observe(accepted, pay.ObservedClosed)), arrived(observe(held, pay.ObservedClosed)))
		b.settle(arrived(payment(accepted, "late-1")))
		_, err := b.Settle(t.Context(), []pay.Entry{arrived(payment(held, "late-2"))}, func(pay.MchID) pay.Policies {
			return pay.Policies{LatePayment: pay.PolicyHold}
		})
		require.NoError(t, err)
		require.True(t, b.order(accepted).Late)
		require.Equal(t, pay.OrderPaid, b.order(accepted).State)
		require.Equal(t, pay.OrderClosed, b.order(held).State)
		require.Equal(t, 1, b.count(`SELECT count(*) FROM anomalies WHERE transaction_id = 'late-1' AND state = 'accepted' AND decided_at IS NOT NULL`))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM anomalies WHERE transaction_id = 'late-2' AND state = 'open'`))
	})
}

func TestSettle_writes_letters_beside_good_neighbours(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, p := b.place(), b.place()
	foreign := payment(p, "4300")
	foreign.AppID = "wx-other"
	garbage := arrived(payment(o, "4999"))
	garbage.Observation, garbage.Letter = nil, &pay.LetterCause{Reason: pay.LetterBadSignature, Detail: "serial \x00 is \xff not known"}
	nothing := arrived(payment(o, "4998"))
	nothing.Observation = nil

	settled := b.settle(arrived(foreign), garbage, nothing, arrived(payment(o, "4200")))
	require.Equal(t, []pay.Outcome{pay.OutcomeLettered, pay.OutcomeLettered, pay.OutcomeArchived, pay.OutcomeApplied}, outcomes(settled))
	require.Equal(t, pay.LetterMismatch, settled.Results[0].Letter.Reason)
	require.Nil(t, settled.Results[1].Order)
	require.Equal(t, pay.OrderPaid, b.order(o).State)
	require.Equal(t, pay.OrderCreated, b.order(p).State)
	require.Equal(t, "bad_signature mismatch", b.text(`SELECT string_agg(reason, ' ' ORDER BY reason) FROM dead_letters WHERE state = 'open' AND attempts = 1`))
	require.Equal(t, "serial \uFFFD is \uFFFD not known", b.text(`SELECT detail FROM dead_letters WHERE reason = 'bad_signature'`))
	require.Equal(t, 4, b.count(`SELECT count(*) FROM deliveries WHERE body = $1`, garbage.Delivery.Body))
	require.Zero(t, b.count(`SELECT count(*) FROM payments WHERE transaction_id <> '4200'`))
}

func TestSettle_of_nothing_does_nothing(t *testing.T) {
	t.Parallel()
	settled, err := setup(t).Settle(t.Context(), nil, defaults)
	require.NoError(t, err)
	require.Empty(t, settled.Results)
}
