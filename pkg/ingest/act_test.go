package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	toMerchant = `{"type":"MERCHANT_BANK_CARD"}`
	toUser     = `{"type":"USER_BANK_CARD","bank_type":"ICBC_DEBIT","bank_account":"6222020200112233445","real_name":"张三"}`
)

func TestCloseOrder_is_a_command_about_the_number_alone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.replied, b.result = true, pay.CommandResult{Status: 200, Body: []byte(`{"state":"closed"}`)}
	for _, request := range []*http.Request{
		ask("POST", "/v1/orders/a%7Cb%2Ac-_/close", "", "Content-Type", ""),
		ask("POST", "/v1/orders/a|b*c-_/close", " {} \n"),
		ask("POST", "/v1/orders/a|b*c-_/close", "{}", "Content-Type", "application/json; charset=utf-8"),
	} {
		answer := b.send(request)
		require.Equal(t, http.StatusOK, answer.Code, answer.Body)
		require.JSONEq(t, `{"state":"closed"}`, answer.Body.String())
	}
	first := b.submitted[0]
	require.Equal(t, mchid, first.MchID)
	require.Equal(t, pay.CommandOrderClose, first.Kind)
	require.Equal(t, pay.OutTradeNo("a|b*c-_"), first.OutTradeNo)
	require.Equal(t, []byte(`{}`), first.Body)
	require.Zero(t, first.Deadline, "what nobody is to pay any more is closed, however late")
	for _, c := range b.submitted[1:] {
		require.Equal(t, first.Digest, c.Digest)
		require.NotEqual(t, first.ID, c.ID)
	}
	b.send(ask("POST", "/v1/orders/order-0002/close", ""))
	require.NotEqual(t, first.Digest, b.submitted[3].Digest)
}

func TestCloseOrder_waits_as_preferred_and_says_what_to_do_when_the_broker_is_away(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	answer := b.send(ask("POST", "/v1/orders/order-0001/close", "", "Prefer", "wait=20"))
	require.Equal(t, http.StatusAccepted, answer.Code)
	require.Equal(t, "wait=20", answer.Header().Get("Preference-Applied"))
	require.Equal(t, "/v1/commands/"+string(b.submitted[0].ID), answer.Header().Get("Location"))
	b.err = errors.New("away")
	answer = b.send(ask("POST", "/v1/orders/order-0001/close", ""))
	require.Equal(t, problem.BrokerUnavailable.Code(), problemOf(t, answer).Code)
	require.Contains(t, problemOf(t, answer).NextStep, "Repeat the same request")
}

func TestAPI_takes_no_body_where_there_is_nothing_to_say(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"close", "check"} {
		for body, want := range map[string]problem.Kind{
			`{"force":true}`: problem.Invalid, `{"a":1,"a":2}`: problem.Invalid, `[]`: problem.Malformed, `null`: problem.Malformed, `{}x`: problem.Malformed, `x`: problem.Malformed,
			strings.Repeat(" ", 1025): problem.TooLarge,
		} {
			b := newBench(t)
			answer := b.send(ask("POST", "/v1/orders/order-0001/"+verb, body))
			require.Equal(t, want.Code(), problemOf(t, answer).Code, "%s %s", verb, body)
			require.Empty(t, b.submitted)
			require.Empty(t, b.worker.questions())
		}
		b := newBench(t)
		answer := b.send(ask("POST", "/v1/orders/order-0001/"+verb, "{}", "Content-Type", "text/plain"))
		require.Equal(t, problem.UnsupportedMedia.Code(), problemOf(t, answer).Code)
	}
}

func TestAPI_names_the_one_method_of_each_address(t *testing.T) {
	t.Parallel()
	for route, allowed := range theRoutes() {
		path := pathOf(route)
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PURGE"} {
			if method == allowed {
				continue
			}
			b := newBench(t)
			answer := b.send(ask(method, path, "{}"))
			require.Equal(t, http.StatusMethodNotAllowed, answer.Code, "%s %s", method, path)
			require.Equal(t, allowed, answer.Header().Get("Allow"))
			require.Equal(t, problem.MethodNotAllowed.Code(), problemOf(t, answer).Code)
			require.Empty(t, b.submitted)
			require.Empty(t, b.worker.questions())
		}
		b := newBench(t)
		require.Equal(t, http.StatusUnauthorized, b.send(ask(allowed, path, "{}", "Authorization", "")).Code, path)
		b.gate.Set(nil)
		require.Equal(t, problem.NotDurable.Code(), problemOf(t, b.send(ask(allowed, path, "{}"))).Code, path)
	}
}

