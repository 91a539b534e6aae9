package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
)

// refundPaths is every way of a refund through its book, by what is said.
func refundPaths() map[string]func(o pay.Order, r pay.OutRefundNo) []pay.Observation {
	type says = []pay.Observation
	drivenOn := func(o pay.Order, r pay.OutRefundNo) pay.Observation {
		obs := seen(o, r, 40, pay.RefundProcessing)
		obs.Source, obs.DrivenOn, obs.ObservedAt = pay.SourceCall, true, noon.Add(3*time.Hour)
		return obs
	}
	later := func(obs pay.Observation) pay.Observation {
		obs.ObservedAt = noon.Add(4 * time.Hour)
		return obs
	}
	return map[string]func(o pay.Order, r pay.OutRefundNo) []pay.Observation{
		"requested": func(o pay.Order, r pay.OutRefundNo) says { return says{wish(o, r, 40)} },
		"processing": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 40), seen(o, r, 40, pay.RefundProcessing)}
		},
		"succeeded": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 40), seen(o, r, 40, pay.RefundProcessing), seen(o, r, 40, pay.RefundSucceeded)}
		},
		"succeeded, told before the call was answered": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 40), seen(o, r, 40, pay.RefundSucceeded), seen(o, r, 40, pay.RefundProcessing)}
		},
		"closed": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 40), seen(o, r, 40, pay.RefundProcessing), seen(o, r, 40, pay.RefundClosed)}
		},
		"closed at once": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 40), seen(o, r, 40, pay.RefundClosed), seen(o, r, 40, pay.RefundSucceeded)}
		},
		"abnormal": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 40), seen(o, r, 40, pay.RefundAbnormal), seen(o, r, 40, pay.RefundProcessing)}
		},
		"abnormal, driven on, succeeded": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 40), seen(o, r, 40, pay.RefundAbnormal), drivenOn(o, r), later(seen(o, r, 40, pay.RefundSucceeded))}
		},
		"abnormal, driven on, abnormal again, succeeded": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 40), seen(o, r, 40, pay.RefundAbnormal), drivenOn(o, r), later(seen(o, r, 40, pay.RefundAbnormal)), later(seen(o, r, 40, pay.RefundSucceeded))}
		},
		"made elsewhere, processing": func(o pay.Order, r pay.OutRefundNo) says { return says{seen(o, r, 40, pay.RefundProcessing)} },
		"made elsewhere, succeeded":  func(o pay.Order, r pay.OutRefundNo) says { return says{seen(o, r, 40, pay.RefundSucceeded)} },
		"made elsewhere, closed":     func(o pay.Order, r pay.OutRefundNo) says { return says{seen(o, r, 40, pay.RefundClosed)} },
		"made elsewhere, abnormal":   func(o pay.Order, r pay.OutRefundNo) says { return says{seen(o, r, 40, pay.RefundAbnormal)} },
		"made elsewhere, more than came in": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 40), seen(o, "x"+r, 61, pay.RefundSucceeded), seen(o, r, 40, pay.RefundSucceeded)}
		},
		"in parts until nothing is left": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 40), wish(o, "x"+r, 60), wish(o, "y"+r, 1), seen(o, "x"+r, 60, pay.RefundSucceeded), seen(o, r, 40, pay.RefundSucceeded), wish(o, "z"+r, 1)}
		},
		"part of it free again after a close": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 100), seen(o, r, 100, pay.RefundClosed), wish(o, "x"+r, 100)}
		},
		"contradicted": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 40), seen(o, r, 41, pay.RefundSucceeded), seen(o, r, 40, pay.RefundSucceeded)}
		},
		"missing but never sent": func(o pay.Order, r pay.OutRefundNo) says {
			return says{wish(o, r, 40), missing(o, r, noon.Add(2*time.Hour))}
		},
		"of a doubled payment": func(o pay.Order, _ pay.OutRefundNo) says {
			double := payment(o, "2-"+txOf(o))
			back := seen(o, pay.AutoRefundNo("2-"+txOf(o)), 100, pay.RefundSucceeded)
			back.TransactionID = "2-" + txOf(o)
			return says{double, back}
		},
		"of an amount that is wrong": func(o pay.Order, r pay.OutRefundNo) says {
			wrong := mismatched(o, "2-"+txOf(o))
			back := wish(o, r, 1)
			back.TransactionID = "2-" + txOf(o)
			return says{wrong, back}
		},
	}
}

