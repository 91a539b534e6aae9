package recovery_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

func setup(t *testing.T) *world {
	t.Helper()
	return newWorld(t, openLedger(t), openLedger(t))
}

// paid is an order that was placed and paid, with its notification kept.
func (w *world) paid(no pay.OutTradeNo, tx pay.TransactionID) {
	w.t.Helper()
	w.place(no)
	w.tick()
	w.hears(w.pays(no, tx, price), w.clock)
	w.publish(0)
}

// granted is a refund that was granted.
func (w *world) granted(no pay.OutTradeNo, refund pay.OutRefundNo, fen pay.Fen) {
	w.t.Helper()
	w.tick()
	require.Equal(w.t, pay.CommandDone, w.does(w.wants(no, "", refund, fen), w.clock).Outcome)
	w.publish(0)
}

func TestRecover_places_orders_as_they_were(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.paid("ORDER-1", "TX-1")
	w.place("ORDER-2")
	w.wechat.refuse = true
	w.place("ORDER-3")
	w.wechat.refuse = false
	w.tick()
	late := w.create("ORDER-4")
	late.Deadline = w.clock.Add(-time.Second)
	require.Equal(t, pay.CommandExpired, w.does(late, w.clock).Outcome)
	prepays := w.wechat.asked["prepay"]
	r := w.recover()
	w.same("ORDER")
	require.Equal(t, prepays, w.wechat.asked["prepay"], "no buyer's code is taken out of use")
	require.Equal(t, pay.RecoveryCounts{Events: 7, Notifications: 1, Orders: 3, Commands: 4, Asked: 1}, r.Counts)
	again := w.recover()
	require.Zero(t, again.Counts.Events+again.Counts.Orders+again.Counts.Commands+again.Counts.Told)
	require.Equal(t, 4, again.Counts.CommandsKnown)
	w.same("ORDER")
}

// A shop that was told "failed" may have asked for another refund: the first must
// not be sent after all, nor take the other's money.
func TestRecover_lets_a_refund_that_failed_stay_so(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.paid("ORDER-1", "TX-1")
	w.granted("ORDER-1", "R-1", price)
	w.tick()
	w.fails(w.refund("R-1"))
	w.publish(0)
	w.granted("ORDER-1", "R-2", price)
	w.tick()
	w.hears(w.refunds(w.refund("R-2"), pay.RefundSucceeded), w.clock)
	w.publish(0)
	require.Zero(t, w.recover().Counts.Problems)
	w.same("ORDER")
	require.Equal(t, pay.RefundFailed, w.refundIn(w.now, "R-1").State)
	require.Equal(t, pay.RefundByCommand, w.refundIn(w.now, "R-2").Origin)
}

// The same with one that WeChat Pay closed, of which only a question told.
func TestRecover_frees_the_money_of_a_closed_refund_for_the_next(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.paid("ORDER-1", "TX-1")
	w.granted("ORDER-1", "R-1", price)
	w.tick()
	w.learns(w.refunds(w.refund("R-1"), pay.RefundClosed))
	w.publish(0)
	w.granted("ORDER-1", "R-2", price)
	require.Zero(t, w.recover().Counts.Problems)
	w.same("ORDER")
}

// A refund that was refused is not granted because the books are kinder now.
func TestRecover_grants_nothing_that_nobody_was_told_of(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.place("ORDER-1")
	w.tick()
	wanted := w.clock
	require.Equal(t, pay.CommandRefused, w.does(w.wants("ORDER-1", "", "R-1", 60), wanted).Outcome, "not paid yet")
	w.tick()
	// The payment had been stored before the wish, and was settled after it.
	w.hears(w.pays("ORDER-1", "TX-1", price), wanted.Add(-500*time.Millisecond))
	w.publish(0)
	w.granted("ORDER-1", "R-2", 60)
	r := w.recover()
	require.Empty(t, w.sql(w.now, `SELECT out_refund_no FROM refunds WHERE out_refund_no = 'R-1'`))
	require.Equal(t, pay.RefundByCommand, w.refundIn(w.now, "R-2").Origin)
	require.Equal(t, []string{"unavailable"}, w.sql(w.now, `SELECT outcome FROM commands WHERE out_refund_no = 'R-1'`), "it may be asked for again under its number")
	require.Equal(t, 1, r.Counts.Problems)
	require.Equal(t, pay.OutRefundNo("R-1"), r.Problems[0].OutRefundNo)
	require.Equal(t, 1, w.wechat.asked["refund"])
}

