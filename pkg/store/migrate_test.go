package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
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
	} {
		require.Equal(t, 1, b.count(`SELECT count(*) FROM pg_class WHERE relname = $1 AND relkind IN ('r', 'p') AND relpersistence = 'p'`, table), table)
	}
	require.Zero(t, b.count(`SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' AND column_name LIKE '%\_fen' AND data_type <> 'bigint'`))
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
