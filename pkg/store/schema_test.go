package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// refusedBy says which rule of the schema refused a statement.
func refusedBy(t *testing.T, err error) string {
	t.Helper()
	var refused *pq.Error
	require.ErrorAs(t, err, &refused)
	return refused.Constraint
}

func TestQueries_are_prepared_against_the_schema(t *testing.T) {
	t.Parallel()
	b := setup(t)
	files, err := filepath.Glob("queries/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(text), "-- "), "%s opens with what it is for", file)
		require.NotContains(t, strings.ToUpper(string(text)), "SELECT *", file)
		name := strings.TrimSuffix(filepath.Base(file), ".sql")
		require.NoError(t, b.exec("PREPARE "+name+" AS "+string(text)), file)
	}
}

func orderStates() []pay.OrderState {
	return []pay.OrderState{pay.OrderCreated, pay.OrderAwaitingPayment, pay.OrderPaid, pay.OrderClosed, pay.OrderFailed}
}

// seedOrder puts an order into a state along the table.
func (b *books) seedOrder(state pay.OrderState) pay.Order {
	o := b.place()
	switch state {
	case pay.OrderCreated:
	case pay.OrderAwaitingPayment:
		b.settle(arrived(observe(o, pay.ObservedPrepared)))
	case pay.OrderPaid:
		b.settle(arrived(payment(o, pay.TransactionID("seed-"+o.OutTradeNo))))
	case pay.OrderClosed:
		b.settle(arrived(observe(o, pay.ObservedClosed)))
	case pay.OrderFailed:
		refused := observe(o, pay.ObservedRefused)
		refused.Code = "PARAM_ERROR"
		b.settle(arrived(refused))
	}
	require.Equal(b.t, state, b.order(o).State)
	return o
}

func TestSchema_orders_move_along_the_table_of_the_code_and_no_other_way(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, from := range orderStates() {
		for _, to := range orderStates() {
			t.Run(fmt.Sprintf("%s to %s", from, to), func(t *testing.T) {
				t.Parallel()
				o := b.seedOrder(from)
				tx := "move-" + string(o.OutTradeNo)
				if from != pay.OrderPaid { // a payment to point at
					_, err := b.Settle(t.Context(), []pay.Entry{arrived(mismatched(o, pay.TransactionID(tx)))}, defaults)
					require.NoError(t, err)
				} else {
					tx = string(b.order(o).TransactionID)
				}
				err := b.exec(`UPDATE orders SET state = $3, sequence = sequence + 1, closed_at = now(), next_check_at = now(),
					transaction_id = CASE WHEN $3 = 'paid' THEN $4 END, paid_at = CASE WHEN $3 = 'paid' THEN coalesce(paid_at, now()) END
					WHERE mchid = $1 AND out_trade_no = $2`, string(o.MchID), string(o.OutTradeNo), string(to), tx)
				if from == to || pay.CanMove(from, to) {
					require.NoError(t, err)
					require.Equal(t, from == to, b.count(`SELECT count(*) FROM (SELECT 1 WHERE order_may_move($1, $2)) AS yes`, string(from), string(to)) == 0)
					return
				}
				require.Contains(t, []string{"orders_move_along_the_table", "orders_terms_are_fixed"}, refusedBy(t, err))
				require.Zero(t, b.count(`SELECT count(*) FROM (SELECT 1 WHERE order_may_move($1, $2)) AS yes`, string(from), string(to)))
			})
		}
	}
}

func mismatched(o pay.Order, tx pay.TransactionID) pay.Observation {
	obs := payment(o, tx)
	obs.Amount = 1
	return obs
}

func refundStates() []pay.RefundState {
	return []pay.RefundState{pay.RefundRequested, pay.RefundProcessing, pay.RefundSucceeded, pay.RefundClosed, pay.RefundAbnormal, pay.RefundFailed}
}

