package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
)

// decide is a decision as the console sends it.
func (b *bundle) decide(kind pay.CommandKind, f fields) pay.Command {
	b.t.Helper()
	for name, value := range (fields{"kind": "amount_mismatch", "actor": "token:ada", "reason": "the customer called"}) {
		if _, given := f[name]; !given {
			f[name] = value
		}
	}
	body, err := json.Marshal(f)
	require.NoError(b.t, err)
	return pay.Command{
		ID: pay.CommandID(uuid.Must(uuid.NewV7()).String()), MchID: pay.MchID(b.merchant.Mchid), Kind: kind, Body: body, ReceivedAt: b.clock.Now(),
	}
}

// held places an order and has it paid with 99 of 100 fen, which nobody takes.
func (b *bundle) held(no string) (tx string) {
	b.t.Helper()
	b.execute(b.create(no))
	_, err := b.platform.Pay(no, simulator.PayRequest{Notify: simulator.ProtocolNone, AmountFen: new(int64(99))})
	require.NoError(b.t, err)
	_, r := b.check(no)
	require.Equal(b.t, "awaiting_payment", r.State)
	require.NoError(b.t, b.db.QueryRowContext(b.t.Context(), `SELECT transaction_id FROM anomalies WHERE out_trade_no = $1 AND state = 'open'`, no).Scan(&tx))
	return tx
}

// decided is what a decision is answered with.
type decided struct {
	Anomaly struct {
		State     string
		Decision  string
		DecidedBy string `json:"decided_by"`
	}
	Order struct {
		State         string
		TransactionID string `json:"transaction_id"`
	}
	Refund *struct {
		OutRefundNo string `json:"out_refund_no"`
		State       string
		AmountFen   int `json:"amount_fen"`
	}
}

func (b *bundle) answerOf(result pay.CommandResult) (d decided) {
	b.t.Helper()
	require.Equal(b.t, http.StatusOK, result.Status, string(result.Body))
	require.NoError(b.t, json.Unmarshal(result.Body, &d))
	return d
}

func TestDecision_to_accept_delivers_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.held("T00000001")
	cmd := b.decide(pay.CommandAnomalyAccept, fields{"transaction_id": tx})
	result, _ := b.execute(cmd)
	require.Equal(t, pay.CommandDone, result.Outcome)
	require.Equal(t, pay.OutTradeNo("T00000001"), result.OutTradeNo)
	d := b.answerOf(result)
	require.Equal(t, []string{"accepted", "accept", "token:ada", "paid", tx}, []string{d.Anomaly.State, d.Anomaly.Decision, d.Anomaly.DecidedBy, d.Order.State, d.Order.TransactionID})
	require.Nil(t, d.Refund)
	require.Equal(t, pay.OrderPaid, b.order("T00000001").State)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE actor = 'token:ada' AND action = 'anomaly.accept' AND detail->>'reason' = 'the customer called'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM commands WHERE kind = 'anomaly.accept' AND outcome = 'done' AND out_trade_no = 'T00000001'`))

	// Another operator, another command: the same decision is the same, the opposite is refused.
	twin, _ := b.execute(b.decide(pay.CommandAnomalyAccept, fields{"transaction_id": tx, "actor": "token:bob"}))
	require.Equal(t, "token:ada", b.answerOf(twin).Anomaly.DecidedBy)
	opposite, r := b.execute(b.decide(pay.CommandAnomalyRefund, fields{"transaction_id": tx, "actor": "token:bob"}))
	require.Equal(t, http.StatusConflict, opposite.Status)
	require.Equal(t, pay.CommandConflict, opposite.Outcome)
	require.Equal(t, "FEN-4025", r.Code)
	require.Contains(t, r.Detail, "by token:ada on ")
	require.Contains(t, r.Detail, "accept (the customer called)")
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action LIKE 'anomaly.%' AND actor LIKE 'token:%'`))
	require.Empty(t, b.waker.refunds)
}