// An operator wanted a refund ended, which the books refused: they knew of a call that
// may have been under way. The restored ones know of no call.
func TestRecover_ends_no_refund_that_was_not_told_to_have_ended(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.paid("ORDER-1", "TX-1")
	w.granted("ORDER-1", "R-1", 60)
	w.tick()
	wish := pay.Command{ID: pay.CommandID(w.id()), MchID: shop, Kind: "refund.end", OutTradeNo: "ORDER-1", OutRefundNo: "R-1", Body: []byte("{}"), ReceivedAt: w.clock}
	w.tape.commands = append(w.tape.commands, pay.StoredCommand{Command: wish, StoredAt: w.clock})
	require.Zero(t, w.recover().Counts.Problems)
	require.Equal(t, pay.RefundRequested, w.refundIn(w.now, "R-1").State)
	require.Equal(t, []string{"unavailable"}, w.sql(w.now, `SELECT outcome FROM commands WHERE kind = 'refund.end'`), "nobody carried it out")
}

// What the crash cut off between WeChat Pay and the stream happened all the same.
func TestRecover_grants_what_WeChat_Pay_knows_though_nobody_was_told(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.paid("ORDER-1", "TX-1")
	w.tick()
	w.does(w.wants("ORDER-1", "", "R-1", 60), w.clock)
	w.tick()
	w.learns(w.refunds(w.refund("R-1"), pay.RefundProcessing))
	r := w.recover()
	w.asksNow("ORDER")
	require.Equal(t, w.books(w.then, "ORDER")["refunds"], w.books(w.now, "ORDER")["refunds"])
	require.Equal(t, 1, r.Counts.Told, "refund.requested")
	require.Zero(t, r.Counts.Problems)
}

func TestRecover_asks_about_a_refund_that_may_not_have_been_sent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.paid("ORDER-1", "TX-1")
	w.granted("ORDER-1", "R-1", 60)
	require.Zero(t, w.recover().Counts.Problems)
	w.same("ORDER")
	r := w.refundIn(w.now, "R-1")
	require.Equal(t, pay.RefundRequested, r.State)
	require.Equal(t, pay.APIRefundQuery, r.CheckAPI)
	require.Empty(t, r.Request)
}

// What the backup holds in its outbox had been told when the books were lost.
func TestRecover_tells_nothing_again_that_was_on_its_way_at_the_backup(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.place("ORDER-1")
	o := w.order("ORDER-1")
	o.State, o.Sequence, o.Credential, o.CheckAPI = "", 0, pay.Credential{}, ""
	_, placed, events, err := w.now.CreateOrder(t.Context(), o)
	require.NoError(t, err)
	require.True(t, placed)
	require.Len(t, events, 1)
	require.Len(t, w.sql(w.now, `SELECT event_id FROM outbox`), 1)
	require.Zero(t, w.recover().Counts.Problems)
	w.same("ORDER")
	require.Empty(t, w.sql(w.now, `SELECT event_id FROM outbox`))
}

// Clocks of two streams' leaders differ: the notice seems to come before the wish.
func TestRecover_takes_a_refund_of_ours_for_nobody_elses(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.paid("ORDER-1", "TX-1")
	w.granted("ORDER-1", "R-1", 60)
	wanted := w.clock
	w.tick()
	w.hears(w.refunds(w.refund("R-1"), pay.RefundSucceeded), wanted.Add(-10*time.Millisecond))
	w.publish(0)
	require.Zero(t, w.recover().Counts.Problems)
	w.same("ORDER")
	require.Equal(t, pay.RefundByCommand, w.refundIn(w.now, "R-1").Origin)
}

// What was closed is known from what was told alone. Under "refund", a payment after
// it is given back, and must not be delivered: whatever the policy is by now.
func TestRecover_gives_late_money_back_again_and_delivers_nothing(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"told of", "asked about"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.rules.LatePayment, w.rulesNow.LatePayment = pay.PolicyRefund, pay.PolicyAccept
			w.place("ORDER-1")
			w.tick()
			w.learns(w.closed("ORDER-1"))
			w.publish(0)
			w.tick()
			if paid := w.pays("ORDER-1", "TX-1", price); how == "told of" {
				w.hears(paid, w.clock)
			} else {
				w.learns(paid)
			}
			w.publish(0)
			require.Zero(t, w.recover().Counts.Problems)
			w.same("ORDER")
			require.Equal(t, pay.OrderClosed, w.orderNow("ORDER-1").State)
			require.Equal(t, pay.RefundByPolicy, w.refundIn(w.now, pay.AutoRefundNo("TX-1")).Origin)
		})
	}
}