// seedRefund puts a refund into a state along the table.
func (b *books) seedRefund(state pay.RefundState) pay.OutRefundNo {
	o := b.paidOrder()
	no := refundOf(o, 1)
	b.told(wish(o, no, 1))
	switch state {
	case pay.RefundRequested:
	case pay.RefundProcessing, pay.RefundSucceeded, pay.RefundClosed, pay.RefundAbnormal:
		b.told(seen(o, no, 1, state))
	case pay.RefundFailed:
		b.attempted(no, 1, pay.AttemptRejected, noon, noon.Add(time.Second))
		b.told(missing(o, no, noon.Add(time.Hour)))
	}
	require.Equal(b.t, state, b.refund(no).State)
	return no
}

func TestSchema_refunds_move_along_the_table_of_the_code_and_no_other_way(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, from := range refundStates() {
		for _, to := range refundStates() {
			t.Run(fmt.Sprintf("%s to %s", from, to), func(t *testing.T) {
				t.Parallel()
				no := b.seedRefund(from)
				require.Equal(t, pay.CanMoveRefund(from, to), b.count(`SELECT count(*) FROM (SELECT 1 WHERE refund_may_move($1, $2)) AS yes`, string(from), string(to)) == 1)
				err := b.exec(`UPDATE refunds SET state = $2, succeeded_at = now(), next_check_at = now() WHERE out_refund_no = $1`, string(no), string(to))
				if from == to || pay.CanMoveRefund(from, to) {
					require.NoError(t, err)
					return
				}
				require.Equal(t, "refunds_move_along_the_table", refusedBy(t, err))
			})
		}
	}
}

func TestSchema_refunds_begin_as_they_must(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paidOrder()
	for _, origin := range []pay.RefundOrigin{pay.RefundByCommand, pay.RefundByPolicy, pay.RefundByOperator, pay.RefundByPlatform} {
		for _, state := range refundStates() {
			err := b.exec(refund("origin", "'"+string(origin)+"'", "state", "'"+string(state)+"'", "out_refund_no", fmt.Sprintf("'%s-%s'", origin, state)))
			begins := pay.RefundRequested
			if origin == pay.RefundByPlatform {
				begins = pay.RefundProcessing
			}
			if state == begins {
				require.NoError(t, err)
				continue
			}
			require.Equal(t, "refunds_begin_as_requested", refusedBy(t, err), "%s of %s", state, origin)
		}
	}
}

func TestSchema_keeps_the_terms_of_a_refund(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	other := b.paidOrder()
	no := refundOf(o, 1)
	b.told(wish(o, no, 40), seen(o, no, 40, pay.RefundProcessing))
	require.NoError(t, b.exec(`UPDATE refunds SET request = '{"amount":40}'`), "made once")
	for _, change := range []string{
		`amount_fen = 41`, `amount_fen = 39`, `currency = 'USD'`, `origin = 'operator'`, `out_refund_no = 'another'`, `mchid = '1900000110'`,
		`transaction_id = '` + string(txOf(other)) + `'`, `out_trade_no = '` + string(other.OutTradeNo) + `'`, `reason = 'other'`, `funds = 'available'`,
		`digest = 'other'`, `request = '{"amount":41}'`, `request = NULL`, `refund_id = ''`, `refund_id = 'another'`, `sequence = 1`,
	} {
		require.Equal(t, "refunds_terms_are_fixed", refusedBy(t, b.exec(`UPDATE refunds SET `+change)), change)
	}
}

