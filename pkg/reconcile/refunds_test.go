package reconcile_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/reconcile"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const theRefund = "R00000001"

func TestRefund_ends_once_whatever_becomes_of_its_call(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		faults   []simulator.Fault
		outcomes []string // of its attempts
	}{
		"nothing goes wrong":              {nil, []string{"accepted"}},
		"an error, and nothing was done":  {[]simulator.Fault{{Kind: simulator.FaultErrorBefore, API: "refund", Count: 1}}, []string{"unknown", "accepted"}},
		"errors again and again":          {[]simulator.Fault{{Kind: simulator.FaultErrorBefore, API: "refund", Count: 3}}, []string{"unknown", "unknown", "unknown", "accepted"}},
		"an error, though it was done":    {[]simulator.Fault{{Kind: simulator.FaultErrorAfter, API: "refund", Count: 1}}, []string{"unknown"}},
		"no answer, though it was done":   {[]simulator.Fault{{Kind: simulator.FaultTimeoutAfter, API: "refund", Count: 1, DelayMs: 5000}}, []string{"unknown"}},
		"no answer, and nothing was done": {[]simulator.Fault{{Kind: simulator.FaultTimeoutBefore, API: "refund", Count: 1, DelayMs: 5000}}, []string{"unknown", "accepted"}},
		"called too often":                {[]simulator.Fault{{Kind: simulator.FaultFrequencyLimited, API: "refund", Count: 1}}, []string{"unknown", "accepted"}},
		"called too often, though done":   {[]simulator.Fault{{Kind: simulator.FaultFrequencyLimitedAfter, API: "refund", Count: 1}}, []string{"unknown"}},
		"a probe for a signature":         {[]simulator.Fault{{Kind: simulator.FaultAnswerSigntest, API: "refund", Count: 1}}, []string{"unknown"}},
		"a tampered answer":               {[]simulator.Fault{{Kind: simulator.FaultAnswerTampered, API: "refund", Count: 1}}, []string{"unknown"}},
		"an answer under an unknown key":  {[]simulator.Fault{{Kind: simulator.FaultAnswerWrongSerial, API: "refund", Count: 1}}, []string{"unknown"}},
		"the question is answered by probes, too": {[]simulator.Fault{
			{Kind: simulator.FaultErrorAfter, API: "refund", Count: 1}, {Kind: simulator.FaultAnswerSigntest, API: "refund_query", Count: 3},
		}, []string{"unknown"}},
		"the question has no answer, either": {[]simulator.Fault{
			{Kind: simulator.FaultErrorBefore, API: "refund", Count: 1}, {Kind: simulator.FaultErrorBefore, API: "refund_query", Count: 2},
			{Kind: simulator.FaultFrequencyLimited, API: "refund_query", Count: 1},
		}, []string{"unknown", "accepted"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			transaction := b.paid("T00000001")
			for _, f := range row.faults {
				_, err := b.platform.SetFault(f)
				require.NoError(t, err)
			}
			b.refund("T00000001", transaction, theRefund, 30)
			b.until(func() bool { return b.refundState(theRefund) == pay.RefundSucceeded })
			require.Equal(t, row.outcomes, b.outcomes(theRefund))
			b.agree()
			require.Equal(t, 1, b.events("refund.succeeded"))
			require.Len(t, b.platform.Ledger().Refunds, 1)
		})
	}
}

func TestRefund_over_v2_ends_once_with_the_same_message(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][]simulator.Fault{
		"nothing goes wrong":             nil,
		"an error, and nothing was done": {{Kind: simulator.FaultErrorBefore, API: "refund", Count: 1}},
		"no answer, though it was done":  {{Kind: simulator.FaultTimeoutAfter, API: "refund", Count: 1, DelayMs: 5000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			transaction := b.paid("T00000001", func(o *pay.Order) { o.Protocol = pay.ProtocolV2 })
			for _, f := range faults {
				_, err := b.platform.SetFault(f)
				require.NoError(t, err)
			}
			b.refund("T00000001", transaction, theRefund, 30)
			b.until(func() bool { return b.refundState(theRefund) == pay.RefundSucceeded })
			b.agree()
		})
	}
}