// The payment that paid the order was asked about; of the second one WeChat Pay told.
// Were the second to pay it now, the first would be given back as well.
func TestRecover_lets_the_same_payment_pay_a_doubled_order(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.place("ORDER-1")
	w.tick()
	w.learns(w.pays("ORDER-1", "TX-1", price))
	w.publish(3 * time.Second)
	w.tick()
	w.hears(w.pays("ORDER-1", "TX-2", price), w.clock)
	w.publish(0)
	require.Zero(t, w.recover().Counts.Problems)
	w.same("ORDER")
	require.Equal(t, pay.TransactionID("TX-1"), w.orderNow("ORDER-1").TransactionID)
	require.Len(t, w.sql(w.now, `SELECT out_refund_no FROM refunds`), 1)
}

// Two workers settled two payments in another order than they were stored in, and
// WeChat Pay, asked about the order, tells of the other one.
func TestRecover_follows_the_order_in_which_things_were_settled(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.place("ORDER-1")
	stored := w.tick()
	second, first := w.pays("ORDER-1", "TX-2", price), w.pays("ORDER-1", "TX-1", price)
	w.tick()
	w.hears(first, stored.Add(time.Millisecond))
	w.publish(0)
	w.tick()
	w.hears(second, stored)
	w.publish(0)
	r := w.recover()
	require.Zero(t, r.Counts.Problems)
	require.Zero(t, r.Counts.Asked)
	w.same("ORDER")
	require.Equal(t, pay.TransactionID("TX-1"), w.orderNow("ORDER-1").TransactionID)
	require.Empty(t, w.sql(w.now, `SELECT detail FROM dead_letters`))
}

func TestRecover_refunds_by_a_payment_that_only_a_question_told_of(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.place("ORDER-1")
	w.tick()
	w.learns(w.pays("ORDER-1", "TX-1", price))
	w.publish(0)
	w.tick()
	require.Equal(t, pay.CommandDone, w.does(w.wants("", "TX-1", "R-1", 60), w.clock).Outcome)
	w.publish(0)
	require.Zero(t, w.recover().Counts.Problems)
	w.same("ORDER")
}

func TestRecover_asks_WeChat_Pay_about_an_order_that_it_may_know(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.tick()
	w.does(w.create("ORDER-1"), w.clock) // and nothing of it was told
	r := w.recover()
	require.Equal(t, pay.OrderCreated, w.orderNow("ORDER-1").State)
	require.Equal(t, w.order("ORDER-1").PrepayRequest, w.orderNow("ORDER-1").PrepayRequest)
	require.Equal(t, 1, r.Counts.Told)
	require.Equal(t, []string{"unavailable"}, w.sql(w.now, `SELECT outcome FROM commands`))
}

func TestRecover_waits_where_WeChat_Pay_gives_no_clear_answer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.place("ORDER-1")
	w.tick()
	w.learns(w.pays("ORDER-1", "TX-1", price))
	w.publish(0)
	w.tick()
	w.hears(w.pays("ORDER-1", "TX-2", price), w.clock)
	w.publish(0)
	w.tape.ordered()
	w.wechat.away = &wechatpay.CallError{Class: wechatpay.ClassUnknown}
	r, err := w.service.Begin(t.Context(), noon, "token:test", "a test")
	require.NoError(t, err)
	for range 3 {
		r, err = w.service.Step(t.Context(), r.ID, "token:test", "a test")
		require.Equal(t, problem.Unavailable, problem.KindOf(err))
		require.Equal(t, pay.RecoverMessages, r.Phase, "it stands where it stood")
		require.Empty(t, w.sql(w.now, `SELECT transaction_id FROM payments`), "what came after hangs on the answer")
	}
	w.wechat.away = nil
	require.Zero(t, w.recover().Counts.Problems)
	w.same("ORDER")
}

func TestRecover_leaves_to_the_worker_what_nobody_has_acknowledged(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.paid("ORDER-1", "TX-1")
	w.tape.floors[shop] = uint64(len(w.tape.commands))
	w.tape.commands = append(w.tape.commands, pay.StoredCommand{Command: w.wants("ORDER-1", "", "R-1", 60), StoredAt: w.tick()})
	w.tape.commands[1].ID, w.tape.commands[1].MchID = pay.CommandID(w.id()), shop
	r := w.recover()
	require.Equal(t, 1, r.Counts.CommandsLeft)
	require.Empty(t, w.sql(w.now, `SELECT out_refund_no FROM refunds`))
	require.Empty(t, w.sql(w.now, `SELECT command_id FROM commands WHERE kind = 'refund.create'`), "nor has it an outcome")
}

