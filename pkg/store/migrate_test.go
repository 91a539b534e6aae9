package store_test

import (
	"database/sql"
	"io/fs"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/schema"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	url := testkit.Database(t, "empty", nil)
	before, err := store.MigrationStatus(t.Context(), url)
	require.NoError(t, err)
	require.NotEmpty(t, before)
	require.Equal(t, len(before), store.Pending(before))
	require.Equal(t, "00001_orders.sql", before[0].Name)
	empty := openBooks(t, url)
	require.Zero(t, empty.count(`SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace`), "asking changes nothing")

	ran := make([]int, 3)
	var together errgroup.Group
	for i := range ran {
		together.Go(func() error {
			migrations, err := store.Migrate(t.Context(), url)
			ran[i] = len(migrations)
			return err
		})
	}
	require.NoError(t, together.Wait(), "several at once wait for each other")
	require.Equal(t, len(before), ran[0]+ran[1]+ran[2])

	after, err := store.MigrationStatus(t.Context(), url)
	require.NoError(t, err)
	require.Zero(t, store.Pending(after))
	require.WithinDuration(t, time.Now(), after[0].AppliedAt, time.Hour)

	require.NoError(t, empty.exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`))
	newer, err := store.MigrationStatus(t.Context(), url)
	require.NoError(t, err)
	require.Len(t, newer, len(after)+1)
	require.Empty(t, newer[len(after)].Name, "a newer program was here: this one has no name for it")
}

func TestMigrate_makes_every_table_of_the_design(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, table := range []string{
		"orders", "payments", "refunds", "refund_attempts", "anomalies", "history", "outbox", "published", "commands",
		"deliveries", "dead_letters", "api_budgets", "job_runs", "audit", "platform_certificates", "delivery_attempts",
		"merchant_gears", "sweeps", "refund_hints", "operator_tokens",
	} {
		require.Equal(t, 1, b.count(`SELECT count(*) FROM pg_class WHERE relname = $1 AND relkind IN ('r', 'p') AND relpersistence = 'p'`, table), table)
	}
	require.Zero(t, b.count(`SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' AND column_name LIKE '%\_fen' AND data_type <> 'bigint'`))
}

// migrateTo brings a database to an older schema.
func migrateTo(t *testing.T, url string, version int64) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	files, err := fs.Sub(schema.Migrations(), "migrations")
	require.NoError(t, err)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
	require.NoError(t, err)
	_, err = provider.UpTo(t.Context(), version)
	require.NoError(t, err)
}

// What a database of the version before holds is still true after the
// migration, and goes on from there.
func TestMigrate_keeps_the_rows_of_the_version_before_refunds(t *testing.T) {
	t.Parallel()
	url := testkit.Database(t, "empty", nil)
	migrateTo(t, url, 6)
	b := openBooks(t, url)
	paid, open := order("T-000001"), order("T-000002")
	for _, statement := range []string{
		`INSERT INTO orders (mchid, out_trade_no, appid, client, protocol, description, amount_fen, currency, openid, attach, digest, state, sequence, created_at, updated_at, expires_at, prepay_request, next_check_at)
			SELECT '1900000109', no, 'wx8888888888888888', 'jsapi', 'v3', 'tea', 100, 'CNY', 'o', '', 'd', 'created', 1, '2026-03-01Z', '2026-03-01Z', '2026-03-02Z', 'x', '2026-03-01Z' FROM unnest(ARRAY['T-000001', 'T-000002']) AS no`,
		`INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, key_id, detail, at)
			SELECT mchid, out_trade_no, 1, 'created', 'command', 'created', 'created', '', '', '', created_at FROM orders`,
		`INSERT INTO payments (mchid, transaction_id, out_trade_no, amount_fen, payer_total_fen, currency, openid, trade_type, bank_type, paid_at, observed_at, refunded_fen)
			VALUES ('1900000109', '42-T-000001', 'T-000001', 100, 99, 'CNY', 'o', 'JSAPI', 'B', '2026-03-01Z', '2026-03-01Z', 10)`,
		`UPDATE orders SET state = 'paid', sequence = 2, transaction_id = '42-T-000001', paid_at = '2026-03-01Z', next_check_at = NULL WHERE out_trade_no = 'T-000001'`,
		`INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, key_id, detail, at)
			VALUES ('1900000109', 'T-000001', 2, 'paid', 'notification', 'created', 'paid', '42-T-000001', 'k', '', '2026-03-01Z')`,
		`INSERT INTO anomalies (mchid, transaction_id, kind, out_trade_no, policy, state, expected_fen, actual_fen, observed_at)
			VALUES ('1900000109', '42-T-000001', 'late_payment', 'T-000001', 'hold', 'open', 100, 100, '2026-03-01Z')`,
		`INSERT INTO refunds (mchid, out_refund_no, out_trade_no, transaction_id, amount_fen, currency, origin, state, sequence, created_at, updated_at, succeeded_at)
			VALUES ('1900000109', 'R-old', 'T-000001', '42-T-000001', 10, 'CNY', 'platform', 'succeeded', 2, '2026-03-01Z', '2026-03-01Z', '2026-03-01Z')`,
		`INSERT INTO refund_attempts (mchid, out_refund_no, attempt, started_at, finished_at, outcome) VALUES ('1900000109', 'R-old', 1, '2026-03-01Z', '2026-03-01Z', 'rejected')`,
		`INSERT INTO commands (mchid, command_id, kind, out_trade_no, digest, outcome, status, body, received_at, finished_at)
			VALUES ('1900000109', '019c0000-0000-7000-8000-000000000001', 'order.create', 'T-000001', 'd', 'done', 201, '{}', '2026-03-01Z', '2026-03-01Z')`,
		`INSERT INTO api_budgets (mchid, api, milli_tokens, milli_rate, milli_burst) VALUES ('1900000109', 'order_query', 0, 1000, 1000)`,
	} {
		require.NoError(t, b.exec(statement), statement)
	}

	ran, err := store.Migrate(t.Context(), url)
	require.NoError(t, err)
	require.NotEmpty(t, ran)
	require.EqualValues(t, 7, ran[0].Version)
	require.Equal(t, pay.APIOrderQuery, b.order(open).CheckAPI)
	require.Zero(t, b.order(open).CloseCount)
	story := b.story(paid)
	require.Len(t, story.History, 2)
	require.Equal(t, story.Payments[0].ObservedAt, story.Payments[0].NotifiedAt)
	require.Equal(t, pay.RefundSucceeded, story.Refunds[0].State)
	require.Nil(t, story.Refunds[0].Request)
	require.Len(t, story.Refunds[0].Attempts, 1)
	require.Empty(t, story.Anomalies[0].OutRefundNo)
	result, found, err := b.Command(t.Context(), shop, "019c0000-0000-7000-8000-000000000001")
	require.NoError(t, err)
	require.True(t, found)
	require.Empty(t, result.OutRefundNo)

	// And on: the rest goes back, and the other order is paid.
	rest := wish(paid, "R-new", 91)
	require.Equal(t, pay.RefusedTooMuch, b.told(rest)[0].Refusal.Reason)
	b.told(wish(paid, "R-new", 90), seen(paid, "R-new", 90, pay.RefundSucceeded), payment(open, txOf(open)))
	require.Equal(t, pay.AnomalyRefunded, b.story(paid).Anomalies[0].State)
	require.Equal(t, pay.OrderPaid, b.order(open).State)
	b.mustBalance()
}

