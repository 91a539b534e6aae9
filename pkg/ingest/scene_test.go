package ingest_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	goodH5  = `{"out_trade_no":"order-0001","appid":"wx8888888888888888","client":"h5","description":"茶","amount_fen":100,"currency":"CNY","payer_client_ip":"203.0.113.7","h5_type":"Wap","app_name":"茶","app_url":"https://shop.example.com"}`
	goodApp = `{"out_trade_no":"order-0001","appid":"wx8888888888888888","client":"app","description":"茶","amount_fen":100,"currency":"CNY","account_id":"0191d5e4-7a3b-7c00-8000-000000000001"}`
)

// change is an order with one field replaced by raw JSON, or without it.
func change(t *testing.T, order, field, value string) string {
	t.Helper()
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(order), &fields))
	if fields[field] = json.RawMessage(value); value == "" {
		delete(fields, field)
	}
	raw, err := json.Marshal(fields)
	require.NoError(t, err)
	return string(raw)
}

func TestCreateOrder_of_a_page_or_an_app_names_field_value_and_rule(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ order, field, value, says string }{
		{goodH5, "payer_client_ip", ``, `is missing; client "h5" needs the buyer's IP address`},
		{goodH5, "payer_client_ip", `"127.0.0.1"`, `as your server sees it, not 127.0.0.1: behind a proxy, take it from X-Forwarded-For`},
		{goodH5, "payer_client_ip", `"::1"`, `not ::1`},
		{goodH5, "payer_client_ip", `"0.0.0.0"`, `not 0.0.0.0`},
		{goodH5, "payer_client_ip", `"::ffff:127.0.0.1"`, `not ::ffff:127.0.0.1`},
		{goodH5, "payer_client_ip", `"fe80::1%eth0"`, `IPv4 or IPv6 address`},
		{goodH5, "payer_client_ip", `"shop.example.com"`, `IPv4 or IPv6 address`},
		{goodH5, "h5_type", ``, `is missing; client "h5" needs what its page runs in`},
		{goodH5, "h5_type", `"IOS"`, `it must be Wap, iOS or Android`},
		{goodH5, "app_name", `""`, `leave it out`},
		{goodH5, "openid", `"o-1"`, `client "h5" has none`},
		{goodH5, "account_id", `"0191D5E4-7A3B-7C00-8000-000000000001"`, `a UUID in lower case`},
		{goodApp, "openid", `"o-1"`, `client "app" has none`},
		{goodApp, "h5_type", `"Wap"`, `only client "h5" has it, not "app"`},
		{goodApp, "bundle_id", `"com.example"`, `only client "h5" has it`},
		{goodApp, "account_id", `"me"`, `it must be a UUID`},
		{goodOrder, "account_id", `"0191d5e4-7a3b-7c00-8000-000000000001"`, `is named by openid`},
		{goodOrder, "payer_client_ip", `"203.0.113.7"`, `only client "h5" has it`},
	} {
		t.Run(row.field+" "+row.value, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			answer := b.send(ask("POST", "/v1/orders", change(t, row.order, row.field, row.value)))
			require.Equal(t, http.StatusUnprocessableEntity, answer.Code, answer.Body)
			errs := problemOf(t, answer).Errors
			require.Len(t, errs, 1)
			require.Equal(t, row.field, errs[0].Field)
			require.Contains(t, errs[0].Message, row.says)
			require.Empty(t, b.submitted)
		})
	}
}

func TestCreateOrder_hands_on_where_an_order_is_paid_and_whose_it_is(t *testing.T) {
	t.Parallel()
	for _, order := range []string{goodH5, goodApp, change(t, goodApp, "client", `"native"`), change(t, goodApp, "account_id", "")} {
		b := newBench(t)
		answer := b.send(ask("POST", "/v1/orders", order))
		require.Equal(t, http.StatusAccepted, answer.Code, answer.Body)
		require.Len(t, b.submitted, 1)
		var asked, handed map[string]any
		require.NoError(t, json.Unmarshal([]byte(order), &asked))
		require.NoError(t, json.Unmarshal(b.submitted[0].Body, &handed))
		delete(handed, "time_expire")
		require.Equal(t, asked, handed)
	}
}

func TestCreateOrder_digests_tell_what_is_new_and_keep_what_was(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	// Made by the version that knew neither accounts nor H5: orders placed then are
	// found again by it.
	require.Equal(t, "95dcb3d62fada0c664dfe5fa61dc19f2229e36ade84d6bcc48e094f849e3508f", digestOf(t, b, goodOrder))
	seen := map[string]string{}
	for _, order := range []string{
		goodH5, goodApp, change(t, goodApp, "account_id", ""), change(t, goodApp, "client", `"native"`),
		change(t, goodApp, "account_id", `"0191d5e4-7a3b-7c00-8000-000000000002"`),
		change(t, goodH5, "payer_client_ip", `"203.0.113.8"`), change(t, goodH5, "h5_type", `"iOS"`), change(t, goodH5, "app_name", ""),
		change(t, goodH5, "app_url", ""), change(t, change(t, goodH5, "app_url", ""), "bundle_id", `"https://shop.example.com"`),
		change(t, goodH5, "package_name", `"x"`),
	} {
		digest := digestOf(t, b, order)
		require.NotContains(t, seen, digest, order)
		seen[digest] = order
	}
}
