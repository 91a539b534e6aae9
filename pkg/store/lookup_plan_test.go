package store_test

import (
	"crypto/md5"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/lib/pq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// queryPlan is a node of what EXPLAIN says.
type queryPlan struct {
	Node     string      `json:"Node Type"`
	Relation string      `json:"Relation Name"`
	Index    string      `json:"Index Name"`
	Hit      int         `json:"Shared Hit Blocks"`
	Read     int         `json:"Shared Read Blocks"`
	Plans    []queryPlan `json:"Plans"`
}

func (p queryPlan) walk(visit func(queryPlan)) {
	visit(p)
	for _, child := range p.Plans {
		child.walk(visit)
	}
}

// explained runs a statement of the store and says how PostgreSQL went about it.
func (b *books) explained(file string, args ...any) queryPlan {
	b.t.Helper()
	text, err := os.ReadFile("queries/" + file + ".sql")
	require.NoError(b.t, err)
	var out []byte
	require.NoError(b.t, b.sql.QueryRowContext(b.t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+string(text), args...).Scan(&out), file)
	var plans []struct{ Plan queryPlan }
	require.NoError(b.t, json.Unmarshal(out, &plans))
	return plans[0].Plan
}

// fill gives every table that operators look things up in n rows of each of
// three merchants. None of them is unresolved, as in books that have grown.
func (b *books) fill(n int) {
	b.t.Helper()
	for _, statement := range []string{
		`INSERT INTO orders (mchid, out_trade_no, appid, client, protocol, description, amount_fen, currency, openid, attach, digest, state, sequence, created_at, updated_at, expires_at, prepay_request, transaction_id, paid_at)
			SELECT m, 'T' || g, 'wx', 'jsapi', 'v3', 'tea', 100, 'CNY', 'o', '', 'd', 'paid', 2, now() - make_interval(secs => g), now(), timestamp 'infinity', 'x', '42-' || m || g, now() FROM shops`,
		`INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, key_id, detail, at)
			SELECT m, 'T' || g, s, 'created', 'command', 'created', 'created', '', '', '', now() - make_interval(secs => g) FROM shops, generate_series(1, 2) AS s`,
		`INSERT INTO payments (mchid, transaction_id, out_trade_no, amount_fen, payer_total_fen, currency, openid, trade_type, bank_type, paid_at, observed_at)
			SELECT m, '42-' || m || g, 'T' || g, 100, 99, 'CNY', 'O' || g, 'JSAPI', 'B', now(), now() FROM shops`,
		`INSERT INTO refunds (mchid, out_refund_no, out_trade_no, transaction_id, refund_id, amount_fen, currency, origin, state, sequence, created_at, updated_at, succeeded_at)
			SELECT m, 'R' || g, 'T' || g, '42-' || m || g, 'RID' || m || g, 10, 'CNY', 'platform', 'succeeded', 2, now(), timestamp 'infinity', now() FROM shops`,
		`INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, key_id, detail, at, out_refund_no, refund_from, refund_to)
			SELECT m, 'T' || g, 3 + s, 'refund', 'notification', 'paid', 'paid', '', '', '', now() - make_interval(secs => g), 'R' || g, (ARRAY['', 'processing'])[s], (ARRAY['processing', 'succeeded'])[s] FROM shops, generate_series(1, 2) AS s`,
		`INSERT INTO deliveries (mchid, delivery_id, kind, received_at, headers, body, trace_parent, stream, stream_sequence, stream_index, key_id, notification_id, event_type, out_trade_no, transaction_id)
			SELECT m, gen_random_uuid(), 'notify_v3', now(), '', 'x', '', 'NOTIFY', 1, 0, 'k', 'EV' || m || g, 'T', 'T' || g, '42-' || m || g FROM shops`,
		`INSERT INTO dead_letters (mchid, delivery_id, kind, received_at, headers, body, trace_parent, stream, stream_sequence, stream_index, key_id, notification_id, event_type, out_trade_no, transaction_id, reason, detail, state, resolved_at, first_failed_at)
			SELECT m, gen_random_uuid(), 'notify_v3', now(), '', convert_to(repeat(md5(g::text), 30), 'UTF8'), '', 'NOTIFY', 1, 0, 'k', 'EV' || m || g, 'T', 'T' || g, '42-' || m || g, 'unknown_order', '', 'resolved', now(), now() - make_interval(secs => g) FROM shops`,
		`INSERT INTO anomalies (mchid, transaction_id, kind, out_trade_no, policy, state, expected_fen, actual_fen, observed_at, decision, decided_by, decided_at)
			SELECT m, '42-' || m || g, 'late_payment', 'T' || g, 'accept', 'accepted', 100, 100, now() - make_interval(secs => g), 'accept', 'policy', now() FROM shops`,
		`INSERT INTO outbox (event_id, mchid, out_trade_no, fact, payload) SELECT gen_random_uuid(), m, 'T' || g, 'order.paid', '{}' FROM shops`,
		`INSERT INTO published (event_id, mchid, out_trade_no, fact, payload, created_at, published_at, stream_sequence, duplicate)
			SELECT gen_random_uuid(), m, 'T' || g, 'order.paid', '{}', timestamp 'epoch', now(), 1, false FROM shops`,
		`INSERT INTO accounts (mchid, account_id, unionid, created_at, updated_at) SELECT m, md5(m || g)::uuid, 'U' || g, now(), now() FROM shops`,
		`INSERT INTO identities (mchid, appid, openid, account_id, seen_at) SELECT m, 'wx', 'O' || g, md5(m || g)::uuid, now() FROM shops`,
		`INSERT INTO audit (mchid, audit_id, at, actor, action, subject) SELECT m, gen_random_uuid(), now() - make_interval(secs => g), 'policy', 'anomaly.hold', 'T' || g FROM shops`,
	} {
		b.forge(`WITH shops AS MATERIALIZED (SELECT '190000010' || m AS m, g FROM generate_series(1, 3) AS m, generate_series(1, $1::int) AS g) `+statement, n)
	}
	require.NoError(b.t, b.exec(`VACUUM ANALYZE`))
}

// What an operator looks up or lists costs the same, however far the books
// have grown: every way goes by an index, and touches few pages.
func TestOperators_look_things_up_by_index(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(4000)
	const all, first = "-infinity", "infinity"
	const enough = 250  // pages; the letters alone have two thousand
	const archive = 400 // it is a table for each day, and each is looked at for each merchant
	id := uuid.NewString()
	var noID any
	unsettled := pq.Array([]string{"waiting", "open", "replaying"})
	for _, row := range []struct {
		file string
		args []any
	}{
		{"find_orders", []any{"T77", noID, "", 20}},
		{"find_orders", []any{"T77", noID, "1900000102", 20}},
		{"find_orders", []any{id, id, "", 20}},
		{"find_orders", []any{"RID190000010377", noID, "", 20}},
		{"find_orders", []any{"EV190000010377", noID, "", 20}},
		{"find_letters", []any{"T77", noID, "", 20}},
		{"find_letters", []any{"42-190000010377", noID, "1900000102", 20}},
		{"find_letters", []any{id, id, "", 20}},
		{"find_accounts", []any{"O77", noID, "", 20}},
		{"find_accounts", []any{"U77", noID, "1900000102", 20}},
		{"find_accounts", []any{id, id, "", 20}},
		{"list_buyers_orders", []any{"1900000102", uuid.UUID(md5.Sum([]byte("190000010277"))).String(), 20, 20}},
		{"nth_order", []any{"1900000102", 100}},
		{"timeline", []any{"1900000102", "T77"}},
		{"list_orders", []any{"", "", all, first, "", "", 20}},
		{"list_orders", []any{"1900000102", "paid", all, first, "", "", 20}},
		{"list_ended_orders", []any{"", "closed", all, first, "", "", 20}},
		{"list_unresolved_orders", []any{"", "created", all, first, "", "", 20}},
		{"find_refunds", []any{"R77", "", 20}},
		{"find_refunds", []any{"R77", "1900000102", 20}},
		{"find_refunds", []any{"RID190000010377", "", 20}},
		{"read_refund_moment", []any{"1900000102", "R77"}},
		{"retry_refund", []any{"1900000102", "R77", "token:me", "because"}},
		{"list_unresolved_refunds", []any{"", pq.Array([]string{"requested", "processing", "abnormal"}), all, first, "", "", 20}},
		{"list_resolved_refunds", []any{"", pq.Array([]string{"succeeded", "closed", "failed"}), all, first, "", "", 20}},
		{"list_resolved_refunds", []any{"1900000102", pq.Array([]string{"succeeded"}), all, first, "", "", 20}},
		{"list_ended_refunds", []any{"", "failed", all, first, "", "", 20}},
		{"list_letters", []any{"", "", unsettled, all, all, uuid.Nil.String(), 20}},
		{"list_letters", []any{"", "", pq.Array([]string{"resolved"}), all, all, uuid.Nil.String(), 20}},
		{"group_letters", []any{"", all}},
		{"read_letter", []any{id}},
		{"discard_letter", []any{id, "token:me", "because"}},
		{"list_letters_by_id", []any{pq.Array([]string{id, uuid.NewString()})}},
		{"replay_letters", []any{pq.Array([]string{id, uuid.NewString()}), 500, "token:me", "because"}},
		{"replay_matching_letters", []any{"", "unknown_order", all, 500, "token:me", "because"}},
		{"list_anomalies", []any{"open", "", "", all, all, "", "", "", "", 20}},
		{"list_anomalies", []any{"accepted", "", "", all, all, "", "", "", "", 20}},
		{"list_anomalies", []any{"accepted", "1900000102", "late_payment", all, "2020-01-01", "1900000102", "42", "late_payment", "", 20}},
		{"find_anomalies", []any{"42-190000010377", "", 20}},
		{"find_anomalies", []any{"42-190000010377", "1900000102", 20}},
		{"list_audit", []any{all, first, uuid.Nil.String(), 20}},
		{"read_discard", []any{"1900000102", id}},
		{"lock_letters", []any{pq.Array([]string{"1900000102", "1900000103"}), pq.Array([]string{id, uuid.NewString()})}},
		{"find_stored", []any{pq.Array([]string{id, uuid.NewString()})}},
		{"list_replayable", []any{"", "70000000-0000-0000-0000-000000000000", "71000000-0000-0000-0000-000000000000", uuid.Nil.String(), 20}},
		{"list_replayable", []any{"1900000102", uuid.Nil.String(), "ffffffff-ffff-ffff-ffff-ffffffffffff", "70000000-0000-0000-0000-000000000000", 20}},
		{"count_replayable", []any{"", "70000000-0000-0000-0000-000000000000", "71000000-0000-0000-0000-000000000000", 100000}},
		{"count_replayable", []any{"1900000102", uuid.Nil.String(), "ffffffff-ffff-ffff-ffff-ffffffffffff", 20}},
		{"list_deliveries", []any{"", uuid.Nil.String(), uuid.Max.String(), "", all, 20, false}},
		{"list_deliveries", []any{"1900000102", uuid.Nil.String(), uuid.Max.String(), "", all, 20, true}},
		{"read_delivery", []any{id}},
	} {
		p := b.explained(row.file, row.args...)
		pages := p.Hit + p.Read
		most := enough
		if slices.Contains([]string{"list_deliveries", "read_delivery", "list_replayable", "count_replayable"}, row.file) {
			most = archive
		}
		assert.Less(t, pages, most, "%s %v", row.file, row.args)
		p.walk(func(p queryPlan) {
			if p.Node == "Seq Scan" && p.Hit+p.Read > 1 { // a day with next to no deliveries is one page
				t.Errorf("%s %v reads all of %s", row.file, row.args, p.Relation)
			}
		})
		t.Logf("%s %v: %d pages", row.file, row.args, pages)
	}
}