func TestRefund_waits_for_money_and_is_sent_again_by_itself(t *testing.T) {
	t.Parallel()
	b := setup(t)
	transaction := b.paid("T00000001")
	nothing := int64(0)
	require.NoError(t, b.platform.SetFunds(&nothing))
	b.refund("T00000001", transaction, theRefund, 30)
	b.until(func() bool { return b.count(`SELECT count(*) FROM refund_attempts WHERE outcome = 'not_enough'`) >= 2 })
	require.Equal(t, pay.RefundRequested, b.refundState(theRefund))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE failure_code = 'NOT_ENOUGH'`))
	require.NoError(t, b.platform.TopUp(1000))
	b.until(func() bool { return b.refundState(theRefund) == pay.RefundSucceeded })
	b.agree()
	require.Regexp(t, `^\[not_enough not_enough (not_enough )*accepted\]$`, fmt.Sprint(b.outcomes(theRefund)))
	b.says("top it up")
	require.NotRegexp(t, `(?s)top it up.*top it up`, b.said.String(), "said once, while it stays the same")
}

func TestRefund_that_WeChat_Pay_closes_frees_its_money(t *testing.T) {
	t.Parallel()
	b := setup(t)
	transaction := b.paid("T00000001")
	_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultRefundClosed, Count: 1})
	require.NoError(t, err)
	b.refund("T00000001", transaction, theRefund, 100)
	b.until(func() bool { return b.refundState(theRefund) == pay.RefundClosed })
	require.Equal(t, 0, b.count(`SELECT reserved_fen FROM payments`))
	b.refund("T00000001", transaction, "R00000002", 100)
	b.until(func() bool { return b.refundState("R00000002") == pay.RefundSucceeded })
	b.agree()
}

func TestRefund_that_stays_under_way_is_asked_about_less_and_less(t *testing.T) {
	t.Parallel()
	b := setup(t)
	transaction := b.paid("T00000001")
	_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultRefundStuck, Count: 1})
	require.NoError(t, err)
	b.refund("T00000001", transaction, theRefund, 30)
	b.until(func() bool { return b.count(`SELECT check_count FROM refunds`) == 6 })
	require.Positive(t, b.count(`SELECT count(*) FROM refunds WHERE next_check_at > now() + interval '300 milliseconds' AND check_api = 'refund_query'`))
	_, _, err = b.platform.SettleRefund(theRefund, simulator.RefundOutcome{Status: simulator.RefundSuccess, Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	b.until(func() bool { return b.refundState(theRefund) == pay.RefundSucceeded })
	b.agree()
	require.Equal(t, []string{"accepted"}, b.outcomes(theRefund))
}

// wish is an operator's: it drives an abnormal refund on.
func (b *bundle) wish(no string) {
	b.t.Helper()
	body, key, err := b.client.AbnormalBody(wechatpay.AbnormalRequest{
		OutRefundNo: pay.OutRefundNo(no), Type: wechatpay.ToUserCard, BankType: "ICBC_DEBIT", BankAccount: "6222020000000000000", RealName: "张三",
	})
	require.NoError(b.t, err)
	is, err := b.store.WishAbnormal(b.t.Context(), b.mchid, pay.OutRefundNo(no), body, key, "operator", "")
	require.NoError(b.t, err)
	require.True(b.t, is)
}

func TestRefund_that_is_abnormal_is_told_of_and_driven_on(t *testing.T) {
	t.Parallel()
	fault := func(kind simulator.FaultKind, n int) []simulator.Fault {
		return []simulator.Fault{{Kind: kind, API: "abnormal_refund", Count: n}}
	}
	for name, row := range map[string]struct {
		faults []simulator.Fault
		calls  int
	}{
		"at once":                      {nil, 1},
		"an error, though it was done": {fault(simulator.FaultErrorAfter, 1), 1},
		"an error, and nothing done":   {fault(simulator.FaultErrorBefore, 2), 3},
		"a probe for a signature":      {fault(simulator.FaultAnswerSigntest, 1), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			transaction := b.paid("T00000001")
			_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultRefundAbnormal, Count: 1})
			require.NoError(t, err)
			b.refund("T00000001", transaction, theRefund, 30)
			b.until(func() bool { return b.refundState(theRefund) == pay.RefundAbnormal })
			b.until(func() bool { return b.count(`SELECT check_count FROM refunds`) > 0 })
			b.says("/abnormal")
			for _, f := range row.faults {
				_, err := b.platform.SetFault(f)
				require.NoError(t, err)
			}
			b.wish(theRefund)
			b.until(func() bool { return b.refundState(theRefund) == pay.RefundSucceeded })
			require.Equal(t, row.calls, b.wire.count("abnormal"))
			if row.faults == nil {
				require.Equal(t, 1, b.count(`SELECT count(*) FROM history WHERE refund_from = 'abnormal' AND refund_to = 'processing' AND source = 'call' AND key_id <> ''`))
			}
			b.agree()
			require.NotContains(t, b.said.String(), "6222020000000000000")
			require.NotContains(t, b.said.String(), "张三")
		})
	}
}

func TestRefund_that_cannot_be_driven_on_stays_abnormal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	transaction := b.paid("T00000001")
	_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultRefundAbnormal, Count: 1})
	require.NoError(t, err)
	b.refund("T00000001", transaction, theRefund, 30)
	b.until(func() bool { return b.refundState(theRefund) == pay.RefundAbnormal })
	b.wire.fails("abnormal", answers(400, "INVALID_REQUEST"))
	b.wish(theRefund)
	b.until(func() bool {
		return b.count(`SELECT count(*) FROM refunds WHERE failure_code = 'INVALID_REQUEST' AND check_api = 'refund_query'`) == 1
	})
	require.Equal(t, pay.RefundAbnormal, b.refundState(theRefund))
	require.Equal(t, 1, b.wire.count("abnormal"))
	// Somebody drives it on in the merchant platform.
	_, _, err = b.platform.SettleRefund(theRefund, simulator.RefundOutcome{Status: simulator.RefundSuccess, Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	b.until(func() bool { return b.refundState(theRefund) == pay.RefundSucceeded })
	b.agree()
}

func TestRefund_fails_only_by_the_rule(t *testing.T) {
	t.Parallel()
	t.Run("rejected, asked about and verifiably not there", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		transaction := b.paid("T00000001")
		b.wire.fails("refund", answers(400, "INVALID_REQUEST"))
		b.refund("T00000001", transaction, theRefund, 30)
		b.until(func() bool { return b.refundState(theRefund) == pay.RefundFailed })
		require.Equal(t, []string{"rejected"}, b.outcomes(theRefund))
		require.Equal(t, 1, b.wire.count("refund"))
		require.Equal(t, 0, b.count(`SELECT reserved_fen FROM payments`))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE failure_code = 'INVALID_REQUEST' AND failure_reason = 'no'`))
		require.Equal(t, 1, b.events("refund.failed"))
	})
	t.Run("not while nobody has signed that it is not there", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.unsigned()
		transaction := b.paid("T00000001")
		b.wire.fails("refund", answers(400, "INVALID_REQUEST"))
		b.refund("T00000001", transaction, theRefund, 30)
		b.until(func() bool { return b.wire.count("refund_query") >= 3 })
		require.Equal(t, pay.RefundRequested, b.refundState(theRefund))
		require.Equal(t, 1, b.wire.count("refund"), "and what was rejected for good is not sent again")
		b.says("carries no signature")
	})
	t.Run("not while an earlier attempt of unknown outcome is young", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(o *reconcile.Options) { o.Waits.UnknownQuarantine = 3 * time.Second })
		transaction := b.paid("T00000001")
		b.wire.fails("refund", answers(500, "SYSTEM_ERROR"), answers(400, "PARAM_ERROR"))
		b.refund("T00000001", transaction, theRefund, 30)
		b.until(func() bool { return slices.Equal(b.outcomes(theRefund), []string{"unknown", "rejected"}) })
		var began time.Time
		require.NoError(t, b.db.QueryRowContext(t.Context(), `SELECT started_at FROM refund_attempts WHERE attempt = 1`).Scan(&began))
		b.until(func() bool { return b.refundState(theRefund) == pay.RefundFailed })
		require.GreaterOrEqual(t, time.Since(began), 3*time.Second)
		require.Equal(t, 2, b.wire.count("refund"))
	})
	t.Run("never when it is there after all", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		transaction := b.paid("T00000001")
		_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultErrorAfter, API: "refund", Count: 1, Status: 400})
		require.NoError(t, err)
		b.wire.fails("refund_query", answers(500, "SYSTEM_ERROR"), answers(404, "SOMETHING_ELSE"))
		b.refund("T00000001", transaction, theRefund, 30)
		b.until(func() bool { return b.refundState(theRefund) == pay.RefundSucceeded })
		b.agree()
	})
}