func TestAPI_knows_numbers_by_their_shape(t *testing.T) {
	t.Parallel()
	for _, request := range []*http.Request{
		ask("POST", "/v1/orders/x/close", ""), ask("POST", "/v1/orders/x/check", ""), ask("GET", "/v1/orders/x/history", ""),
		ask("GET", "/v1/orders/order@0001/history", ""), ask("GET", "/v1/refunds/a%20b", ""), ask("GET", "/v1/refunds/a%2Fb", ""),
		ask("GET", "/v1/refunds/"+strings.Repeat("a", 65), ""), ask("GET", "/v1/refunds/%ff", ""), ask("GET", "/v1/refunds/a%257Cb", ""),
		ask("POST", "/v1/refunds/a%20b/abnormal", toMerchant), ask("GET", "/v1/refunds/", ""),
	} {
		b := newBench(t)
		answer := b.send(request)
		require.Equal(t, problem.NotFound.Code(), problemOf(t, answer).Code, request.URL)
		require.Empty(t, b.submitted)
		require.Empty(t, b.worker.questions())
	}
}

func TestAPI_asks_a_worker_in_the_name_of_the_keys_merchant(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		request  *http.Request
		question string
	}{
		{ask("GET", "/v1/orders/order-0001/history", ""), `fenflow.read.history {"mchid":"1900000109","out_trade_no":"order-0001"}`},
		{ask("GET", "/v1/refunds/R%7C1%2A%40", ""), `fenflow.read.refund {"mchid":"1900000109","out_refund_no":"R|1*@"}`},
		{ask("GET", "/v1/refunds/R|1*@", ""), `fenflow.read.refund {"mchid":"1900000109","out_refund_no":"R|1*@"}`},
		{ask("GET", "/v1/refunds/auto-4200", ""), `fenflow.read.refund {"mchid":"1900000109","out_refund_no":"auto-4200"}`},
		{ask("POST", "/v1/orders/a%7Cb%2Ac-_/check", "", "Content-Type", ""), `fenflow.act.check {"mchid":"1900000109","out_trade_no":"a|b*c-_"}`},
		{ask("POST", "/v1/refunds/R|1*@/abnormal", toMerchant), `fenflow.act.abnormal {"mchid":"1900000109","out_refund_no":"R|1*@","actor":"shop","type":"MERCHANT_BANK_CARD"}`},
		{ask("POST", "/v1/refunds/R1/abnormal", toUser), `fenflow.act.abnormal {"mchid":"1900000109","out_refund_no":"R1","actor":"shop","type":"USER_BANK_CARD","bank_type":"ICBC_DEBIT","bank_account":"6222020200112233445","real_name":"张三"}`},
	} {
		b := newBench(t)
		b.worker.answer = says(`{"status":202,"body":{"state":"abnormal"}}`)
		answer := b.send(row.request)
		require.Equal(t, http.StatusAccepted, answer.Code, answer.Body)
		require.Equal(t, "1", answer.Header().Get("Retry-After"))
		require.JSONEq(t, `{"state":"abnormal"}`, answer.Body.String())
		require.Equal(t, []string{row.question}, b.worker.questions())
		require.Empty(t, b.submitted, "no stream holds what only a worker may read")
	}
}

func TestAct_passes_on_problems_and_tells_no_worker_from_no_answer(t *testing.T) {
	t.Parallel()
	for _, request := range []func() *http.Request{
		func() *http.Request { return ask("POST", "/v1/orders/order-0001/check", "") },
		func() *http.Request { return ask("POST", "/v1/refunds/R1/abnormal", toUser) },
	} {
		b := newBench(t)
		answer := b.send(request())
		require.Equal(t, problem.NoWorker.Code(), problemOf(t, answer).Code)
		require.NotEmpty(t, answer.Header().Get("Retry-After"))
		b.worker.answer = func(string, []byte) ([]byte, error) { return nil, fmt.Errorf("slow: %w", context.DeadlineExceeded) }
		answer = b.send(request())
		require.Equal(t, problem.Unavailable.Code(), problemOf(t, answer).Code)
		require.Contains(t, problemOf(t, answer).Detail, "5s")
		require.NotEmpty(t, answer.Header().Get("Retry-After"))
		b.worker.answer = says(`{"status":409,"body":{"status":409,"code":"FEN-4010","next_step":"x"}}`)
		require.Equal(t, http.StatusConflict, b.send(request()).Code)
		for _, nonsense := range []string{``, `{}`, `{"status":200}`, `{"status":99,"body":{}}`, `[]`} {
			b.worker.answer = says(nonsense)
			require.Equal(t, http.StatusInternalServerError, b.send(request()).Code, nonsense)
		}
	}
}

func TestAct_waits_as_preferred_and_at_least_a_second(t *testing.T) {
	t.Parallel()
	for prefer, applied := range map[string]string{"": "", "wait=0": "wait=1", "wait=1": "wait=1", "wait=10": "wait=10", "wait=90": "wait=20"} {
		b := newBench(t)
		b.worker.answer = says(`{"status":200,"body":{}}`)
		answer := b.send(ask("POST", "/v1/orders/order-0001/check", "", "Prefer", prefer))
		require.Equal(t, applied, answer.Header().Get("Preference-Applied"), prefer)
		require.Equal(t, http.StatusOK, answer.Code)
	}
}