func TestSchema_holds_the_rules_of_money(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paid, open := b.place(), b.place()
	b.settle(arrived(payment(paid, "4200")))
	for _, rule := range []struct{ refusedBy, statement string }{
		{"orders_terms_are_fixed", `UPDATE orders SET amount_fen = 1`},
		{"orders_terms_are_fixed", `UPDATE orders SET transaction_id = 'other' WHERE state = 'paid'`},
		{"orders_terms_are_fixed", `UPDATE orders SET sequence = 0`},
		{"orders_terms_are_fixed", `UPDATE orders SET paid_at = now() WHERE state = 'paid'`},
		{"orders_terms_are_fixed", `UPDATE orders SET mchid = '1900000110' WHERE state = 'created'`},
		{"orders_terms_are_fixed", `UPDATE orders SET out_trade_no = 'another' WHERE state = 'created'`},
		{"orders_terms_are_fixed", `UPDATE orders SET appid = 'wx0000000000000000'`},
		{"orders_terms_are_fixed", `UPDATE orders SET client = 'native'`},
		{"orders_terms_are_fixed", `UPDATE orders SET protocol = 'v2'`},
		{"orders_terms_are_fixed", `UPDATE orders SET description = 'another'`},
		{"orders_terms_are_fixed", `UPDATE orders SET currency = 'USD'`},
		{"orders_terms_are_fixed", `UPDATE orders SET openid = 'another'`},
		{"orders_terms_are_fixed", `UPDATE orders SET attach = 'another'`},
		{"orders_terms_are_fixed", `UPDATE orders SET digest = 'another'`},
		{"orders_terms_are_fixed", `UPDATE orders SET prepay_request = 'another'`},
		{"orders_terms_are_fixed", `UPDATE orders SET account_id = gen_random_uuid()`},
		{"orders_are_kept", `DELETE FROM orders WHERE state = 'created'`},
		{"orders_are_never_emptied", `TRUNCATE orders CASCADE`},
		{"orders_sequence_grows", `UPDATE orders SET state = 'closed', closed_at = now() WHERE state = 'created'`},
		{"orders_unresolved_has_a_check", `UPDATE orders SET next_check_at = NULL WHERE state = 'created'`},
		{"orders_paid_names_its_payment", `UPDATE orders SET state = 'paid', sequence = sequence + 1 WHERE state = 'created'`},
		{"orders_payment_exists", `UPDATE orders SET state = 'paid', sequence = sequence + 1, transaction_id = 'nowhere', paid_at = now() WHERE state = 'created'`},
		{"orders_only_paid_is_late", `UPDATE orders SET late = true WHERE state = 'created'`},
		{"orders_begin_as_created", copyOrder("state", "'paid'")},
		{"orders_begin_as_created", copyOrder("sequence", "5")},
		{"orders_amount_is_positive", copyOrder("amount_fen", "0")},
		{"orders_currency_is_set", copyOrder("currency", "''")},
		{"orders_client_is_known", copyOrder("client", "'fax'")},
		{"payments_refunds_within_amount", `UPDATE payments SET reserved_fen = 60, refunded_fen = 41`},
		{"payments_refunds_within_amount", `UPDATE payments SET refunded_fen = 101`},
		{"payments_refunded_not_negative", `UPDATE payments SET refunded_fen = -1`},
		{"payments_amount_is_positive", copyPayment("amount_fen", "0")},
		{"payments_order_exists", copyPayment("out_trade_no", "'nowhere'")},
		{"payments_terms_are_fixed", `UPDATE payments SET mchid = '1900000110'`},
		{"payments_terms_are_fixed", `UPDATE payments SET transaction_id = 'another'`},
		{"payments_terms_are_fixed", `UPDATE payments SET out_trade_no = 'another'`},
		{"payments_terms_are_fixed", `UPDATE payments SET amount_fen = amount_fen + 1`},
		{"payments_terms_are_fixed", `UPDATE payments SET payer_total_fen = 1`},
		{"payments_terms_are_fixed", `UPDATE payments SET currency = 'USD'`},
		{"payments_terms_are_fixed", `UPDATE payments SET openid = 'another'`},
		{"payments_terms_are_fixed", `UPDATE payments SET trade_type = 'NATIVE'`},
		{"payments_terms_are_fixed", `UPDATE payments SET bank_type = 'another'`},
		{"payments_terms_are_fixed", `UPDATE payments SET paid_at = now()`},
		{"payments_are_kept", `DELETE FROM payments`},
		{"payments_are_never_emptied", `TRUNCATE payments, orders, anomalies, refunds, refund_attempts`},
		{"refunds_are_never_emptied", `TRUNCATE refunds CASCADE`},
		{"refund_attempts_are_never_emptied", `TRUNCATE refund_attempts`},
		{"refunds_fit_their_payment", refund("origin", "'command'", "state", "'requested'", "amount_fen", "amount_fen + 1")},
		{"refunds_fit_their_payment", refund("out_trade_no", "'another'")},
		{"history_is_append_only", `UPDATE history SET detail = 'x'`},
		{"history_is_append_only", `DELETE FROM history`},
		{"history_is_never_emptied", `TRUNCATE history`},
		{"history_move_is_legal", `INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, key_id, detail, at) VALUES ('1', 'x', 1, 'x', 'query', 'paid', 'closed', '', '', '', now())`},
		{"deliveries_are_never_changed", `UPDATE deliveries SET body = ''`},
		{"refunds_amount_is_positive", refund("amount_fen", "0")},
		{"refunds_unresolved_has_a_check", refund("next_check_at", "NULL")},
		{"refunds_begin_as_requested", refund("origin", "'command'")},
		{"refunds_origin_is_known", refund("origin", "'rumour'", "state", "'requested'")},
		{"refunds_funds_is_known", refund("funds", "'purse'")},
		{"orders_check_api_is_known", `UPDATE orders SET check_api = 'refund'`},
		{"orders_close_count_not_negative", `UPDATE orders SET close_count = -1`},
		{"history_source_is_known", `INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, key_id, detail, at) VALUES ('1', 'x', 1, 'x', 'rumour', 'paid', 'paid', '', '', '', now())`},
		{"history_refund_move_is_legal", `INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, key_id, detail, at, refund_from, refund_to) VALUES ('1', 'x', 1, 'x', 'query', 'paid', 'paid', '', '', '', now(), 'succeeded', 'processing')`},
		{"history_refund_move_is_legal", `INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, key_id, detail, at, refund_from, refund_to) VALUES ('1', 'x', 1, 'x', 'query', 'paid', 'paid', '', '', '', now(), '', 'succeeded')`},
		{"refunds_payment_exists", refund("transaction_id", "'nowhere'")},
	} {
		require.Equal(t, rule.refusedBy, refusedBy(t, b.exec(rule.statement)), rule.statement)
	}
	require.NoError(t, b.exec(`UPDATE payments SET overrun_fen = 1, refunded_fen = 101`))
	require.NoError(t, b.exec(`INSERT INTO audit (audit_id, actor, action) VALUES (gen_random_uuid(), 'me', 'look')`))
	require.Equal(t, "audit_is_append_only", refusedBy(t, b.exec(`UPDATE audit SET actor = 'you'`)))
	require.Equal(t, "audit_is_append_only", refusedBy(t, b.exec(`DELETE FROM audit`)))
	require.Equal(t, open, b.order(open))
}

