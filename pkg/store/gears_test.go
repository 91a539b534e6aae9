package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

// paidAgo books n payments of which we knew age ago, and of which WeChat Pay
// told late after that; "NULL": never.
func (b *books) paidAgo(n int, age, late string) {
	b.t.Helper()
	for range n {
		o := b.place()
		b.settle(arrived(payment(o, txOf(o))))
		b.forge(`UPDATE payments SET paid_at = now() - $2::interval - interval '1 second',
			observed_at = now() - $2::interval, notified_at = now() - $2::interval + $3::interval
			WHERE transaction_id = $1`, string(txOf(o)), age, nullText(late))
	}
}

func nullText(s string) any {
	if s == "NULL" {
		return nil
	}
	return s
}

func (b *books) shift() (pay.Gear, bool) {
	b.t.Helper()
	gear, changed, err := b.ShiftGear(b.t.Context(), shop)
	require.NoError(b.t, err)
	return gear, changed
}

func (b *books) mustShift(to pay.Gear, change bool, when string) {
	b.t.Helper()
	gear, changed := b.shift()
	require.Equal(b.t, to, gear, when)
	require.Equal(b.t, change, changed, when)
}

func TestShiftGear_follows_the_last_twenty_payments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustShift(pay.GearTight, false, "nothing is known yet: the beginning is no change")
	b.paidAgo(19, "3 hours", "1 second")
	b.mustShift(pay.GearTight, false, "19 are not enough")
	b.paidAgo(1, "2 hours 55 minutes", "60 seconds")
	b.mustShift(pay.GearRelaxed, true, "all 20 had theirs")
	b.mustShift(pay.GearRelaxed, false, "told once")

	b.paidAgo(1, "30 seconds", "NULL")
	b.mustShift(pay.GearRelaxed, false, "it may still come")
	require.NoError(t, b.exec(`UPDATE payments SET observed_at = now() - interval '61 seconds' WHERE notified_at IS NULL`))
	b.mustShift(pay.GearTight, true, "one is missing")
	b.mustShift(pay.GearTight, false, "told once")
	require.NoError(t, b.exec(`UPDATE payments SET notified_at = observed_at + interval '61 seconds' WHERE notified_at IS NULL`))
	b.mustShift(pay.GearTight, false, "it came, but late")
	b.paidAgo(19, "20 seconds", "1 second")
	b.mustShift(pay.GearTight, false, "the late one is still among the last 20")
	b.paidAgo(1, "10 seconds", "0 seconds")
	b.mustShift(pay.GearTight, false, "it is not any more, but it is among the last 20 that are a minute old")
	b.released()
	b.mustShift(pay.GearTight, false, "as above")
	b.paidAgo(20, "61 seconds", "1 second")
	b.mustShift(pay.GearRelaxed, true, "all of the last 20 had theirs, of those just known and of those known for a minute")
}

// released ends the time for which missed payments hold a merchant tight.
func (b *books) released() {
	b.t.Helper()
	require.NoError(b.t, b.exec(`UPDATE merchant_gears SET hold_until = now()`))
}

func TestShiftGear_sees_at_once_a_payment_that_a_query_found_late(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		set  string
		want pay.Gear
	}{
		"paid long before, and not told of":    {`paid_at = observed_at - interval '6 seconds', notified_at = NULL`, pay.GearTight},
		"paid just before, and not told of":    {`paid_at = observed_at - interval '4 seconds', notified_at = NULL`, pay.GearRelaxed},
		"paid long before, and told of since":  {`paid_at = observed_at - interval '1 minute', notified_at = observed_at + interval '1 second'`, pay.GearRelaxed},
		"paid after, by a clock that is ahead": {`paid_at = observed_at + interval '1 minute', notified_at = NULL`, pay.GearRelaxed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.relaxed()
			b.paidAgo(1, "1 second", "NULL")
			b.forge(`UPDATE payments SET ` + row.set + ` WHERE notified_at IS NULL`)
			b.mustShift(row.want, row.want == pay.GearTight, name)
		})
	}
}