// However the same words are cut into commits, and however often each comes,
// the tables hold what the pure rules say.
func TestSettle_takes_refunds_along_every_path(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, path := range refundPaths() {
		for cut, size := range map[string]int{"one by one": 1, "in pairs": 2, "all at once": 100} {
			t.Run(name+", "+cut, func(t *testing.T) {
				t.Parallel()
				o := b.place()
				m := modelOf(o)
				said := append([]pay.Observation{payment(o, txOf(o))}, path(o, refundOf(o, 1))...)
				var entries []pay.Entry
				for _, obs := range said {
					m.tell(obs, pay.Policies{})
					entries = append(entries, pay.Entry{Observation: &obs})
				}
				for rest := entries; len(rest) > 0; rest = rest[min(size, len(rest)):] {
					b.settle(rest[:min(size, len(rest))]...)
				}
				b.mustBe(m)
				for _, outcome := range outcomes(b.settle(entries...)) {
					require.NotEqual(t, pay.OutcomeApplied, outcome, "a second time changes nothing")
				}
				b.mustBe(m)
				b.mustBalance()
			})
		}
	}
}

func TestSettle_answers_what_became_of_a_refund(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	r := refundOf(o, 1)

	result := b.told(wish(o, r, 40))[0]
	require.Equal(t, pay.OutcomeApplied, result.Outcome)
	require.Equal(t, b.refund(r), *result.Refund)
	require.Equal(t, b.order(o), *result.Order)
	require.Equal(t, pay.RefundRequested, result.Refund.State)
	require.Equal(t, pay.APIRefund, result.Refund.CheckAPI)
	require.False(t, result.Refund.NextCheckAt.IsZero())
	require.Equal(t, pay.Fen(40), b.payment(o).Reserved)

	again := b.told(wish(o, r, 40))[0]
	require.Equal(t, pay.OutcomeUnchanged, again.Outcome)
	require.Equal(t, result.Refund, again.Refund)

	result = b.told(seen(o, r, 40, pay.RefundSucceeded))[0]
	require.Equal(t, b.refund(r), *result.Refund)
	require.Equal(t, pay.RefundSucceeded, result.Refund.State)
	require.Equal(t, noon.Add(119*time.Minute), result.Refund.SucceededAt)
	require.Zero(t, b.payment(o).Reserved)
	require.Equal(t, pay.Fen(40), b.payment(o).Refunded)
	require.Equal(t, []string{event.TypeOrderCreated, event.TypeOrderPaid, event.TypeRefundRequested, event.TypeRefundSucceeded}, b.facts(o))
	e := parsed(t, []byte(b.text(`SELECT payload FROM outbox WHERE fact = 'refund.succeeded'`)))
	require.Equal(t, string(r), e.Data.Refund.OutRefundNo)
	require.EqualValues(t, 40, e.Data.Refund.AmountFen)
	require.Equal(t, "succeeded", e.Data.Refund.State)
	require.Equal(t, "paid", e.Data.State)
}

func TestSettle_refuses_refunds_and_says_why(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, unpaid := b.paidOrder(), b.place()
	b.told(wish(o, refundOf(o, 1), 40), seen(o, refundOf(o, 2), 20, pay.RefundSucceeded))
	before := b.story(o)
	another := wish(o, refundOf(o, 1), 40)
	another.Digest = "another meaning"
	late := wish(o, refundOf(o, 3), 10)
	late.ObservedAt = noon.AddDate(1, 0, 1)
	theirs := wish(b.paidOrder(), refundOf(o, 1), 40)
	for why, wished := range map[pay.RefusalReason][]pay.Observation{
		pay.RefusedTooMuch:        {wish(o, refundOf(o, 3), 41), wish(o, refundOf(o, 3), 0), wish(o, refundOf(o, 3), -1)},
		pay.RefusedNumberTaken:    {another, wish(o, refundOf(o, 2), 20), theirs},
		pay.RefusedTooLate:        {late},
		pay.RefusedUnknownPayment: {wish(unpaid, refundOf(unpaid, 1), 1), wish(order("T-nobody"), "R-nobody", 1)},
	} {
		for _, obs := range wished {
			result := b.told(obs)[0]
			require.NotNil(t, result.Refusal, why)
			require.Equal(t, why, result.Refusal.Reason)
			require.Equal(t, pay.OutcomeUnchanged, result.Outcome)
			require.Nil(t, result.Refund)
		}
	}
	require.Contains(t, b.told(wish(o, refundOf(o, 3), 41))[0].Refusal.Detail, "40 of 100 are left")
	require.Equal(t, before, b.story(o), "nothing moved")
	b.mustBalance()
}

