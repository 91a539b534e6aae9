package command_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/pay"
)

func TestRefund_is_recorded_and_its_money_set_aside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.directory.credentials.Merchant.RefundFunds = pay.FundsAvailable
	b.paid("T00000001")
	result, r := b.execute(b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 30, "reason": "茶凉了"}))
	require.Equal(t, http.StatusCreated, result.Status, string(result.Body))
	require.Equal(t, pay.CommandDone, result.Outcome)
	require.Equal(t, pay.OutTradeNo("T00000001"), result.OutTradeNo)
	require.Equal(t, pay.OutRefundNo("R1"), result.OutRefundNo)
	require.Equal(t, "requested", r.State)
	require.Equal(t, "R1", r.OutRefundNo)
	require.Equal(t, 30, r.AmountFen)
	require.NotEmpty(t, r.TransactionID)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE state = 'requested' AND origin = 'command' AND funds = 'available' AND reason = '茶凉了' AND request IS NULL AND next_check_at <= now() + interval '1 second'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM payments WHERE reserved_fen = 30 AND refunded_fen = 0`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'refund.requested'`))
	require.Equal(t, []pay.OutRefundNo{"R1"}, b.waker.refunds)
	require.Empty(t, b.platform.Refunds("T00000001"), "the worker sends none")

	status, body := b.ask(b.service.ReadRefund, fields{"out_refund_no": "R1"})
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, string(result.Body), string(body))
	status, _ = b.ask(b.service.ReadRefund, fields{"out_refund_no": "R2"})
	require.Equal(t, http.StatusNotFound, status)
	_, err := b.service.ReadRefund(t.Context(), []byte("{"))
	require.Error(t, err)
}

func TestRefund_the_same_number_is_the_same_refund(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	b.paid("T00000002")
	ask := func(no string, f fields) (pay.CommandResult, reply) { return b.execute(b.refund(no, f)) }
	ask("R1", fields{"out_trade_no": "T00000001", "amount_fen": 30})
	again, r := ask("R1", fields{"out_trade_no": "T00000001", "amount_fen": 30})
	require.Equal(t, http.StatusOK, again.Status, string(again.Body))
	require.Equal(t, "requested", r.State)
	for name, other := range map[string]fields{
		"another amount": {"out_trade_no": "T00000001", "amount_fen": 31},
		"another reason": {"out_trade_no": "T00000001", "amount_fen": 30, "reason": "x"},
		"another order":  {"out_trade_no": "T00000002", "amount_fen": 30},
	} {
		result, r := ask("R1", other)
		require.Equal(t, http.StatusConflict, result.Status, name)
		require.Equal(t, pay.CommandConflict, result.Outcome, name)
		require.Equal(t, "FEN-4008", r.Code, name)
	}
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds`))
	require.Equal(t, 30, b.count(`SELECT sum(reserved_fen) FROM payments`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'refund.requested'`))
	require.Len(t, b.waker.refunds, 1)
}

func TestRefund_fifty_twins_at_once_are_one_refund(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	services := []*command.Service{b.service, func() *command.Service { o := b.options; o.Registry = nil; return command.New(o) }()}
	statuses := b.together(50, services, func(int) pay.Command {
		return b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 60})
	})
	require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusOK: 49}, statuses)
	require.Equal(t, 60, b.count(`SELECT reserved_fen FROM payments`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'refund.requested'`))
}

// The number is unique over all orders, and each order has a lock of its own.
func TestRefund_twins_of_different_orders_are_one_refund_and_conflicts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const orders = 6
	for i := range orders {
		b.paid(fmt.Sprintf("T0000000%d", i))
	}
	statuses := b.together(30, []*command.Service{b.service}, func(i int) pay.Command {
		return b.refund("R1", fields{"out_trade_no": fmt.Sprintf("T0000000%d", i%orders), "amount_fen": 10})
	})
	require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusOK: 4, http.StatusConflict: 25}, statuses)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds`))
	require.Equal(t, 10, b.count(`SELECT sum(reserved_fen) FROM payments`))
}

