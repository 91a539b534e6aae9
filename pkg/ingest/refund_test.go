package ingest_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const goodRefund = `{"out_refund_no":"R|1*@","out_trade_no":"order-0001","transaction_id":"4200002567202603011234567890","amount_fen":60,"reason":"茶凉了"}`

// refundWith is goodRefund with one field replaced by raw JSON, or without it.
func refundWith(field, value string) string {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(goodRefund), &fields); err != nil {
		panic(err)
	}
	if fields[field] = json.RawMessage(value); value == "" {
		delete(fields, field)
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func TestCreateRefund_hands_on_exactly_what_was_asked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.replied, b.result = true, pay.CommandResult{Status: 201, Body: []byte(`{"state":"requested"}`)}
	answer := b.send(ask("POST", "/v1/refunds", goodRefund, "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
	require.Equal(t, http.StatusCreated, answer.Code, answer.Body)
	require.JSONEq(t, `{"state":"requested"}`, answer.Body.String())
	require.Equal(t, "/v1/refunds/R%7C1%2A@", answer.Header().Get("Location"))
	require.Len(t, b.submitted, 1)
	c := b.submitted[0]
	require.Equal(t, mchid, c.MchID)
	require.Equal(t, pay.CommandRefundCreate, c.Kind)
	require.Equal(t, pay.OutRefundNo("R|1*@"), c.OutRefundNo)
	require.Equal(t, pay.OutTradeNo("order-0001"), c.OutTradeNo)
	require.Equal(t, now(), c.ReceivedAt)
	require.Zero(t, c.Deadline, "a refund that was asked for is recorded, however late")
	require.Equal(t, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", c.TraceParent)
	require.Regexp(t, `^[0-9a-f]{64}$`, c.Digest)
	require.JSONEq(t, goodRefund, string(c.Body))
	id, err := uuid.Parse(string(c.ID))
	require.NoError(t, err)
	require.Equal(t, uuid.Version(7), id.Version())
	require.Contains(t, b.log.String(), `"out_refund_no":"R|1*@"`)
	require.NotContains(t, b.log.String(), "茶凉了", "no bodies in the log")
}

func TestCreateRefund_answers_202_where_the_outcome_will_be(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	answer := b.send(ask("POST", "/v1/refunds", refundWith("out_trade_no", ""), "Prefer", "wait=3"))
	require.Equal(t, http.StatusAccepted, answer.Code, answer.Body)
	require.Equal(t, 3*time.Second, b.wait)
	c := b.submitted[0]
	require.Empty(t, c.OutTradeNo)
	require.Equal(t, "/v1/commands/"+string(c.ID), answer.Header().Get("Location"))
	require.Equal(t, "1", answer.Header().Get("Retry-After"))
	require.JSONEq(t, `{"command_id":"`+string(c.ID)+`","mchid":"1900000109","out_refund_no":"R|1*@","outcome":"pending","digest":"`+c.Digest+`"}`, answer.Body.String())
}

func TestCreateRefund_passes_on_refusals(t *testing.T) {
	t.Parallel()
	for _, kind := range []problem.Kind{problem.RefundNumberTaken, problem.RefundExceeds, problem.NotPaid, problem.NotFound, problem.Refused} {
		b := newBench(t)
		raw, err := json.Marshal(problem.DocumentOf(problem.New(kind, "why"), ""))
		require.NoError(t, err)
		b.replied, b.result = true, pay.CommandResult{Status: kind.Status(), Body: raw}
		answer := b.send(ask("POST", "/v1/refunds", goodRefund))
		require.Equal(t, kind.Status(), answer.Code)
		require.Equal(t, kind.Code(), problemOf(t, answer).Code)
		require.Empty(t, answer.Header().Get("Location"))
	}
}

func TestCreateRefund_says_repeat_with_the_same_number_when_the_broker_is_away(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.err = errors.New("nats: secret address")
	answer := b.send(ask("POST", "/v1/refunds", goodRefund))
	require.Equal(t, http.StatusServiceUnavailable, answer.Code)
	require.NotEmpty(t, answer.Header().Get("Retry-After"))
	require.Contains(t, problemOf(t, answer).NextStep, "same out_refund_no")
	require.NotContains(t, answer.Body.String(), "secret address")
}

func TestCreateRefund_names_field_value_and_rule(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ field, value, says string }{
		{"amount_fen", `0`, `is a number (0); it must be an integer number of fen from 1 to 10000000000`},
		{"amount_fen", `-60`, `is a number (-60)`},
		{"amount_fen", `0.6`, `without quotes, fraction or exponent`},
		{"amount_fen", `60.0`, `without quotes, fraction or exponent`},
		{"amount_fen", `6e1`, `is a number (6e1)`},
		{"amount_fen", `"60"`, `is a string ("60")`},
		{"amount_fen", `10000000001`, `from 1 to 10000000000`},
		{"amount_fen", ``, `is missing`},
		{"out_refund_no", ``, `is missing`},
		{"out_refund_no", `""`, `is empty`},
		{"out_refund_no", `"a b"`, `it must be 1 to 64 of 0-9 A-Z a-z _ - | * @`},
		{"out_refund_no", `"` + strings.Repeat("a", 65) + `"`, `it has 65 characters and may have 64`},
		{"out_refund_no", `"退1"`, `it must be 1 to 64`},
		{"out_refund_no", `1`, `it must be a string`},
		{"out_refund_no", `"auto-4200002567202603011234567890"`, `numbers that begin with auto- are fenflow's own`},
		{"out_refund_no", `"\u0061uto-1"`, `fenflow's own`},
		{"out_trade_no", `"x"`, `6 to 32`},
		{"out_trade_no", `null`, `is null`},
		{"out_trade_no", `""`, `leave it out`},
		{"transaction_id", `"4200 1"`, `1 to 32 letters and digits`},
		{"transaction_id", `"` + strings.Repeat("4", 33) + `"`, `1 to 32 letters and digits`},
		{"transaction_id", `4200002567202603011234567890`, `it must be a string`},
		{"reason", `"` + strings.Repeat("凉", 81) + `"`, `it has 81 characters and may have 80`},
		{"reason", `"a\nb"`, `control characters`},
		{"reason", `"☕😀"`, `four UTF-8 bytes`},
		{"reason", `""`, `leave it out`},
		{"currency", `"CNY"`, `is not a field of this request`},
		{"notify_url", `"http://127.0.0.1/"`, `is not a field of this request`},
		{"Amount_Fen", `1`, `is not a field of this request`},
	} {
		t.Run(row.field+" "+row.value, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			answer := b.send(ask("POST", "/v1/refunds", refundWith(row.field, row.value)))
			require.Equal(t, http.StatusUnprocessableEntity, answer.Code, answer.Body)
			errs := problemOf(t, answer).Errors
			require.Len(t, errs, 1)
			require.Equal(t, row.field, errs[0].Field)
			require.Contains(t, errs[0].Message, row.says)
			require.Empty(t, b.submitted)
		})
	}
}

func TestCreateRefund_needs_the_order_or_the_payment(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	answer := b.send(ask("POST", "/v1/refunds", `{"out_refund_no":"R1","amount_fen":1}`))
	require.Equal(t, http.StatusUnprocessableEntity, answer.Code)
	require.Contains(t, problemOf(t, answer).Errors[0].Message, "and so is transaction_id")
	for _, enough := range []string{refundWith("out_trade_no", ""), refundWith("transaction_id", ""), refundWith("reason", "")} {
		require.Equal(t, http.StatusAccepted, b.send(ask("POST", "/v1/refunds", enough)).Code, enough)
	}
}

func TestCreateRefund_takes_what_is_just_allowed(t *testing.T) {
	t.Parallel()
	for _, row := range [][2]string{
		{"out_refund_no", `"R"`}, {"out_refund_no", `"` + strings.Repeat("9", 64) + `"`}, {"out_refund_no", `"auto"`}, {"out_refund_no", `"a_-|*@Z"`},
		{"amount_fen", `1`}, {"amount_fen", `10000000000`}, {"reason", `"` + strings.Repeat("凉", 80) + `"`},
	} {
		b := newBench(t)
		answer := b.send(ask("POST", "/v1/refunds", refundWith(row[0], row[1])))
		require.Equal(t, http.StatusAccepted, answer.Code, answer.Body)
		require.Len(t, b.submitted, 1)
	}
}

func TestCreateRefund_reports_all_problems_at_once(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	answer := b.send(ask("POST", "/v1/refunds", `{"amount_fen":1.5,"note":1,"amount_fen":2,"reason":7,"transaction_id":"!"}`))
	var fields []string
	for _, e := range problemOf(t, answer).Errors {
		fields = append(fields, e.Field)
	}
	require.ElementsMatch(t, []string{"amount_fen", "amount_fen", "out_refund_no", "note", "reason", "transaction_id"}, fields)
	require.Empty(t, b.submitted)
}

func TestRefundDigest_is_of_the_meaning(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	digest := func(body string) string {
		answer := b.send(ask("POST", "/v1/refunds", body))
		require.Equal(t, http.StatusAccepted, answer.Code, answer.Body)
		return b.submitted[len(b.submitted)-1].Digest
	}
	plain := digest(goodRefund)
	require.Equal(t, plain, digest(" "+strings.ReplaceAll(goodRefund, ",", " ,\n ")), "white space")
	require.Equal(t, plain, digest(strings.Replace(goodRefund, "茶", `\u8336`, 1)), "escapes")
	require.Equal(t, plain, digest(refundWith("out_refund_no", `"R|1*@"`)), "order of the fields")
	seen := map[string]string{plain: "plain"}
	for _, row := range [][2]string{
		{"out_refund_no", `"R2"`}, {"out_trade_no", `"order-0002"`}, {"out_trade_no", ``}, {"transaction_id", `"4201"`}, {"transaction_id", ``},
		{"amount_fen", `61`}, {"reason", `"cold"`}, {"reason", ``},
	} {
		d := digest(refundWith(row[0], row[1]))
		require.NotContains(t, seen, d, row[0])
		seen[d] = row[0]
	}
}

func TestRefundDigest_does_not_depend_on_how_a_refund_is_written(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	send := func(rt *rapid.T, body []byte) pay.Command {
		answer := b.send(ask("POST", "/v1/refunds", string(body)))
		require.Equal(rt, http.StatusAccepted, answer.Code, answer.Body)
		return b.submitted[len(b.submitted)-1]
	}
	rapid.Check(t, func(rt *rapid.T) {
		fields := map[string]any{
			"out_refund_no": rapid.StringMatching(`[0-9A-Z_|*@-]{1,64}`).Draw(rt, "no"), "out_trade_no": "order-0001",
			"amount_fen": rapid.Int64Range(1, 10_000_000_000).Draw(rt, "amount"), "reason": rapid.StringMatching(`[a-z<>&"\\ 茶凉:]{1,80}`).Draw(rt, "reason"),
		}
		raw, err := json.Marshal(fields)
		require.NoError(rt, err)
		indented, err := json.MarshalIndent(fields, " ", "\t")
		require.NoError(rt, err)
		first := send(rt, raw)
		require.Equal(rt, first.Digest, send(rt, indented).Digest)
		require.JSONEq(rt, string(raw), string(first.Body))
	})
}