func TestRefund_that_an_operator_must_unblock_goes_on_by_itself(t *testing.T) {
	t.Parallel()
	b := setup(t)
	transaction := b.paid("T00000001")
	b.wire.fails("refund", answers(403, "NO_AUTH"), answers(403, "NO_AUTH"))
	b.refund("T00000001", transaction, theRefund, 30)
	b.until(func() bool { return b.refundState(theRefund) == pay.RefundSucceeded })
	require.Equal(t, []string{"blocked", "blocked", "accepted"}, b.outcomes(theRefund))
	b.agree()
}

func TestRefund_of_a_process_that_died_before_its_call_is_asked_about_and_sent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	transaction := b.paid("T00000001")
	b.refund("T00000001", transaction, theRefund, 30)
	died := b.begin(theRefund)
	require.True(t, died.Begun)
	b.sweep()
	require.Zero(t, b.wire.count("refund"), "its lease stands")
	b.expire(theRefund)
	b.until(func() bool { return b.refundState(theRefund) == pay.RefundSucceeded })
	require.Equal(t, []string{"unknown", "accepted"}, b.outcomes(theRefund))
	require.Equal(t, map[string]int{string(died.Request): 1}, b.wire.sent(theRefund), "with the bytes that were on disk")
	b.agree()
}