func TestDecision_to_give_back_makes_the_policys_refund(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.held("T00000001")
	d := b.answerOf(first(b.execute(b.decide(pay.CommandAnomalyRefund, fields{"transaction_id": tx}))))
	require.Equal(t, "open", d.Anomaly.State, "until the money is back")
	require.Equal(t, "auto-"+tx, d.Refund.OutRefundNo)
	require.Equal(t, 99, d.Refund.AmountFen)
	require.Equal(t, []pay.OutRefundNo{pay.OutRefundNo("auto-" + tx)}, b.waker.refunds)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE origin = 'operator' AND state = 'requested' AND reason = ''`))
	require.Equal(t, 99, b.count(`SELECT reserved_fen FROM payments`))

	d = b.answerOf(first(b.execute(b.decide(pay.CommandAnomalyRefund, fields{"transaction_id": tx, "actor": "token:bob"}))))
	require.Equal(t, "token:ada", d.Anomaly.DecidedBy)
	require.Equal(t, "requested", d.Refund.State)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds`))
	_, r := b.execute(b.decide(pay.CommandAnomalyAccept, fields{"transaction_id": tx}))
	require.Equal(t, "FEN-4026", r.Code)
	require.Contains(t, r.Detail, "refund auto-"+tx+" is requested")
	require.Zero(t, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
}

func first[A, B any](a A, _ B) A { return a }

// crashing are books whose outcome of a command is not written the first time:
// the worker dies between the decision's commit and its own record of it.
type crashing struct {
	command.Books

	once sync.Once
}

var errCrash = errors.New("the worker died")

func (c *crashing) FinishCommand(ctx context.Context, r pay.CommandResult) (err error) {
	c.once.Do(func() { err = errCrash })
	if err != nil {
		return err
	}
	return c.Books.FinishCommand(ctx, r)
}