func TestSettle_takes_fifty_refunds_of_a_payment_and_no_more(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	var entries []pay.Entry
	for i := range pay.MaxRefundsOfPayment + 1 {
		obs := wish(o, refundOf(o, i), 1)
		entries = append(entries, pay.Entry{Observation: &obs})
	}
	settled := b.settle(entries...)
	require.Equal(t, pay.RefusedTooMany, settled.Results[pay.MaxRefundsOfPayment].Refusal.Reason)
	require.Equal(t, 50, b.count(`SELECT count(*) FROM refunds`))
	require.Equal(t, pay.RefusedTooMany, b.told(wish(o, refundOf(o, 99), 1))[0].Refusal.Reason)
	b.mustBalance()
}

// What was never accepted fails only by the rule for it; money that leaves all
// the same is booked all the same.
func TestSettle_gives_a_refund_up_only_by_the_rule(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := noon.Add(3 * time.Hour)
	type sent struct {
		outcome           pay.AttemptOutcome
		startedAt, doneAt time.Time
	}
	rejected := sent{pay.AttemptRejected, asked.Add(-2 * time.Minute), asked.Add(-time.Minute)}
	for name, is := range map[string]struct {
		attempts []sent
		fails    bool
	}{
		"never sent":                       {nil, false},
		"rejected for good":                {[]sent{rejected}, true},
		"rejected after the question":      {[]sent{{pay.AttemptRejected, asked.Add(-time.Minute), asked.Add(time.Second)}}, false},
		"unknown, young":                   {[]sent{{pay.AttemptUnknown, asked.Add(-9 * time.Minute), time.Time{}}, rejected}, false},
		"unknown, past its quarantine":     {[]sent{{pay.AttemptUnknown, asked.Add(-quarantine), time.Time{}}, rejected}, true},
		"nobody came back from the last":   {[]sent{rejected, {pay.AttemptUnknown, asked.Add(-time.Hour), time.Time{}}}, false},
		"for want of money in the account": {[]sent{{pay.AttemptNotEnough, asked.Add(-2 * time.Minute), asked.Add(-time.Minute)}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := b.paidOrder()
			r := refundOf(o, 1)
			b.told(wish(o, r, 40))
			for i, a := range is.attempts {
				b.attempted(r, i+1, a.outcome, a.startedAt, a.doneAt)
			}
			result := b.told(missing(o, r, asked))[0]
			require.Equal(t, b.refund(r), *result.Refund)
			if !is.fails {
				require.Equal(t, pay.OutcomeUnchanged, result.Outcome)
				require.Equal(t, pay.RefundRequested, result.Refund.State)
				require.Equal(t, pay.Fen(40), b.payment(o).Reserved)
				return
			}
			require.Equal(t, pay.RefundFailed, result.Refund.State)
			require.Equal(t, "RESOURCE_NOT_EXISTS", result.Refund.FailureCode)
			require.True(t, result.Refund.NextCheckAt.IsZero())
			require.Zero(t, b.payment(o).Reserved)

			// The number was taken in after all, while the freed money was given back again.
			b.told(wish(o, refundOf(o, 2), 100), seen(o, refundOf(o, 2), 100, pay.RefundSucceeded))
			result = b.told(seen(o, r, 40, pay.RefundSucceeded))[0]
			require.Equal(t, pay.RefundSucceeded, result.Refund.State)
			require.Empty(t, result.Refund.FailureCode)
			require.Equal(t, pay.Fen(140), b.payment(o).Refunded)
			require.Equal(t, pay.Fen(40), b.payment(o).Overrun)
			story := b.story(o)
			require.Len(t, story.Anomalies, 1)
			require.Equal(t, pay.AnomalyRefundOverrun, story.Anomalies[0].Kind)
			require.Equal(t, r, story.Anomalies[0].OutRefundNo)
			require.Equal(t, is.attempts[0].outcome, story.Refunds[0].Attempts[0].Outcome)
			b.mustBalance()
		})
	}
}