func TestRefund_of_a_process_that_died_after_its_call_is_found(t *testing.T) {
	t.Parallel()
	b := setup(t)
	transaction := b.paid("T00000001")
	b.refund("T00000001", transaction, theRefund, 30)
	died := b.begin(theRefund)
	_, err := b.client.SubmitRefund(t.Context(), pay.ProtocolV3, died.Request)
	require.NoError(t, err)
	b.expire(theRefund)
	b.until(func() bool { return b.refundState(theRefund) == pay.RefundSucceeded })
	require.Equal(t, 1, b.wire.count("refund"))
	b.agree()
}

// begin claims a refund and begins its call, as a process that dies then does.
func (b *bundle) begin(no string) pay.AttemptBegun {
	b.t.Helper()
	claimed, err := b.store.ClaimRefund(b.t.Context(), b.mchid, pay.OutRefundNo(no), pay.Budget{API: pay.APIRefund, PerSecond: b.options.Budget.Refund}, time.Minute)
	require.NoError(b.t, err)
	require.Len(b.t, claimed.Refunds, 1)
	r := claimed.Refunds[0]
	body, err := b.client.RefundBody(wechatpay.RefundRequest{
		Protocol: r.Protocol, AppID: r.AppID, MchID: r.MchID, TransactionID: r.TransactionID, OutRefundNo: r.OutRefundNo,
		Amount: r.Amount, Total: r.Total, Currency: r.Currency, Reason: r.Reason, Funds: r.Funds, NotifyURL: b.options.NotifyURL(r.MchID, r.Protocol),
	})
	require.NoError(b.t, err)
	begun, err := b.store.BeginAttempt(b.t.Context(), pay.AttemptStart{MchID: b.mchid, OutRefundNo: r.OutRefundNo, Lease: claimed.Lease, Request: body, MinLease: 20 * time.Second})
	require.NoError(b.t, err)
	return begun
}

// expire lets a refund's lease run out, and makes its attempts as old.
func (b *bundle) expire(no string) {
	b.t.Helper()
	b.forge(`UPDATE refunds SET leased_until = now(), next_check_at = now() WHERE out_refund_no = $1`, no)
	b.forge(`UPDATE refund_attempts SET started_at = started_at - interval '1 minute' WHERE out_refund_no = $1`, no)
}