// Only what is written is looked at: what is claimed or planned, a thousand rows
// in one statement, pays for no rule about other columns.
func TestSchema_rules_cost_nothing_where_they_do_not_apply(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for table, columns := range map[string][]string{
		"orders":          {"next_check_at", "check_api", "close_count", "close_requested_at", "checked_at"},
		"payments":        {"refunded_fen", "reserved_fen", "overrun_fen", "notified_at"},
		"refunds":         {"next_check_at", "check_api", "check_count", "leased_until", "failure_code", "failure_reason"},
		"refund_attempts": {},
	} {
		require.Zero(t, b.count(`SELECT count(*) FROM pg_trigger AS g WHERE g.tgrelid = $1::regclass AND NOT g.tgisinternal
			AND g.tgtype & 16 > 0 AND g.tgattr = ''::int2vector`, table), "%s: a rule for all columns", table)
		require.Zero(t, b.count(`SELECT count(*) FROM pg_trigger AS g JOIN pg_attribute AS a ON a.attrelid = g.tgrelid AND a.attnum = ANY (g.tgattr)
			WHERE g.tgrelid = $1::regclass AND NOT g.tgisinternal AND a.attname = ANY ($2)`, table, pq.Array(columns)), table)
	}
}

func TestSchema_books_what_WeChat_Pay_gave_back_whatever_it_was(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paidOrder()
	require.NoError(t, b.exec(refund("amount_fen", "amount_fen + 1")))
	require.NoError(t, b.exec(refund("out_refund_no", "'R2'", "origin", "'command'", "state", "'requested'", "amount_fen", "amount_fen")))
}