// abnormalWith is toUser with one field replaced by raw JSON, or without it.
func abnormalWith(field, value string) string {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(toUser), &fields); err != nil {
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

func TestDriveOn_names_the_field_and_never_its_value(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ body, field, says string }{
		{`{}`, "type", "is missing"},
		{abnormalWith("type", `"BANK_CARD"`), "type", "must be USER_BANK_CARD or MERCHANT_BANK_CARD"},
		{abnormalWith("type", `null`), "type", "is null"},
		{abnormalWith("bank_type", ``), "bank_type", "needs bank_type, bank_account and real_name"},
		{abnormalWith("bank_type", `"icbc"`), "bank_type", "must be 1 to 16"},
		{abnormalWith("bank_type", `"`+strings.Repeat("A", 17)+`"`), "bank_type", "may have 16"},
		{abnormalWith("bank_account", ``), "bank_account", "is missing"},
		{abnormalWith("bank_account", `"6222 0202 0011 2233"`), "bank_account", "8 to 32 digits"},
		{abnormalWith("bank_account", `6222020200112233445`), "bank_account", "is a number; it must be a string"},
		{abnormalWith("bank_account", `"1234567"`), "bank_account", "8 to 32 digits"},
		{abnormalWith("bank_account", `"`+strings.Repeat("6222", 9)+`"`), "bank_account", "8 to 32 digits"},
		{abnormalWith("real_name", ``), "real_name", "is missing"},
		{abnormalWith("real_name", `""`), "real_name", "leave it out"},
		{abnormalWith("real_name", `["张三"]`), "real_name", "is an array"},
		{abnormalWith("real_name", `"`+strings.Repeat("张", 51)+`"`), "real_name", "may have 50"},
		{abnormalWith("real_name", `"张\u0000三"`), "real_name", "control characters"},
		{abnormalWith("card", `"6222020200112233445"`), "card", "is not a field of this request"},
		{abnormalWith("actor", `"somebody else"`), "actor", "is not a field of this request"},
		{`{"type":"MERCHANT_BANK_CARD","bank_account":"6222020200112233445"}`, "bank_account", "type MERCHANT_BANK_CARD has none"},
		{`{"type":"MERCHANT_BANK_CARD","bank_type":"ICBC_DEBIT"}`, "bank_type", "type MERCHANT_BANK_CARD has none"},
		{`{"type":"MERCHANT_BANK_CARD","real_name":"张三"}`, "real_name", "type MERCHANT_BANK_CARD has none"},
		{`{"type":"USER_BANK_CARD","type":"MERCHANT_BANK_CARD","bank_type":"ICBC_DEBIT","bank_account":"6222020200112233445","real_name":"张三"}`, "type", "more than once"},
	} {
		b := newBench(t)
		answer := b.send(ask("POST", "/v1/refunds/R1/abnormal", row.body))
		require.Equal(t, http.StatusUnprocessableEntity, answer.Code, row.body)
		errs := problemOf(t, answer).Errors
		require.Len(t, errs, 1, row.body)
		require.Equal(t, row.field, errs[0].Field)
		require.Contains(t, errs[0].Message, row.says)
		require.Empty(t, b.worker.questions())
		requireNoSecret(t, answer.Body.String()+b.log.String())
	}
}

func TestDriveOn_keeps_account_and_name_out_of_the_log(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, answer := range []func(string, []byte) ([]byte, error){says(`{"status":202,"body":{}}`), says(`nonsense`), nil} {
		b.worker.answer = answer
		b.send(ask("POST", "/v1/refunds/R1/abnormal", toUser))
	}
	for _, body := range []string{toUser + "x", toUser[:len(toUser)-1], "[" + toUser + "]"} {
		require.Equal(t, http.StatusBadRequest, b.send(ask("POST", "/v1/refunds/R1/abnormal", body)).Code)
	}
	b.worker.answer = func(string, []byte) ([]byte, error) { panic(toUser) }
	require.Equal(t, http.StatusInternalServerError, b.send(ask("POST", "/v1/refunds/R1/abnormal", toUser)).Code)
	requireNoSecret(t, b.log.String())
	require.Contains(t, b.log.String(), `"out_refund_no":"R1"`)
}

func requireNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{"62220202", "6222 0202", "张", `\u5f20`} {
		require.NotContains(t, text, secret)
	}
}

func TestDriveOn_takes_rare_names(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker.answer = says(`{"status":202,"body":{}}`)
	require.Equal(t, http.StatusAccepted, b.send(ask("POST", "/v1/refunds/R1/abnormal", abnormalWith("real_name", `"𠮷田"`))).Code)
	require.Equal(t, problem.UnsupportedMedia.Code(), problemOf(t, b.send(ask("POST", "/v1/refunds/R1/abnormal", toUser, "Content-Type", "text/plain"))).Code)
	require.Equal(t, problem.TooLarge.Code(), problemOf(t, b.send(ask("POST", "/v1/refunds/R1/abnormal", strings.Repeat(" ", 4097)))).Code)
}