func TestRefund_parts_together_never_exceed_the_payment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001") // of 100 fen
	statuses := b.together(50, []*command.Service{b.service}, func(i int) pay.Command {
		return b.refund(fmt.Sprintf("R%d", i), fields{"out_trade_no": "T00000001", "amount_fen": 7})
	})
	require.Equal(t, map[int]int{http.StatusCreated: 14, http.StatusUnprocessableEntity: 36}, statuses)
	require.Equal(t, 98, b.count(`SELECT reserved_fen FROM payments`))
	require.Zero(t, b.count(`SELECT overrun_fen FROM payments`))

	result, r := b.execute(b.refund("R-too-much", fields{"out_trade_no": "T00000001", "amount_fen": 3}))
	require.Equal(t, "FEN-4009", r.Code)
	require.Contains(t, string(result.Body), "2 of 100 are left")
	result, _ = b.execute(b.refund("R-too-much", fields{"out_trade_no": "T00000001", "amount_fen": 2}))
	require.Equal(t, http.StatusCreated, result.Status, "nothing was recorded under the number")
}

func TestRefund_takes_fifty_of_a_payment_and_not_one_more(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	for i := range 50 {
		result, _ := b.execute(b.refund(fmt.Sprintf("R%d", i), fields{"out_trade_no": "T00000001", "amount_fen": 1}))
		require.Equal(t, http.StatusCreated, result.Status, string(result.Body))
	}
	result, r := b.execute(b.refund("R50", fields{"out_trade_no": "T00000001", "amount_fen": 1}))
	require.Equal(t, http.StatusUnprocessableEntity, result.Status)
	require.Equal(t, "FEN-4002", r.Code)
	require.Contains(t, r.Detail, "50 refunds")
}

func TestRefund_is_refused_after_a_year(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	b.clock.Advance(366 * 24 * time.Hour)
	result, r := b.execute(b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 1}))
	require.Equal(t, http.StatusUnprocessableEntity, result.Status)
	require.Contains(t, r.Detail, "for a year")
	require.Zero(t, b.count(`SELECT count(*) FROM refunds`))
}

func TestRefund_finds_its_payment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	b.paid("T00000002")
	b.execute(b.create("T00000003"))
	tx := string(b.order("T00000001").TransactionID)
	result, r := b.execute(b.refund("R1", fields{"transaction_id": tx, "amount_fen": 1}))
	require.Equal(t, http.StatusCreated, result.Status, string(result.Body))
	require.Equal(t, "T00000001", r.OutTradeNo)
	require.Equal(t, pay.OutTradeNo("T00000001"), result.OutTradeNo)
	result, _ = b.execute(b.refund("R2", fields{"out_trade_no": "T00000001", "transaction_id": tx, "amount_fen": 1}))
	require.Equal(t, http.StatusCreated, result.Status, string(result.Body))
	for name, row := range map[string]struct {
		f      fields
		status int
		code   string
	}{
		"they disagree":      {fields{"out_trade_no": "T00000002", "transaction_id": tx, "amount_fen": 1}, http.StatusUnprocessableEntity, "FEN-3001"},
		"no such order":      {fields{"out_trade_no": "T00000009", "amount_fen": 1}, http.StatusNotFound, "FEN-3004"},
		"no such payment":    {fields{"transaction_id": "4200000000000000000000000001", "amount_fen": 1}, http.StatusNotFound, "FEN-3004"},
		"it is not paid":     {fields{"out_trade_no": "T00000003", "amount_fen": 1}, http.StatusUnprocessableEntity, "FEN-4007"},
		"more than was paid": {fields{"out_trade_no": "T00000002", "amount_fen": 101}, http.StatusUnprocessableEntity, "FEN-4009"},
	} {
		result, r := b.execute(b.refund("R9", row.f))
		require.Equal(t, row.status, result.Status, name+string(result.Body))
		require.Equal(t, row.code, r.Code, name)
		require.Equal(t, pay.CommandRefused, result.Outcome, name)
	}
	require.Equal(t, 2, b.count(`SELECT count(*) FROM refunds`))
}