// forge writes what the rules of the schema refuse: what a test cannot wait for.
func (b *bundle) forge(query string, args ...any) {
	b.t.Helper()
	tx, err := b.db.BeginTx(b.t.Context(), nil)
	require.NoError(b.t, err)
	_, err = tx.ExecContext(b.t.Context(), `SET LOCAL session_replication_role = replica`)
	require.NoError(b.t, err)
	_, err = tx.ExecContext(b.t.Context(), query, args...)
	require.NoError(b.t, err)
	require.NoError(b.t, tx.Commit())
}

func TestRefunds_of_two_reconcilers_and_doubled_wake_ups_are_sent_once_each(t *testing.T) {
	t.Parallel()
	b := setup(t)
	others := []*reconcile.Service{b.service, b.reconciler(), b.reconciler()}
	var all []string
	for i := range 12 {
		no := fmt.Sprintf("T%08d", i)
		all = append(all, "R"+no)
		b.refund(no, b.paid(no), "R"+no, 40)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, service := range others {
		wg.Go(func() {
			for ctx.Err() == nil {
				for _, no := range all {
					_ = service.SubmitRefund(ctx, b.mchid, pay.OutRefundNo(no))
				}
				_ = service.SweepRefunds(ctx)
			}
		})
	}
	require.Eventually(t, func() bool { return b.count(`SELECT count(*) FROM refunds WHERE state = 'succeeded'`) == len(all) }, soon, often)
	cancel()
	wg.Wait()
	for _, no := range all {
		require.Equal(t, []string{"accepted"}, b.outcomes(no))
	}
	require.Equal(t, len(all), b.wire.count("refund"))
	b.agree()
}

func TestRefund_is_sent_by_a_wake_up_before_any_sweep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	transaction := b.paid("T00000001")
	b.refund("T00000001", transaction, theRefund, 30)
	require.NoError(t, b.service.SubmitRefund(t.Context(), b.mchid, theRefund))
	require.Eventually(t, func() bool {
		return b.refundState(theRefund) == pay.RefundProcessing || b.refundState(theRefund) == pay.RefundSucceeded
	}, soon, often)
	require.NoError(t, b.service.SubmitRefund(t.Context(), b.mchid, theRefund), "what is not due is no error")
	require.NoError(t, b.service.SubmitRefund(t.Context(), b.mchid, "R99999999"), "nor what there is not")
	require.Equal(t, 1, b.wire.count("refund"))
}

func TestRefunds_of_one_payment_go_apart(t *testing.T) {
	t.Parallel()
	gap := 1500 * time.Millisecond
	b := setup(t, func(o *reconcile.Options) { o.Waits.RefundGap = gap })
	transaction := b.paid("T00000001")
	b.refund("T00000001", transaction, theRefund, 30)
	b.refund("T00000001", transaction, "R00000002", 30)
	b.refund("T00000001", transaction, "R00000003", 40)
	b.until(func() bool { return b.count(`SELECT count(*) FROM refunds WHERE state = 'succeeded'`) == 3 })
	require.Zero(t, b.count(`SELECT count(*) FROM refund_attempts a JOIN refund_attempts z ON a.out_refund_no <> z.out_refund_no AND a.started_at <= z.started_at AND z.started_at < a.started_at + $1 * interval '1 millisecond'`, gap.Milliseconds()))
	require.Equal(t, 3, b.wire.count("refund"), "nothing was sent in vain")
	b.agree()
}

func TestRefund_of_money_that_came_twice_is_sent_by_policy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultSecondPayment, Count: 1})
	require.NoError(t, err)
	first := b.paid("T00000001")
	ledger := b.platform.Ledger()
	require.Len(t, ledger.Payments, 2)
	var second simulator.Payment
	for _, p := range ledger.Payments {
		if p.TransactionID != string(first) {
			second = p
		}
	}
	b.settle(pay.Observation{
		Kind: pay.ObservedPaid, Source: pay.SourceNotification, ObservedAt: time.Now().UTC(), MchID: b.mchid, AppID: pay.AppID(b.merchant.Appid),
		OutTradeNo: "T00000001", TransactionID: pay.TransactionID(second.TransactionID), Amount: 100, PayerTotal: 100, Currency: pay.CNY, PaidAt: second.PaidAt,
	})
	no := string(pay.AutoRefundNo(pay.TransactionID(second.TransactionID)))
	b.until(func() bool { return b.refundState(no) == pay.RefundSucceeded })
	b.agree()
	require.Equal(t, pay.OrderPaid, b.state("T00000001"))
}