// An attempt that begins while the books are asked to give the refund up is
// seen: the refund is not given up.
func TestSettle_does_not_give_up_a_refund_that_is_being_sent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	r := refundOf(o, 1)
	b.told(wish(o, r, 40))
	asked := noon.Add(3 * time.Hour)
	b.attempted(r, 1, pay.AttemptRejected, asked.Add(-2*time.Minute), asked.Add(-time.Minute))
	gone := missing(o, r, asked)
	// As whoever sends does: payment, refund, attempt.
	release, _, outcome := blockedSettle(t, b, o, `WITH paid AS (
			SELECT p.mchid, p.transaction_id FROM payments AS p WHERE p.mchid = $1 AND p.out_trade_no = $2 FOR UPDATE
		), held AS (
			SELECT r.mchid, r.out_refund_no FROM refunds AS r JOIN paid USING (mchid, transaction_id) FOR UPDATE OF r)
		INSERT INTO refund_attempts (mchid, out_refund_no, attempt, started_at) SELECT mchid, out_refund_no, 2, now() FROM held`, pay.Entry{Observation: &gone})
	release()
	require.NoError(t, <-outcome)
	require.Equal(t, pay.RefundRequested, b.refund(r).State)
	require.Equal(t, pay.Fen(40), b.payment(o).Reserved)
}

// Whoever sends has the payment first and then the refund. Settling that came
// in between waits for the payment and has not got the refund yet.
func TestSettle_locks_payments_before_refunds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	r := refundOf(o, 1)
	b.told(wish(o, r, 40))
	sender, err := b.sql.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = sender.ExecContext(t.Context(), `SELECT 1 FROM payments WHERE mchid = $1 AND transaction_id = $2 FOR UPDATE`, string(shop), string(txOf(o)))
	require.NoError(t, err)
	outcome := make(chan error, 1)
	go func() {
		_, err := b.Settle(t.Context(), []pay.Entry{arrived(seen(o, r, 40, pay.RefundSucceeded))}, defaults)
		outcome <- err
	}()
	require.Eventually(t, func() bool {
		return b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'store test' AND wait_event_type = 'Lock'`) == 1
	}, 10*time.Second, 5*time.Millisecond)
	_, err = sender.ExecContext(t.Context(), `SELECT 1 FROM refunds WHERE mchid = $1 AND out_refund_no = $2 FOR UPDATE NOWAIT`, string(shop), string(r))
	require.NoError(t, err)
	require.NoError(t, sender.Commit())
	require.NoError(t, <-outcome)
	require.Equal(t, pay.RefundSucceeded, b.refund(r).State)
}

// A batch may write a payment for another reason than its refunds, and hold one
// of those for a hint: here a notice comes of a payment that a query found.
func TestSettle_locks_every_payment_that_it_writes_before_hinted_refunds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	b.settle(asked(o, txOf(o)))
	r := refundOf(o, 1)
	b.told(wish(o, r, 40))
	sender := b.holding(`SELECT 1 FROM payments WHERE mchid = $1 AND transaction_id = $2 FOR NO KEY UPDATE`, string(shop), string(txOf(o)))
	outcome := make(chan error, 1)
	go func() {
		_, err := b.Settle(t.Context(), []pay.Entry{hinted(r), arrived(payment(o, txOf(o)))}, defaults)
		outcome <- err
	}()
	b.waiting(1)
	_, err := sender.ExecContext(t.Context(), `SELECT 1 FROM refunds WHERE mchid = $1 AND out_refund_no = $2 FOR NO KEY UPDATE NOWAIT`, string(shop), string(r))
	require.NoError(t, err)
	require.NoError(t, sender.Commit())
	require.NoError(t, <-outcome)
	require.False(t, b.payment(o).NotifiedAt.IsZero())
}

// A hinted refund that came into the books after the batch had locked what
// there was is not waited for: it is due by itself.
func TestSettle_does_not_wait_for_a_hinted_refund_that_it_did_not_lock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, told := b.paidOrder(), b.place()
	r := refundOf(o, 1)
	full := b.holding(`LOCK TABLE outbox IN EXCLUSIVE MODE`)
	outcome := make(chan error, 1)
	go func() {
		_, err := b.Settle(t.Context(), []pay.Entry{hinted(r), arrived(payment(told, txOf(told)))}, defaults)
		outcome <- err
	}()
	b.waiting(1)
	require.NoError(t, b.exec(refund("out_refund_no", "'"+string(r)+"'")))
	busy := b.holding(`SELECT 1 FROM refunds FOR NO KEY UPDATE`)
	require.NoError(t, full.Commit())
	require.NoError(t, <-outcome)
	require.NoError(t, busy.Commit())
	require.Zero(t, b.count(`SELECT count(*) FROM refund_hints`))
}

// What somebody else wrote about a refund while settling waited for it is read,
// and not written over.
func TestSettle_reads_refunds_when_it_has_them(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	r := refundOf(o, 1)
	b.told(wish(o, r, 40), seen(o, r, 40, pay.RefundProcessing))
	release, _, outcome := blockedSettle(t, b, o, `UPDATE refunds SET failure_code = 'USER_ACCOUNT_ABNORMAL' WHERE mchid = $1 AND out_trade_no = $2`,
		arrived(seen(o, r, 40, pay.RefundAbnormal)))
	release()
	require.NoError(t, <-outcome)
	require.Equal(t, pay.RefundAbnormal, b.refund(r).State)
	require.Equal(t, "USER_ACCOUNT_ABNORMAL", b.refund(r).FailureCode)
}

func TestSettle_decides_anomalies_whose_money_went_back(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	double := "2-" + txOf(o)
	b.settle(arrived(payment(o, double)))
	auto := pay.AutoRefundNo(double)
	refund := b.refund(auto)
	require.Equal(t, pay.RefundByPolicy, refund.Origin)
	require.Equal(t, price, refund.Amount)
	require.Equal(t, pay.AnomalyOpen, b.story(o).Anomalies[0].State)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE mchid = $1 AND actor = 'policy' AND action = 'anomaly.refund' AND subject = $2
		AND detail->>'kind' = 'double_payment' AND detail->>'transaction_id' = $3 AND detail->>'policy' = 'refund' AND (detail->>'actual_fen')::int = 100`,
		string(o.MchID), string(o.OutTradeNo), string(double)))

	back := seen(o, auto, price, pay.RefundSucceeded)
	back.TransactionID = double
	b.told(back)
	anomaly := b.story(o).Anomalies[0]
	require.Equal(t, pay.AnomalyRefunded, anomaly.State)
	require.Equal(t, back.ObservedAt, anomaly.DecidedAt)
	require.Equal(t, pay.OrderPaid, b.order(o).State)
	require.Equal(t, txOf(o), b.order(o).TransactionID)

	// More than came in is a person's business, even where nothing is left to give back.
	more := seen(o, "R-more-"+auto, 1, pay.RefundSucceeded)
	more.TransactionID = double
	b.told(more)
	require.Equal(t, pay.AnomalyOpen, b.story(o).Anomalies[1].State)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action = 'anomaly.hold' AND detail->>'out_refund_no' = $1`, string("R-more-"+auto)))
	b.mustBalance()

	// Late money that policy accepts is decided at once.
	late := b.place()
	b.settle(arrived(observe(late, pay.ObservedClosed)))
	b.settle(arrived(payment(late, txOf(late))))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action = 'anomaly.accepted' AND subject = $1`, string(late.OutTradeNo)))
}