// Doubled money is given back by its own number: the order's is another payment.
func TestRefund_of_doubled_money_names_its_transaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.directory.credentials.Merchant.Policies.DoublePayment = pay.PolicyHold
	b.paid("T00000001")
	_, err := b.store.Settle(t.Context(), []pay.Entry{{Observation: &pay.Observation{
		Kind: pay.ObservedPaid, Source: pay.SourceNotification, ObservedAt: b.clock.Now(), MchID: pay.MchID(b.merchant.Mchid),
		AppID: pay.AppID(b.merchant.Appid), OutTradeNo: "T00000001", TransactionID: "4200000002", Amount: 100, PayerTotal: 100, Currency: pay.CNY, PaidAt: b.clock.Now(),
	}}}, func(pay.MchID) pay.Policies { return b.directory.credentials.Merchant.Policies })
	require.NoError(t, err)
	_, r := b.execute(b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 100}))
	require.NotEqual(t, "4200000002", r.TransactionID)
	_, r = b.execute(b.refund("R2", fields{"transaction_id": "4200000002", "amount_fen": 100}))
	require.Equal(t, "4200000002", r.TransactionID)
}

func TestRefund_refuses_what_is_no_refund(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	for name, change := range map[string]func(fields){
		"our own number":    func(f fields) { f["out_refund_no"] = "auto-4200000001" },
		"no payment":        func(f fields) { delete(f, "out_trade_no") },
		"nothing":           func(f fields) { f["amount_fen"] = 0 },
		"less than nothing": func(f fields) { f["amount_fen"] = -1 },
		"a fraction":        func(f fields) { f["amount_fen"] = 0.5 },
		"a long reason":     func(f fields) { f["reason"] = strings.Repeat("茶", 81) },
		"a NUL":             func(f fields) { f["reason"] = "a\x00" },
		"an unknown field":  func(f fields) { f["total"] = 1 },
		"a strange number":  func(f fields) { f["out_refund_no"] = "R 1" },
	} {
		f := fields{"out_trade_no": "T00000001", "amount_fen": 1}
		no := "R1"
		change(f)
		if given, is := f["out_refund_no"].(string); is {
			no = given
		}
		result, r := b.execute(b.refund(no, f))
		require.Equal(t, pay.CommandRefused, result.Outcome, name)
		require.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, result.Status, name)
		require.NotEmpty(t, r.Code, name)
	}
	long, _ := b.execute(b.refund("R-long", fields{"out_trade_no": "T00000001", "amount_fen": 1, "reason": strings.Repeat("茶", 80)}))
	require.Equal(t, http.StatusCreated, long.Status, string(long.Body))
	stranger := b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 1})
	stranger.OutRefundNo = "R2"
	result, _ := b.execute(stranger)
	require.Equal(t, pay.CommandRefused, result.Outcome)
	stranger = b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 1})
	stranger.MchID = "1900000777"
	result, _ = b.execute(stranger)
	require.Equal(t, pay.CommandRefused, result.Outcome)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds`))
}

// away is a database that goes away when something is to be settled.
type away struct{ command.Books }

func (away) Settle(context.Context, []pay.Entry, func(pay.MchID) pay.Policies) (pay.Settled, error) {
	return pay.Settled{}, errors.New("connection refused")
}

func TestRefund_a_database_that_is_away_brings_the_command_again(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	cmd := b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 1})
	o := b.options
	o.Registry, o.Books = nil, away{b.store}
	_, err := command.New(o).Execute(t.Context(), cmd)
	require.Error(t, err, "nothing may be recorded as its end")
	require.Zero(t, b.count(`SELECT count(*) FROM commands WHERE kind = 'refund.create'`))
	result, _ := b.execute(cmd)
	require.Equal(t, http.StatusCreated, result.Status)
}

// together carries out n commands at once and counts their statuses.
func (b *bundle) together(n int, services []*command.Service, ask func(i int) pay.Command) map[int]int {
	b.t.Helper()
	var all sync.WaitGroup
	statuses := map[int]int{}
	var mu sync.Mutex
	for i := range n {
		cmd := ask(i)
		all.Go(func() {
			result, err := services[i%len(services)].Execute(context.WithoutCancel(b.t.Context()), cmd)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				b.t.Logf("command %d: %v", i, err)
				result.Status = -1
			}
			statuses[result.Status]++
		})
	}
	all.Wait()
	return statuses
}