// Of a merchant with many payments a minute all of the last 20 are too new to say
// that their notifications will not come.
func TestShiftGear_sees_what_a_busy_merchant_misses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relaxed()
	b.paidAgo(20, "1 second", "NULL")
	b.mustShift(pay.GearRelaxed, false, "they may still come")
	b.paidAgo(20, "61 seconds", "NULL")
	b.mustShift(pay.GearTight, true, "those before them did not")
}

func TestShiftGear_holds_a_merchant_tight_for_a_while(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relaxed()
	b.miss()
	b.mustShift(pay.GearTight, true, "one is missing")
	require.NoError(t, b.exec(`UPDATE payments SET notified_at = observed_at`))
	b.mustShift(pay.GearTight, false, "where some are missing more may be")
	require.Equal(t, 1, b.count(`SELECT count(*) FROM merchant_gears WHERE hold_until BETWEEN now() + interval '69 seconds' AND now() + interval '70 seconds'`))
	b.released()
	b.mustShift(pay.GearRelaxed, true, "none was")
}

func TestShiftGear_of_one_merchant_is_not_the_others(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.shift()
	b.paidAgo(20, "1 hour", "1 second")
	b.mustShift(pay.GearRelaxed, true, "ours")
	gear, changed, err := b.ShiftGear(t.Context(), other)
	require.NoError(t, err)
	require.Equal(t, pay.GearTight, gear)
	require.False(t, changed)
}

func TestShiftGear_tells_one_of_all_who_ask_at_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paidAgo(20, "1 hour", "1 second")
	expect := func(want pay.Gear, changes int) {
		const askers = 8
		told := make([]bool, askers)
		var together errgroup.Group
		for i := range askers {
			together.Go(func() error {
				gear, changed, err := b.ShiftGear(t.Context(), shop)
				if err == nil {
					require.Equal(t, want, gear)
				}
				told[i] = changed
				return err
			})
		}
		require.NoError(t, together.Wait())
		n := 0
		for _, yes := range told {
			if yes {
				n++
			}
		}
		require.Equal(t, changes, n)
	}
	b.mustShift(pay.GearTight, false, "the beginning")
	for range 5 {
		expect(pay.GearRelaxed, 1)
		require.NoError(t, b.exec(`UPDATE payments SET notified_at = NULL`))
		expect(pay.GearTight, 1)
		require.NoError(t, b.exec(`UPDATE payments SET notified_at = observed_at`))
		b.released()
	}
}

// relaxed brings the merchant into the relaxed gear.
func (b *books) relaxed() {
	b.t.Helper()
	b.shift()
	b.paidAgo(20, "1 hour", "1 second")
	b.mustShift(pay.GearRelaxed, true, "all told")
}

func (b *books) miss() {
	b.t.Helper()
	b.paidAgo(1, "5 minutes", "NULL")
}

func TestShiftGear_to_tight_pulls_open_orders_forward(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relaxed()
	young, old, soon, leased, toClose, failed := b.place(), b.place(), b.place(), b.place(), b.place(), b.seedOrder(pay.OrderFailed)
	b.set(young, `created_at = now() - interval '10 minutes', next_check_at = now() + interval '20 minutes'`)
	b.set(old, `created_at = now() - interval '20 minutes', next_check_at = now() + interval '2 hours'`)
	b.set(soon, `created_at = now() - interval '20 minutes', next_check_at = now() + interval '50 seconds'`)
	b.set(leased, `created_at = now(), next_check_at = now() + interval '20 seconds'`)
	b.set(toClose, `check_api = 'order_close', next_check_at = now() + interval '1 hour'`)
	b.set(failed, `next_check_at = now() + interval '1 hour'`)
	stay := []pay.Order{b.order(soon), b.order(toClose), b.order(failed)}
	b.miss()
	b.mustShift(pay.GearTight, true, "one is missing")
	for _, want := range stay {
		require.Equal(t, want, b.order(want), "it is no later than the tight gear wants, or not a question about an open order")
	}
	now := time.Now()
	require.WithinRange(t, b.order(young).NextCheckAt, now.Add(-time.Minute), now.Add(10*time.Second))
	require.WithinRange(t, b.order(leased).NextCheckAt, now.Add(-time.Minute), now.Add(10*time.Second), "whoever holds it plans for the old gear")
	require.WithinRange(t, b.order(old).NextCheckAt, now.Add(-time.Minute), now.Add(60*time.Second))
}