func TestRecover_tells_of_what_it_cannot_bring_back(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.place("ORDER-1")
	w.tick()
	w.hears(w.pays("ORDER-1", "TX-1", price), w.clock)
	w.publish(0)
	w.tape.packs = nil
	delete(w.wechat.orders, "ORDER-1")
	r := w.recover()
	require.Equal(t, pay.OrderAwaitingPayment, w.orderNow("ORDER-1").State)
	require.NotEmpty(t, r.Problems)
	require.Equal(t, pay.OutTradeNo("ORDER-1"), r.Problems[0].OutTradeNo)
}

func TestBegin_refuses_an_instant_after_the_backup(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.paid("ORDER-1", "TX-1")
	w.tape.ordered()
	_, err := w.service.Begin(t.Context(), w.clock.Add(time.Second), "token:test", "a test")
	require.Equal(t, problem.SinceTooLate, problem.KindOf(err))
	require.ErrorContains(t, err, "ORDER-1")
	_, err = w.service.Begin(t.Context(), time.Now().Add(time.Hour), "token:test", "a test")
	require.Equal(t, problem.Invalid, problem.KindOf(err))
	require.Empty(t, w.sql(w.now, `SELECT recovery_id FROM recoveries`))
}

func TestStep_is_made_by_one_at_a_time_and_goes_on_after_a_death(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.paid("ORDER-1", "TX-1")
	w.tape.ordered()
	r, err := w.service.Begin(t.Context(), noon, "token:one", "a test")
	require.NoError(t, err)
	same, err := w.service.Begin(t.Context(), noon, "token:two", "the same")
	require.NoError(t, err)
	require.Equal(t, r.ID, same.ID)
	_, leased, err := w.now.LeaseRecovery(t.Context(), r.ID, time.Hour, "token:one", "who dies")
	require.NoError(t, err)
	require.True(t, leased)
	stands, err := w.service.Step(t.Context(), r.ID, "token:two", "a test")
	require.ErrorContains(t, err, "somebody else")
	require.Equal(t, pay.RecoverEvents, stands.Phase)
	_, err = w.now.sql.ExecContext(t.Context(), `UPDATE recoveries SET leased_until = now()`)
	require.NoError(t, err)
	require.Equal(t, r.ID, w.recover().ID)
	w.same("ORDER")
	other, err := w.service.Begin(t.Context(), noon.Add(-time.Hour), "token:one", "from earlier on")
	require.NoError(t, err)
	third, err := w.service.Begin(t.Context(), noon.Add(-2*time.Hour), "token:one", "from earlier still")
	require.NoError(t, err)
	_, err = w.service.Step(t.Context(), other.ID, "token:one", "a test")
	require.Equal(t, problem.Refused, problem.KindOf(err), "another was begun in its place")
	_, err = w.service.Step(t.Context(), third.ID, "token:one", "a test")
	require.NoError(t, err)
	_, err = w.service.Step(t.Context(), w.id(), "token:one", "a test")
	require.Equal(t, problem.NotFound, problem.KindOf(err))
	require.Equal(t, []string{"recovery.begin", "recovery.end", "recovery.step"}, w.sql(w.now, `SELECT DISTINCT action FROM audit WHERE action LIKE 'recovery%' ORDER BY 1`))
	require.Equal(t, []string{"who dies"}, w.sql(w.now, `SELECT detail ->> 'reason' FROM audit WHERE action = 'recovery.step' AND actor = 'token:one' AND subject = $1`, r.ID))
}

// A notification that kills whoever reads it must not keep the books shut for ever.
func TestStep_takes_a_place_that_nobody_leaves_alive_one_by_one(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.paid("ORDER-1", "TX-1")
	w.tape.ordered()
	r, err := w.service.Begin(t.Context(), noon, "token:test", "a test")
	require.NoError(t, err)
	_, err = w.now.sql.ExecContext(t.Context(), `UPDATE recoveries SET phase = 'messages', tries = 6, stretches = jsonb_set(stretches, '{events,next}', stretches -> 'events' -> 'until')`)
	require.NoError(t, err)
	_, err = w.now.RestorePublished(t.Context(), w.tape.events)
	require.NoError(t, err)
	for r.Phase != pay.RecoveryDone {
		r, err = w.service.Step(t.Context(), r.ID, "token:test", "a test")
		require.NoError(t, err)
	}
	require.Contains(t, r.Problems[0].Detail, "one by one")
	w.now.sql.SetMaxOpenConns(2)
	w.asksNow("ORDER")
}
