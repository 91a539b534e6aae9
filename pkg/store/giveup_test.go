package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func byOperator(why string) *pay.Act {
	return &pay.Act{ID: uuid.Must(uuid.NewV7()).String(), Actor: "token:night-shift", Reason: why}
}

// givenUp is a person's word that a refund which WeChat Pay says it lacks is at its end.
func givenUp(o pay.Order, no pay.OutRefundNo, askedAt time.Time) pay.Observation {
	obs := missing(o, no, askedAt)
	obs.Source, obs.KeyID, obs.Act = pay.SourceOperator, "", byOperator("the shop gave cash")
	return obs
}

func (b *books) auditsOf(action string, subject pay.OutRefundNo) []pay.AuditEntry {
	b.t.Helper()
	entries, err := b.Audit(b.t.Context(), pay.AuditFilter{Limit: 500})
	require.NoError(b.t, err)
	var of []pay.AuditEntry
	for _, e := range entries {
		if e.Action == action && e.Subject == string(subject) {
			of = append(of, e)
		}
	}
	return of
}

func TestSettle_gives_a_refund_up_on_a_persons_word_and_tells_the_audit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := noon.Add(3 * time.Hour)
	for _, outcome := range []pay.AttemptOutcome{pay.AttemptRejected, pay.AttemptBlocked} {
		t.Run(string(outcome), func(t *testing.T) {
			t.Parallel()
			o := b.paidOrder()
			r := refundOf(o, 1)
			b.told(wish(o, r, 40))
			b.attempted(r, 1, outcome, asked.Add(-2*time.Minute), asked.Add(-time.Minute))
			word := givenUp(o, r, asked)
			for i, want := range []pay.Outcome{pay.OutcomeApplied, pay.OutcomeUnchanged} { // a command may be carried out again
				result := b.told(word)[0]
				require.Equal(t, want, result.Outcome, i)
				require.Nil(t, result.Refusal)
				require.Equal(t, pay.RefundFailed, result.Refund.State)
			}
			require.Zero(t, b.payment(o).Reserved)
			require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'refund.failed' AND out_trade_no = $1`, string(o.OutTradeNo)))
			audits := b.auditsOf("refund.give_up", r)
			require.Len(t, audits, 1)
			require.Equal(t, []string{word.Act.ID, "token:night-shift"}, []string{audits[0].ID, audits[0].Actor})
			require.Equal(t, "the shop gave cash", audits[0].Detail["reason"])
			history := b.story(o).History
			require.Equal(t, pay.SourceOperator, history[len(history)-1].Source)

			// WeChat Pay owns up to it, while the freed money was given back again.
			b.told(wish(o, refundOf(o, 2), 100), seen(o, refundOf(o, 2), 100, pay.RefundSucceeded))
			result := b.told(seen(o, r, 40, pay.RefundSucceeded))[0]
			require.Equal(t, pay.RefundSucceeded, result.Refund.State)
			require.Equal(t, pay.Fen(140), b.payment(o).Refunded)
			require.Equal(t, pay.Fen(40), b.payment(o).Overrun)
			require.Equal(t, pay.AnomalyRefundOverrun, b.story(o).Anomalies[0].Kind)
			require.NotNil(t, b.told(word)[0].Refusal, "and is given up no more")
			b.mustBalance()
		})
	}
}

func TestSettle_refuses_to_give_up_what_may_be_under_way_and_changes_nothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := noon.Add(3 * time.Hour)
	o := b.paidOrder()
	r := refundOf(o, 1)
	b.told(wish(o, r, 40))
	b.attempted(r, 1, pay.AttemptUnknown, asked.Add(-quarantine+time.Second), time.Time{})
	b.attempted(r, 2, pay.AttemptBlocked, asked.Add(-2*time.Minute), asked.Add(-time.Minute))
	before := b.order(o).Sequence
	result := b.told(givenUp(o, r, asked))[0]
	require.Equal(t, pay.RefusedGiveUp, result.Refusal.Reason)
	require.Contains(t, result.Refusal.Detail, "attempt 1")
	require.Equal(t, pay.RefundRequested, b.refund(r).State)
	require.Equal(t, pay.Fen(40), b.payment(o).Reserved)
	require.Equal(t, before, b.order(o).Sequence)
	require.Empty(t, b.auditsOf("refund.give_up", r))
}

// An attempt that begins while a person's word is on its way is seen: the refund
// is not given up.
func TestSettle_does_not_give_up_on_a_persons_word_what_is_being_sent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	r := refundOf(o, 1)
	b.told(wish(o, r, 40))
	asked := noon.Add(3 * time.Hour)
	b.attempted(r, 1, pay.AttemptBlocked, asked.Add(-2*time.Minute), asked.Add(-time.Minute))
	word := givenUp(o, r, asked)
	release, _, outcome := blockedSettle(t, b, o, `WITH paid AS (
			SELECT p.mchid, p.transaction_id FROM payments AS p WHERE p.mchid = $1 AND p.out_trade_no = $2 FOR UPDATE
		), held AS (
			SELECT r.mchid, r.out_refund_no FROM refunds AS r JOIN paid USING (mchid, transaction_id) FOR UPDATE OF r)
		INSERT INTO refund_attempts (mchid, out_refund_no, attempt, started_at) SELECT mchid, out_refund_no, 2, now() FROM held`, pay.Entry{Observation: &word})
	release()
	require.NoError(t, <-outcome)
	require.Equal(t, pay.RefundRequested, b.refund(r).State)
	require.Equal(t, pay.Fen(40), b.payment(o).Reserved)
}

// A refund that was given up is sent by nobody who held it before.
func TestBeginAttempt_does_not_send_what_a_person_gave_up(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	r := refundOf(o, 1)
	b.told(wish(o, r, 40))
	b.attempted(r, 1, pay.AttemptBlocked, noon, noon.Add(time.Minute))
	plan := b.heldRefund(r, pay.APIRefund)
	require.Equal(t, pay.RefundFailed, b.told(givenUp(o, r, noon.Add(time.Hour)))[0].Refund.State)
	begun, err := b.BeginAttempt(t.Context(), pay.AttemptStart{MchID: shop, OutRefundNo: r, Lease: plan.Lease, Request: []byte("{}"), Gap: time.Minute, MinLease: 20 * time.Second})
	require.NoError(t, err)
	require.False(t, begun.Begun)
	require.True(t, begun.WaitUntil.IsZero(), "the lease is lost")
	plan.NextCheckAt, plan.CheckAPI = noon, pay.APIRefund
	require.NoError(t, b.PlanRefund(t.Context(), plan))
	require.True(t, b.refund(r).NextCheckAt.IsZero())
}

func TestSettle_tells_the_audit_who_asked_for_a_refund(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	r := refundOf(o, 1)
	asked := wish(o, r, 40)
	asked.Source, asked.Origin, asked.Act = pay.SourceOperator, pay.RefundByOperator, byOperator("ticket 7 \x00")
	for _, again := range []pay.Observation{asked, asked, wish(o, r, 40)} {
		result := b.told(again)[0]
		require.Nil(t, result.Refusal)
		require.Equal(t, pay.RefundByOperator, result.Refund.Origin)
	}
	require.Equal(t, pay.RefundByOperator, b.refund(r).Origin)
	audits := b.auditsOf("refund.create", r)
	require.Len(t, audits, 1)
	require.Equal(t, "ticket 7 \uFFFD", audits[0].Detail["reason"], "what no column holds stays legible")
	moments, err := b.Timeline(t.Context(), shop, o.OutTradeNo)
	require.NoError(t, err)
	var by []string
	for _, m := range moments {
		if m.OutRefundNo == r && m.Kind == pay.MomentAudit {
			by = append(by, m.Actor+" "+m.What)
		}
	}
	require.Equal(t, []string{"token:night-shift refund.create"}, by)
	b.mustBalance()
}

func TestWriteAudit_tells_the_same_act_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := pay.AuditEntry{ID: uuid.Must(uuid.NewV7()).String(), MchID: shop, Actor: "token:me", Action: "order.close", Subject: "T-000001", Detail: map[string]any{"reason": "sold out"}}
	for range 2 {
		require.NoError(t, b.WriteAudit(t.Context(), e))
	}
	entries, err := b.Audit(t.Context(), pay.AuditFilter{Limit: 9})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "sold out", entries[0].Detail["reason"])
	e.Detail = map[string]any{"n": make(chan int)}
	require.Error(t, b.WriteAudit(t.Context(), e))
}