func TestRefund_of_money_of_another_amount_is_paid_from_where_the_merchant_says(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.directory.all[b.mchid].credentials.Merchant.Policies.AmountMismatch = pay.PolicyRefund
	b.directory.all[b.mchid].credentials.Merchant.RefundFunds = pay.FundsAvailable
	_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultAmountDiffers, Count: 1})
	require.NoError(t, err)
	b.place(b.shop, "T00000001")
	p, err := b.platform.Pay("T00000001", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	b.make("T00000001", "next_check_at = now()")
	no := string(pay.AutoRefundNo(pay.TransactionID(p.TransactionID)))
	b.until(func() bool { return b.refundState(no) == pay.RefundSucceeded })
	for body := range b.wire.sent(no) {
		require.Contains(t, body, `"funds_account":"AVAILABLE"`)
	}
	// WeChat Pay takes the number for paid, and nobody else's money is on the order.
	b.until(func() bool { return b.state("T00000001") == pay.OrderClosed })
	require.Zero(t, b.count(`SELECT count(*) FROM orders WHERE next_check_at IS NOT NULL`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM history WHERE what = 'closed' AND source = 'query' AND detail = 'all of its money went back' AND delivery_id IS NOT NULL`))
	b.agree()
}

// While a person decides about wrong money its order is asked about each hour,
// and the money that goes back by their word ends it.
func TestRefund_of_an_operators_decision_is_sent_and_ends_its_order(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultAmountDiffers, Count: 1})
	require.NoError(t, err)
	b.place(b.shop, "T00000001")
	p, err := b.platform.Pay("T00000001", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	b.make("T00000001", "next_check_at = now()")
	b.until(func() bool {
		return b.count(`SELECT count(*) FROM orders WHERE state = 'awaiting_payment' AND next_check_at > now() + interval '59 minutes'`) == 1
	})
	require.Equal(t, 1, b.count(`SELECT count(*) FROM anomalies WHERE state = 'open'`))
	decision := pay.Observation{
		Kind: pay.ObservedDecision, Source: pay.SourceOperator, ObservedAt: time.Now().UTC(), MchID: b.mchid, OutTradeNo: "T00000001",
		TransactionID: pay.TransactionID(p.TransactionID), AnomalyKind: pay.AnomalyAmountMismatch, Decision: pay.DecideRefund, Actor: "token:ada", Reason: "wrong price",
	}
	b.settle(decision)
	b.settle(decision)
	no := string(pay.AutoRefundNo(pay.TransactionID(p.TransactionID)))
	b.until(func() bool {
		return b.refundState(no) == pay.RefundSucceeded && b.state("T00000001") == pay.OrderClosed
	})
	require.Equal(t, 1, b.count(`SELECT count(*) FROM anomalies WHERE state = 'refunded' AND decided_by = 'token:ada'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE origin = 'operator'`))
	require.Len(t, b.platform.Refunds("T00000001"), 1)
	b.agree()
}

func TestRefund_answer_about_another_amount_becomes_a_letter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	transaction := b.paid("T00000001")
	// Another system of the merchant used the number before.
	elsewhere, err := b.client.RefundBody(wechatpay.RefundRequest{
		Protocol: pay.ProtocolV3, MchID: b.mchid, TransactionID: transaction, OutRefundNo: theRefund, Amount: 10, Total: 100, Currency: pay.CNY,
	})
	require.NoError(t, err)
	_, err = b.client.SubmitRefund(t.Context(), pay.ProtocolV3, elsewhere)
	require.NoError(t, err)
	b.refund("T00000001", transaction, theRefund, 30)
	b.until(func() bool { return b.count(`SELECT count(*) FROM dead_letters WHERE reason = 'mismatch'`) == 1 })
	require.Eventually(t, func() bool {
		return b.count(`SELECT count(*) FROM refunds WHERE state = 'requested' AND next_check_at > now() + interval '59 minutes'`) == 1
	}, soon, often)
	b.says("does not fit")
}

func TestHint_is_a_question_and_its_verified_answer_is_booked(t *testing.T) {
	t.Parallel()
	for _, protocol := range []pay.Protocol{pay.ProtocolV2, pay.ProtocolV3} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *reconcile.Options) { o.Waits.RefundBackoff = 10 * time.Millisecond })
			transaction := b.paid("T00000001", func(o *pay.Order) { o.Protocol = protocol })
			console, err := b.platform.RefundByConsole("T00000001", simulator.ConsoleRefund{AmountFen: 25, Notify: simulator.ProtocolNone})
			require.NoError(t, err)
			b.hint("T00000001", console.OutRefundNo, protocol)
			b.hint("T00000009", "R99999999", protocol) // somebody's invention
			b.until(func() bool { return b.refundState(console.OutRefundNo) == pay.RefundSucceeded })
			require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE origin = 'platform' AND transaction_id = $1`, transaction))
			b.agree()
			b.until(func() bool { return b.count(`SELECT count(*) FROM refund_hints`) == 0 })
			require.GreaterOrEqual(t, b.wire.count("refund_query"), 11)
			b.says("it is dropped")
			require.Empty(t, b.refundState("R99999999"))
		})
	}
}