// Somebody has used the number that fenflow would take by itself: the money is
// booked all the same, and the anomaly waits for a person.
func TestSettle_books_money_whose_refund_number_is_taken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	taker, o := b.paidOrder(), b.paidOrder()
	double := "2-" + txOf(o)
	b.told(seen(taker, pay.AutoRefundNo(double), 5, pay.RefundSucceeded))
	result := b.told(payment(o, double))[0]
	require.Equal(t, pay.OutcomeApplied, result.Outcome)
	require.Len(t, b.story(o).Payments, 2)
	require.Empty(t, b.story(o).Refunds)
	require.Equal(t, pay.AnomalyOpen, b.story(o).Anomalies[0].State)
	require.Equal(t, taker.OutTradeNo, b.refund(pay.AutoRefundNo(double)).OutTradeNo)
}

func TestSettle_asks_about_money_that_it_hears_of_by_its_refund(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	notice := arrived(seen(o, refundOf(o, 1), 40, pay.RefundSucceeded))
	settled := b.settle(notice)
	require.Equal(t, []pay.Outcome{pay.OutcomeLettered}, outcomes(settled))
	require.Equal(t, pay.LetterUnknownOrder, settled.Results[0].Letter.Reason)
	now := b.order(o)
	require.Equal(t, now, *settled.Results[0].Order)
	require.True(t, now.NextCheckAt.Before(time.Now()) && !now.NextCheckAt.After(o.NextCheckAt), "due at once")
	require.Equal(t, o.Sequence, now.Sequence)
	require.Empty(t, b.story(o).Refunds)
	letters, err := b.WaitingLettersFor(t.Context(), o.MchID, o.OutTradeNo)
	require.NoError(t, err)
	require.Len(t, letters, 1)

	// One that is due later, and for another call, is due now and for a query.
	require.NoError(t, b.exec(`UPDATE orders SET next_check_at = now() + interval '1 hour', check_api = 'order_close'`))
	b.settle(notice)
	now = b.order(o)
	require.WithinDuration(t, time.Now(), now.NextCheckAt, time.Minute)
	require.Equal(t, pay.APIOrderQuery, now.CheckAPI)

	require.Equal(t, []pay.Outcome{pay.OutcomeApplied, pay.OutcomeApplied}, outcomes(b.settle(arrived(payment(o, txOf(o))), notice)))
	require.Equal(t, pay.RefundSucceeded, b.refund(refundOf(o, 1)).State)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM dead_letters WHERE state = 'resolved'`))
	b.mustBalance()
}

func TestSettle_ends_a_lease_only_with_a_new_state(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	r := refundOf(o, 1)
	b.told(wish(o, r, 40), seen(o, r, 40, pay.RefundProcessing))
	lease := func() { // as a claim leaves it
		require.NoError(t, b.exec(`UPDATE refunds SET next_check_at = '2030-01-01Z', leased_until = '2030-01-01Z', check_count = 3, abnormal_request = 'x', abnormal_key_id = 'y'`))
	}
	lease()
	b.told(seen(o, r, 40, pay.RefundProcessing))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE leased_until = '2030-01-01Z' AND next_check_at = leased_until AND check_count = 3`))
	b.told(seen(o, r, 40, pay.RefundAbnormal))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE leased_until IS NULL AND next_check_at = $1 AND check_count = 0 AND check_api = 'refund_query'
		AND abnormal_rounds = 1 AND abnormal_request IS NULL AND abnormal_key_id = ''`, noon.Add(2*time.Hour)))
	lease()
	b.told(seen(o, r, 40, pay.RefundSucceeded))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE leased_until IS NULL AND next_check_at IS NULL`))
}