func TestSchema_keeps_an_attempt_as_it_began(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.wished(b.paidOrder(), 1, 40)
	b.attempted(no, 1, pay.AttemptUnknown, noon, time.Time{})
	for _, change := range []string{`mchid = '1900000110'`, `out_refund_no = 'another'`, `attempt = 2`, `started_at = started_at - interval '1 hour'`} {
		require.Equal(t, "refund_attempts_begin_once", refusedBy(t, b.exec(`UPDATE refund_attempts SET `+change)), change)
	}
	require.NoError(t, b.EndAttempt(t.Context(), shop, no, pay.Attempt{Number: 1, Outcome: pay.AttemptRejected, Code: "PARAM_ERROR", RequestID: "req-1"}))
	for _, change := range []string{`outcome = 'accepted'`, `code = ''`, `status = 200`, `request_id = 'req-2'`, `finished_at = NULL, outcome = 'unknown'`} {
		require.Equal(t, "refund_attempts_end_once", refusedBy(t, b.exec(`UPDATE refund_attempts SET `+change)), change)
	}
}

// copyPayment inserts a copy of the payments with one column changed.
func copyPayment(column, value string) string {
	columns := []string{"mchid", "transaction_id", "out_trade_no", "amount_fen", "payer_total_fen", "currency", "openid", "trade_type", "bank_type", "paid_at", "observed_at"}
	values := strings.Join(columns, ", ")
	values = strings.Replace(values, "transaction_id", "'copy'", 1)
	values = strings.Replace(values, column, value, 1)
	return "INSERT INTO payments (" + strings.Join(columns, ", ") + ") SELECT " + values + " FROM payments"
}

// copyOrder inserts a copy of an order with one column changed.
func copyOrder(column, value string) string {
	columns := []string{"mchid", "out_trade_no", "appid", "client", "protocol", "description", "amount_fen", "currency", "openid", "attach", "digest", "state", "sequence", "created_at", "updated_at", "expires_at", "prepay_request", "next_check_at"}
	values := strings.Join(columns, ", ")
	values = strings.Replace(values, "out_trade_no", "'copy'", 1)
	values = strings.Replace(values, column, value, 1)
	return "INSERT INTO orders (" + strings.Join(columns, ", ") + ") SELECT " + values + " FROM orders WHERE state = 'created' LIMIT 1"
}

// refund inserts a refund that WeChat Pay told of, with some columns changed:
// names and values by turns.
func refund(changes ...string) string {
	columns := "mchid, out_refund_no, out_trade_no, transaction_id, amount_fen, currency, funds, origin, state, sequence, created_at, updated_at, next_check_at, succeeded_at"
	values := map[string]string{
		"mchid": "mchid", "out_refund_no": "'R1'", "out_trade_no": "out_trade_no", "transaction_id": "transaction_id", "amount_fen": "1", "currency": "currency", "funds": "'default'",
		"origin": "'platform'", "state": "'processing'", "sequence": "1", "created_at": "now()", "updated_at": "now()", "next_check_at": "now()", "succeeded_at": "now()",
	}
	for i := 0; i < len(changes); i += 2 {
		values[changes[i]] = changes[i+1]
	}
	list := strings.Split(columns, ", ")
	for i, c := range list {
		list[i] = values[c]
	}
	return "INSERT INTO refunds (" + columns + ") SELECT " + strings.Join(list, ", ") + " FROM payments"
}