// A hint may come before anything is known of the payment that it gives back.
func TestHint_that_comes_before_its_payment_waits_for_it(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *reconcile.Options) { o.Waits.RefundBackoff = 10 * time.Millisecond })
	b.place(b.shop, "T00000001", func(o *pay.Order) { o.Protocol = pay.ProtocolV2 })
	_, err := b.platform.Pay("T00000001", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	console, err := b.platform.RefundByConsole("T00000001", simulator.ConsoleRefund{AmountFen: 25, Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	b.make("T00000001", "next_check_at = now() + interval '1 hour'")
	b.hint("T00000001", console.OutRefundNo, pay.ProtocolV2)
	require.Eventually(t, func() bool {
		require.NoError(t, b.service.SweepRefunds(t.Context()))
		return b.count(`SELECT count(*) FROM refund_hints WHERE check_count > 0`) == 1
	}, soon, often)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM orders WHERE next_check_at <= now()`), "its order is asked about at once")
	b.until(func() bool { return b.refundState(console.OutRefundNo) == pay.RefundSucceeded })
	b.until(func() bool { return b.count(`SELECT count(*) FROM refund_hints`) == 0 })
	require.Zero(t, b.count(`SELECT count(*) FROM dead_letters`))
	require.Equal(t, pay.OrderPaid, b.state("T00000001"))
	b.agree()
}

// What no order of ours explains becomes a letter, once, and not silence.
func TestHint_at_money_of_no_order_becomes_a_letter(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *reconcile.Options) { o.Waits.RefundBackoff = time.Millisecond })
	b.paid("T00000001")
	console, err := b.platform.RefundByConsole("T00000001", simulator.ConsoleRefund{AmountFen: 25, Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	for _, table := range []string{"payments", "history", "outbox", "orders"} { // as if another system had sold it
		b.forge(`DELETE FROM ` + table)
	}
	b.hint("T00000001", console.OutRefundNo, pay.ProtocolV3)
	b.until(func() bool { return b.count(`SELECT count(*) FROM refund_hints`) == 0 })
	require.Equal(t, 1, b.count(`SELECT count(*) FROM dead_letters WHERE reason = 'unknown_order' AND kind = 'answer'`))
}

func (b *bundle) hint(no, refund string, protocol pay.Protocol) {
	b.t.Helper()
	_, err := b.store.Settle(b.t.Context(), []pay.Entry{{Hint: &pay.RefundHint{
		MchID: b.mchid, OutRefundNo: pay.OutRefundNo(refund), OutTradeNo: pay.OutTradeNo(no), Protocol: protocol,
	}}}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(b.t, err)
}
