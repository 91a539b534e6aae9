package command_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

type fault = func(http.ResponseWriter, *http.Request, http.Handler)

func TestPrepay_what_is_unknown_is_repeated_with_the_same_bytes(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][]fault{
		"system error":           {answers(500, "SYSTEM_ERROR"), answers(502, "SERVICE_UNAVAILABLE")},
		"an answer that is lost": {hangs},
		"an answer not signed":   {tampers},
		"too many requests":      {answers(429, "RATELIMIT_EXCEEDED")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.wire.fails(faults...)
			result, r := b.execute(b.create("T00000001"))
			require.Equal(t, http.StatusCreated, result.Status, string(result.Body))
			require.NotEmpty(t, r.Pay["paySign"])
			bodies := b.wire.prepays()
			require.Len(t, bodies, len(faults)+1)
			for _, body := range bodies {
				require.Equal(t, b.order("T00000001").PrepayRequest, body)
			}
		})
	}
}

func TestPrepay_without_a_clear_answer_the_order_stays_and_the_shop_repeats(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wire.fails(hangs, tampers, answers(500, "SYSTEM_ERROR"))
	result, r := b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusServiceUnavailable, result.Status)
	require.Equal(t, pay.CommandUnavailable, result.Outcome)
	require.Equal(t, "FEN-4004", r.Code)
	require.Contains(t, r.Detail, "same number")
	order := b.order("T00000001")
	require.Equal(t, pay.OrderCreated, order.State)
	require.False(t, order.NextCheckAt.IsZero())

	result, _ = b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusCreated, result.Status)
	bodies := b.wire.prepays()
	require.Len(t, bodies, 4)
	require.Equal(t, bodies[0], bodies[3])
}

func TestPrepay_a_final_refusal_of_a_first_call_fails_the_order(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wire.fails(answers(400, "PARAM_ERROR"))
	result, r := b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusUnprocessableEntity, result.Status)
	require.Equal(t, pay.CommandRefused, result.Outcome)
	require.Contains(t, r.Detail, "PARAM_ERROR")
	order := b.order("T00000001")
	require.Equal(t, pay.OrderFailed, order.State)
	require.Equal(t, "PARAM_ERROR", order.FailureCode)
	require.False(t, order.NextCheckAt.IsZero(), "a failed order is asked about once more")
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.failed'`))

	again, _ := b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusUnprocessableEntity, again.Status)
	require.Len(t, b.wire.prepays(), 1)
}

func TestPrepay_a_refusal_after_a_lost_answer_proves_nothing(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]fault{"no answer": hangs, "an answer of a gateway": breaks} { // both were carried out
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.wire.fails(first, answers(400, "PARAM_ERROR"))
			result, r := b.execute(b.create("T00000001"))
			require.Equal(t, http.StatusConflict, result.Status, string(result.Body))
			require.Equal(t, "FEN-4005", r.Code)
			require.Equal(t, pay.OrderCreated, b.order("T00000001").State)
			require.Positive(t, b.wire.count("query"))

			result, _ = b.execute(b.create("T00000001"))
			require.Equal(t, http.StatusCreated, result.Status, "the same bytes are welcome")
		})
	}
}

func TestCreate_a_command_that_died_under_way_does_not_claim_that_nobody_was_called(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wire.fails(hangs, hangs, hangs)
	cmd := b.create("T00000001")
	ctx, die := context.WithCancel(t.Context())
	go func() {
		defer die()
		for len(b.wire.prepays()) == 0 {
			runtime.Gosched()
		}
	}()
	_, err := b.service.Execute(ctx, cmd)
	require.Error(t, err)
	b.clock.Advance(2 * time.Minute)
	result, r := b.execute(cmd)
	require.Equal(t, pay.CommandExpired, result.Outcome)
	require.NotContains(t, r.Detail, "not called")
	require.Contains(t, r.Detail, "same number")
	require.Equal(t, pay.OrderCreated, b.order("T00000001").State)
	result, _ = b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusCreated, result.Status)
}

func TestPrepay_a_number_that_is_used_elsewhere_is_queried_not_failed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Another system placed and was paid an order under the same number.
	b.execute(b.create("T00000001"))
	_, err := b.db.ExecContext(t.Context(), `SET session_replication_role = replica; TRUNCATE orders, history, outbox CASCADE; RESET session_replication_role`)
	require.NoError(t, err)
	result, r := b.execute(b.create("T00000001", func(f fields) { f["amount_fen"] = 200 }))
	require.Equal(t, http.StatusConflict, result.Status, string(result.Body))
	require.Equal(t, "FEN-4005", r.Code)
	require.Equal(t, pay.OrderCreated, b.order("T00000001").State)
	require.False(t, b.order("T00000001").NextCheckAt.IsZero())

	// A refusal of this kind for a number that WeChat Pay does not know is final.
	b.wire.fails(answers(403, "OUT_TRADE_NO_USED"))
	result, _ = b.execute(b.create("T00000002"))
	require.Equal(t, http.StatusUnprocessableEntity, result.Status, string(result.Body))
	require.Equal(t, pay.OrderFailed, b.order("T00000002").State)
}

func TestPrepay_a_configuration_that_WeChat_Pay_refuses_fails_no_order(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wire.fails(answers(401, "SIGN_ERROR"))
	result, r := b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusServiceUnavailable, result.Status)
	require.Contains(t, r.Detail, "SIGN_ERROR")
	require.Equal(t, pay.OrderCreated, b.order("T00000001").State)
	result, _ = b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusCreated, result.Status)
}

func TestPrepay_ends_with_the_deadline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wire.fails(hangs, hangs, hangs)
	cmd := b.create("T00000001")
	cmd.Deadline = b.clock.Now().Add(200 * time.Millisecond)
	began := time.Now()
	result, _ := b.execute(cmd)
	require.Equal(t, pay.CommandUnavailable, result.Outcome)
	require.Less(t, time.Since(began), 5*time.Second)
	require.Len(t, b.wire.prepays(), 1)
}

func TestRead_orders_and_commands(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cmd := b.create("T00000001")
	b.execute(cmd)
	read := func(f func() ([]byte, error)) string {
		raw, err := f()
		require.NoError(t, err)
		return string(raw)
	}
	mchid := b.merchant.Mchid
	order := read(func() ([]byte, error) {
		return b.service.ReadOrder(t.Context(), []byte(`{"mchid":"`+mchid+`","out_trade_no":"T00000001"}`))
	})
	require.True(t, strings.HasPrefix(order, `{"status":200,`), order)
	require.Contains(t, order, `"paySign"`)
	missing := read(func() ([]byte, error) {
		return b.service.ReadOrder(t.Context(), []byte(`{"mchid":"`+mchid+`","out_trade_no":"T00000009"}`))
	})
	require.True(t, strings.HasPrefix(missing, `{"status":404,`), missing)
	command := func(id string) string {
		return read(func() ([]byte, error) {
			return b.service.ReadCommand(t.Context(), []byte(`{"mchid":"`+mchid+`","command_id":"`+id+`"}`))
		})
	}
	require.Contains(t, command(string(cmd.ID)), `"outcome":"done"`)
	pending := b.create("T00000002") // not carried out yet
	require.True(t, strings.HasPrefix(command(string(pending.ID)), `{"status":202,`))
	b.clock.Advance(time.Hour)
	require.True(t, strings.HasPrefix(command(string(pending.ID)), `{"status":404,`))
	require.True(t, strings.HasPrefix(command("nonsense"), `{"status":404,`))
	_, err := b.service.ReadOrder(t.Context(), []byte("{"))
	require.Error(t, err)
}