func TestShiftGear_goes_on_pulling_for_a_while_and_waits_for_nobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relaxed()
	held, planned := b.place(), b.place()
	for _, o := range []pay.Order{held, planned} {
		b.set(o, `next_check_at = now() + interval '2 hours'`)
	}
	b.miss()
	tx := b.holding(`SELECT 1 FROM orders WHERE out_trade_no = $1 FOR UPDATE`, string(held.OutTradeNo))
	b.mustShift(pay.GearTight, true, "one is missing")
	require.NoError(t, tx.Rollback())
	pulled := func() int {
		return b.count(`SELECT count(*) FROM orders WHERE state = 'created' AND next_check_at <= now() + interval '60 seconds'`)
	}
	require.Equal(t, 1, pulled())
	b.set(planned, `next_check_at = now() + interval '2 hours'`) // by a claimer that had not heard of it
	b.mustShift(pay.GearTight, false, "told already")
	require.Equal(t, 2, pulled())

	require.NoError(t, b.exec(`UPDATE merchant_gears SET pull_until = now()`))
	b.set(planned, `next_check_at = now() + interval '2 hours'`)
	b.shift()
	require.Equal(t, 2, pulled(), "once more after the time")
	b.set(planned, `next_check_at = now() + interval '2 hours'`)
	b.shift()
	require.Equal(t, 1, pulled(), "then it is over")
}

func TestShiftGear_pulls_many_over_several_calls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relaxed()
	const orders = 11_500 // one call pulls 10,000
	b.placeMany(orders)
	require.NoError(t, b.exec(`UPDATE orders SET next_check_at = now() + interval '2 hours' WHERE state = 'created'`))
	b.miss()
	b.mustShift(pay.GearTight, true, "one is missing")
	require.NoError(t, b.exec(`UPDATE merchant_gears SET pull_until = now()`))
	late := `SELECT count(*) FROM orders WHERE state = 'created' AND next_check_at > now() + interval '60 seconds'`
	require.Equal(t, 1500, b.count(late))
	b.shift()
	require.Zero(t, b.count(late), "even if its time is over by then")
	require.Equal(t, 1, b.count(`SELECT count(*) FROM merchant_gears WHERE pull_until IS NULL`))
}

func TestBacklog_counts_what_is_open(t *testing.T) {
	t.Parallel()
	b := setup(t)
	young, waiting, old := b.place(), b.seedOrder(pay.OrderAwaitingPayment), b.place()
	b.seedOrder(pay.OrderPaid)
	b.seedOrder(pay.OrderClosed)
	b.seedOrder(pay.OrderFailed)
	b.set(young, `created_at = now() - interval '14 minutes', next_check_at = now() + interval '1 minute'`)
	b.set(waiting, `created_at = now() - interval '1 minute', next_check_at = now() - interval '1 minute'`)
	b.set(old, `created_at = now() - interval '16 minutes', next_check_at = now() - interval '1 minute'`)
	backlog, err := b.Backlog(t.Context(), shop)
	require.NoError(t, err)
	require.Equal(t, pay.Backlog{Young: 2, Old: 1, Due: 2}, backlog)
	backlog, err = b.Backlog(t.Context(), other)
	require.NoError(t, err)
	require.Zero(t, backlog)
}