func idAt(t time.Time) pay.DeliveryID {
	id := uuid.Must(uuid.NewV7())
	ms := uint64(t.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return pay.DeliveryID(id.String())
}

func TestEnsurePartitions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	partitionOf := func(id pay.DeliveryID) string {
		return b.text(`SELECT tableoid::regclass FROM deliveries WHERE delivery_id = $1`, string(id))
	}
	deliver := func(at time.Time) pay.DeliveryID {
		e := arrived(payment(order("T-unknown-order"), "4200"))
		e.Delivery.ID = idAt(at)
		b.settle(e)
		return e.Delivery.ID
	}

	// They are there from the first migration on.
	now := time.Now().UTC()
	require.Equal(t, "deliveries_"+now.Format("20060102"), partitionOf(deliver(now)))
	require.Equal(t, "deliveries_"+now.AddDate(0, 0, 14).Format("20060102"), partitionOf(deliver(now.AddDate(0, 0, 14))))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM pg_class WHERE relname = $1`, "published_"+now.Format("200601")))

	// They take back what went to DEFAULT, from the first millisecond of the day to the last.
	day := time.Date(2031, 12, 31, 0, 0, 0, 0, time.UTC)
	first, last := deliver(day), deliver(day.Add(24*time.Hour-time.Millisecond))
	before, after := deliver(day.AddDate(0, 0, -2)), deliver(day.AddDate(0, 0, 15))
	require.Equal(t, "deliveries_default", partitionOf(first))
	ages, err := b.OldestAges(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 4, ages.StrayRows)

	var together errgroup.Group
	for range 3 {
		together.Go(func() error { return b.EnsurePartitions(t.Context(), day.Add(3*time.Hour)) })
	}
	require.NoError(t, together.Wait())
	require.Equal(t, "deliveries_20311231", partitionOf(first))
	require.Equal(t, "deliveries_20311231", partitionOf(last))
	require.Equal(t, "deliveries_default", partitionOf(before))
	require.Equal(t, "deliveries_default", partitionOf(after))
	require.Equal(t, 2, b.count(`SELECT count(*) FROM pg_class WHERE relname IN ('published_203112', 'published_203201')`))
	require.NoError(t, b.EnsurePartitions(t.Context(), day), "again is nothing")

	// They keep the rules of their parent.
	require.Equal(t, "deliveries_are_never_changed", refusedBy(t, b.exec(`UPDATE deliveries_20311231 SET body = ''`)))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM pg_constraint WHERE conrelid = 'deliveries_20311231'::regclass AND contype = 'p'`))

	// They are made while a settlement is under way.
	busy, err := b.sql.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, busy.Rollback()) }()
	_, err = busy.ExecContext(t.Context(), `INSERT INTO deliveries SELECT mchid, gen_random_uuid(), kind, received_at, headers, body, trace_parent, stream, stream_sequence, stream_index, key_id, notification_id, event_type, out_trade_no, transaction_id FROM deliveries_20311231 LIMIT 0`)
	require.NoError(t, err)
	_, err = busy.ExecContext(t.Context(), `INSERT INTO deliveries SELECT mchid, $1::uuid, kind, received_at, headers, body, trace_parent, stream, stream_sequence, stream_index, key_id, notification_id, event_type, out_trade_no, transaction_id FROM deliveries_20311231 LIMIT 1`, string(idAt(time.Now())))
	require.NoError(t, err)
	require.NoError(t, b.EnsurePartitions(t.Context(), time.Date(2032, 6, 1, 0, 0, 0, 0, time.UTC)))
}
