package ingest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fenflow/fenflow/pkg/problem"
)

// with is goodOrder with one field replaced by raw JSON, or without it.
func with(field, value string) string {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(goodOrder), &fields); err != nil {
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

func TestCreateOrder_names_field_value_and_rule(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ field, value, says string }{
		{"amount_fen", `1.5`, `is a number (1.5); it must be an integer number of fen from 1 to 10000000000`},
		{"amount_fen", `1.0`, `without quotes, fraction or exponent`},
		{"amount_fen", `1e2`, `is a number (1e2)`},
		{"amount_fen", `"100"`, `is a string ("100")`},
		{"amount_fen", `0`, `is a number (0)`},
		{"amount_fen", `-0`, `is a number (-0)`},
		{"amount_fen", `-1`, `is a number (-1)`},
		{"amount_fen", `10000000001`, `from 1 to 10000000000`},
		{"amount_fen", `99999999999999999999999999`, `from 1 to 10000000000`},
		{"amount_fen", `null`, `is null`},
		{"amount_fen", `true`, `is a boolean`},
		{"amount_fen", `{"total":1}`, `is an object`},
		{"amount_fen", `[1]`, `is an array`},
		{"amount_fen", ``, `is missing`},
		{"out_trade_no", ``, `is missing`},
		{"out_trade_no", `"abcde"`, `6 to 32`},
		{"out_trade_no", `"` + strings.Repeat("a", 33) + `"`, `6 to 32`},
		{"out_trade_no", `"订单000001"`, `6 to 32`},
		{"out_trade_no", `123456`, `is a number (123456); it must be a string`},
		{"appid", `"wx0000000000000000"`, `it must be an app of merchant 1900000109: wx8888888888888888, wx9999999999999999`},
		{"appid", `null`, `is null`},
		{"client", `"micropay"`, `it must be jsapi, mini_program, native, app or h5`},
		{"client", `"JSAPI"`, `it must be jsapi`},
		{"description", `""`, `1 to 127 characters`},
		{"description", `"` + strings.Repeat("咖", 128) + `"`, `it has 128 characters and may have 127`},
		{"description", `"coffee ☕😀"`, `no characters of four UTF-8 bytes`},
		{"description", `"a\u0000b"`, `control characters`},
		{"description", `"a\ud800b"`, `valid Unicode`},
		{"currency", `"USD"`, `it must be CNY`},
		{"currency", `"cny"`, `it must be CNY`},
		{"currency", ``, `is missing`},
		{"openid", ``, `needs the buyer's openid`},
		{"openid", `""`, `leave it out`},
		{"openid", `"a b"`, `letters, digits`},
		{"openid", `"` + strings.Repeat("a", 129) + `"`, `may have 128`},
		{"client", `"native"`, ``},
		{"attach", `"` + strings.Repeat("a", 129) + `"`, `may have 128`},
		{"attach", `"a\nb"`, `control characters`},
		{"expires_at", `"tomorrow"`, `RFC 3339`},
		{"expires_at", `"2026-11-21T12:00:00"`, `RFC 3339`},
		{"expires_at", `"2027-02-19T04:00:01Z"`, `at most 90 days`},
		{"expires_at", `1795000000`, `is a number`},
		{"time_expire", `"2026-11-21T06:00:00Z"`, `is not a field of this request`},
		{"Amount_Fen", `1`, `is not a field of this request`},
	} {
		t.Run(row.field+" "+row.value, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			answer := b.send(ask("POST", "/v1/orders", with(row.field, row.value)))
			require.Equal(t, http.StatusUnprocessableEntity, answer.Code, answer.Body)
			errs := problemOf(t, answer).Errors
			require.Len(t, errs, 1)
			if row.says != "" {
				require.Equal(t, row.field, errs[0].Field)
			}
			require.Contains(t, errs[0].Message, row.says)
			require.Empty(t, b.submitted)
		})
	}
}

func TestCreateOrder_takes_what_is_just_allowed(t *testing.T) {
	t.Parallel()
	for _, row := range [][2]string{
		{"amount_fen", `1`}, {"amount_fen", `10000000000`},
		{"description", `"` + strings.Repeat("咖", 127) + `"`}, {"attach", `"` + strings.Repeat("附", 128) + `"`},
		{"out_trade_no", `"a|b*c-_"`}, {"out_trade_no", `"` + strings.Repeat("9", 32) + `"`}, {"client", `"jsapi"`},
		{"expires_at", `"2026-11-21T12:01:01+08:00"`}, {"expires_at", `"2027-02-19T04:00:00Z"`},
		{"expires_at", `"2020-01-01T00:00:00Z"`}, // may be the repeat of an order that exists; the worker knows
	} {
		b := newBench(t)
		answer := b.send(ask("POST", "/v1/orders", with(row[0], row[1])))
		require.Equal(t, http.StatusAccepted, answer.Code, answer.Body)
		require.Len(t, b.submitted, 1)
	}
}