func TestSettle_keeps_when_WeChat_Pay_last_answered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	asked := observe(o, pay.ObservedOpen)
	asked.Source = pay.SourceQuery
	result := b.told(asked)[0]
	require.Equal(t, pay.OutcomeUnchanged, result.Outcome)
	require.Equal(t, b.order(o), *result.Order)
	require.Equal(t, asked.ObservedAt, result.Order.CheckedAt)
	older := asked
	older.ObservedAt = noon
	require.Equal(t, asked.ObservedAt, b.told(older)[0].Order.CheckedAt)
	paid := payment(o, txOf(o))
	paid.Source, paid.ObservedAt = pay.SourceQuery, noon.Add(time.Minute)
	require.Equal(t, paid.ObservedAt, b.told(paid)[0].Order.CheckedAt)
	require.Equal(t, paid.ObservedAt, b.order(o).CheckedAt)

	require.True(t, b.payment(o).NotifiedAt.IsZero(), "known by asking only")
	told := payment(o, txOf(o))
	told.ObservedAt = noon.Add(2 * time.Minute)
	require.Equal(t, pay.OutcomeUnchanged, b.told(told)[0].Outcome)
	require.Equal(t, told.ObservedAt, b.payment(o).NotifiedAt)
	told.ObservedAt = noon.Add(3 * time.Minute)
	b.told(told)
	require.Equal(t, noon.Add(2*time.Minute), b.payment(o).NotifiedAt, "the first time counts")
}

func TestSettle_makes_waiting_refund_notices_due_with_their_payment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, elsewhere := b.place(), b.place()
	early := arrived(seen(o, refundOf(o, 1), 40, pay.RefundSucceeded))
	b.settle(early, arrived(seen(elsewhere, refundOf(elsewhere, 2), 40, pay.RefundSucceeded)))
	require.NoError(t, b.exec(`UPDATE dead_letters SET next_retry_at = now() + interval '30 seconds'`))
	b.settle(arrived(payment(o, txOf(o))))
	due := `SELECT count(*) FROM dead_letters WHERE state = 'waiting' AND next_retry_at <= now()`
	require.Equal(t, 1, b.count(due+` AND out_trade_no = $1`, string(o.OutTradeNo)))
	require.Equal(t, 1, b.count(due), "the other waits on")
	require.NoError(t, b.exec(`UPDATE dead_letters SET next_retry_at = NULL, state = 'discarded'`))
	b.settle(arrived(payment(elsewhere, txOf(elsewhere))))
	require.Equal(t, 2, b.count(`SELECT count(*) FROM dead_letters WHERE state = 'discarded' AND next_retry_at IS NULL`), "a person decided")
}