func TestDecision_survives_a_worker_that_dies_after_its_commit(t *testing.T) {
	t.Parallel()
	for _, kind := range []pay.CommandKind{pay.CommandAnomalyAccept, pay.CommandAnomalyRefund} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			tx := b.held("T00000001")
			b.restart(func(o *command.Options) {
				o.Books, o.Retryable = &crashing{Books: b.store}, func(err error) bool { return errors.Is(err, errCrash) }
			})
			cmd := b.decide(kind, fields{"transaction_id": tx})
			_, err := b.service.Execute(t.Context(), cmd)
			require.ErrorIs(t, err, errCrash)
			require.Equal(t, 1, b.count(`SELECT count(*) FROM anomalies WHERE decision <> ''`), "it is decided")
			facts := b.count(`SELECT count(*) FROM outbox`)
			history := b.count(`SELECT count(*) FROM history`)

			b.clock.Advance(time.Minute)
			result, _ := b.execute(cmd)
			require.Equal(t, pay.CommandDone, result.Outcome)
			again, _ := b.execute(cmd)
			require.JSONEq(t, string(result.Body), string(again.Body))
			require.Equal(t, []int{facts, history, 1}, []int{b.count(`SELECT count(*) FROM outbox`), b.count(`SELECT count(*) FROM history`), b.count(`SELECT count(*) FROM commands WHERE command_id = $1`, string(cmd.ID))})
			require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE actor = 'token:ada'`))
		})
	}
}

// Two operators say the opposite through two workers, again and again; a check
// of the order and the shop's own refund come between.
func TestDecision_of_two_operators_at_once_is_one(t *testing.T) {
	t.Parallel()
	b := setup(t)
	second := b.options
	second.Registry = nil
	services := []*command.Service{b.service, command.New(second)}
	for round := range 8 {
		no := "T0000000" + string(rune('1'+round))
		tx := b.held(no)
		var together errgroup.Group
		outcomes := make([]pay.CommandOutcome, 4)
		for i := range outcomes {
			kind := []pay.CommandKind{pay.CommandAnomalyAccept, pay.CommandAnomalyRefund}[i%2]
			cmd := b.decide(kind, fields{"transaction_id": tx, "actor": "token:" + string(rune('a'+i))})
			together.Go(func() error {
				result, err := services[i/2].Execute(t.Context(), cmd)
				outcomes[i] = result.Outcome
				return err
			})
		}
		question, err := json.Marshal(fields{"mchid": b.merchant.Mchid, "out_trade_no": no})
		require.NoError(t, err)
		together.Go(func() error {
			_, err := b.service.ActCheck(t.Context(), question)
			return err
		})
		require.NoError(t, together.Wait())
		require.Equal(t, outcomes[0], outcomes[2])
		require.Equal(t, outcomes[1], outcomes[3])
		require.ElementsMatch(t, []pay.CommandOutcome{pay.CommandDone, pay.CommandConflict}, outcomes[:2])
		delivered, refunds := b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid' AND out_trade_no = $1`, no), b.count(`SELECT count(*) FROM refunds WHERE out_trade_no = $1`, no)
		require.Equal(t, 1, delivered+refunds, "delivered or given back, never both")
		require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE subject = $1 AND actor LIKE 'token:%'`, no))
	}
}

func TestDecision_refuses_what_is_no_decision(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.held("T00000001")
	b.paid("T00000002")
	fits := string(b.order("T00000002").TransactionID)
	for name, row := range map[string]struct {
		f      fields
		status int
		code   string
	}{
		"no such payment":         {fields{"transaction_id": "4299"}, http.StatusNotFound, "FEN-3022"},
		"another kind":            {fields{"transaction_id": tx, "kind": "late_payment"}, http.StatusNotFound, "FEN-3022"},
		"nothing is odd about it": {fields{"transaction_id": fits}, http.StatusNotFound, "FEN-3022"},
		"no kind":                 {fields{"transaction_id": tx, "kind": "odd"}, http.StatusUnprocessableEntity, "FEN-3001"},
		"nobody":                  {fields{"transaction_id": tx, "actor": ""}, http.StatusUnprocessableEntity, "FEN-3001"},
		"no reason":               {fields{"transaction_id": tx, "reason": ""}, http.StatusUnprocessableEntity, "FEN-3001"},
		"long reason":             {fields{"transaction_id": tx, "reason": strings.Repeat("x", 5000)}, http.StatusUnprocessableEntity, "FEN-3001"},
		"NUL":                     {fields{"transaction_id": tx, "reason": "x\x00"}, http.StatusUnprocessableEntity, "FEN-3001"},
		"no payment":              {fields{"transaction_id": ""}, http.StatusUnprocessableEntity, "FEN-3001"},
		"a refund of a payment":   {fields{"transaction_id": tx, "out_refund_no": "R1"}, http.StatusUnprocessableEntity, "FEN-3001"},
		"an overrun of no refund": {fields{"transaction_id": tx, "kind": "refund_overrun"}, http.StatusUnprocessableEntity, "FEN-3001"},
		"an unknown overrun":      {fields{"transaction_id": tx, "kind": "refund_overrun", "out_refund_no": "R1"}, http.StatusNotFound, "FEN-3022"},
		"an unknown field":        {fields{"transaction_id": tx, "force": true}, http.StatusBadRequest, "FEN-3002"},
	} {
		for _, kind := range []pay.CommandKind{pay.CommandAnomalyAccept, pay.CommandAnomalyRefund} {
			result, r := b.execute(b.decide(kind, row.f))
			require.Equal(t, row.status, result.Status, name+string(result.Body))
			require.Equal(t, row.code, r.Code, name)
			require.Equal(t, pay.CommandRefused, result.Outcome, name)
		}
	}
	stranger := b.decide(pay.CommandAnomalyAccept, fields{"transaction_id": tx})
	stranger.MchID = "1900009999"
	_, r := b.execute(stranger)
	require.Equal(t, "FEN-4002", r.Code)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM anomalies WHERE state = 'open' AND decision = ''`))
	require.Zero(t, b.count(`SELECT count(*) FROM audit WHERE actor LIKE 'token:%'`))
}

func TestDecision_a_database_that_is_away_brings_the_command_again(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cmd := b.decide(pay.CommandAnomalyAccept, fields{"transaction_id": b.held("T00000001")})
	o := b.options
	o.Registry, o.Books = nil, away{b.store}
	_, err := command.New(o).Execute(t.Context(), cmd)
	require.Error(t, err, "nothing may be recorded as its end")
	require.Zero(t, b.count(`SELECT count(*) FROM commands WHERE kind = 'anomaly.accept'`))
	result, _ := b.execute(cmd)
	require.Equal(t, http.StatusOK, result.Status)
}