func TestCreateOrder_reports_all_problems_at_once(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	answer := b.send(ask("POST", "/v1/orders", `{"amount_fen":1.5,"client":"native","openid":"x","note":1,"amount_fen":2,"currency":"EUR"}`))
	var fields []string
	for _, e := range problemOf(t, answer).Errors {
		fields = append(fields, e.Field)
	}
	require.ElementsMatch(t, []string{"amount_fen", "amount_fen", "out_trade_no", "appid", "description", "openid", "note", "currency"}, fields)
}

func TestCreateOrder_answers_a_small_request_with_a_bounded_answer(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&many, `"f%d":1,`, i)
	}
	b := newBench(t)
	answer := b.send(ask("POST", "/v1/orders", "{"+many.String()+goodOrder[1:]))
	require.Equal(t, http.StatusUnprocessableEntity, answer.Code)
	require.Len(t, problemOf(t, answer).Errors, 33)
}

func TestCreateOrder_refuses_what_is_no_single_JSON_object(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, ` `, `null`, `[]`, `"x"`, `[` + goodOrder + `]`, goodOrder + `{}`, goodOrder + `x`, goodOrder + `,`,
		goodOrder[:len(goodOrder)-1], strings.Replace(goodOrder, `"CNY"`, `"C`+"\xff"+`Y"`, 1), strings.Replace(goodOrder, `100`, `0100`, 1),
		strings.Replace(goodOrder, `100`, `NaN`, 1), strings.Replace(goodOrder, `:`, ` `, 1), `{"a":` + strings.Repeat("[", 15000), "\ufeff" + goodOrder,
	} {
		b := newBench(t)
		answer := b.send(ask("POST", "/v1/orders", body))
		require.Equal(t, http.StatusBadRequest, answer.Code, body)
		require.Equal(t, problem.Malformed.Code(), problemOf(t, answer).Code)
		require.Empty(t, b.submitted)
	}
}

func digestOf(t require.TestingT, b *bench, body string) string {
	answer := b.send(ask("POST", "/v1/orders", body))
	require.Equal(t, http.StatusAccepted, answer.Code, answer.Body)
	return b.submitted[len(b.submitted)-1].Digest
}

func TestDigest_is_of_the_meaning(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	plain := digestOf(t, b, goodOrder)
	require.Equal(t, plain, digestOf(t, b, " "+strings.ReplaceAll(goodOrder, ",", " ,\n ")+"\n"), "white space")
	require.Equal(t, plain, digestOf(t, b, strings.Replace(goodOrder, "咖", `\u5496`, 1)), "escapes")
	require.Equal(t, plain, digestOf(t, b, with("attach", "")), "order of the fields")
	zoned := digestOf(t, b, with("expires_at", `"2026-11-21T20:00:00+08:00"`))
	require.Equal(t, zoned, digestOf(t, b, with("expires_at", `"2026-11-21T12:00:00.9Z"`)), "time zone and fraction")
	seen := map[string]string{plain: "plain", zoned: "expires_at"}
	for _, row := range [][2]string{
		{"out_trade_no", `"order-0002"`}, {"appid", `"wx9999999999999999"`}, {"client", `"jsapi"`}, {"description", `"咖啡 x2"`},
		{"amount_fen", `101`}, {"openid", `"oOther"`}, {"attach", `"a"`}, {"expires_at", `"2026-11-21T12:00:01Z"`},
	} {
		d := digestOf(t, b, with(row[0], row[1]))
		require.NotContains(t, seen, d, row[0])
		seen[d] = row[0]
	}
}

func TestDigest_does_not_depend_on_how_an_order_is_written(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rapid.Check(t, func(rt *rapid.T) {
		fields := map[string]any{
			"out_trade_no": rapid.StringMatching(`[0-9A-Za-z_|*-]{6,32}`).Draw(rt, "no"), "appid": "wx8888888888888888", "client": "jsapi",
			"description": rapid.StringMatching(`[a-z<>&"\\ 咖啡:]{1,127}`).Draw(rt, "description"), "amount_fen": rapid.Int64Range(1, 10_000_000_000).Draw(rt, "amount"),
			"currency": "CNY", "openid": "o1", "attach": rapid.StringMatching(`[ -~]{1,128}`).Draw(rt, "attach"),
		}
		raw, err := json.Marshal(fields)
		require.NoError(rt, err)
		indented, err := json.MarshalIndent(fields, " ", "\t")
		require.NoError(rt, err)
		first := digestOf(rt, b, string(raw))
		require.Equal(rt, first, digestOf(rt, b, string(indented)))
		var sent map[string]any
		require.NoError(rt, json.Unmarshal(b.submitted[len(b.submitted)-1].Body, &sent))
		require.Equal(rt, fields["description"], sent["description"])
		require.Equal(rt, fields["attach"], sent["attach"])
	})
}
