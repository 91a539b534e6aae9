package testkit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// run executes statements on a connection of its own.
func run(ctx context.Context, url string, statements ...string) (err error) {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func TestDatabase_is_migrated_once_and_belongs_to_one_test(t *testing.T) {
	t.Parallel()
	var migrations atomic.Int64
	key := t.TempDir() // another one each time the test runs in this binary
	migrate := func(ctx context.Context, url string) error {
		migrations.Add(1)
		return run(ctx, url, "CREATE TABLE orders (n int UNIQUE)")
	}
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		for i := range 8 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				url := testkit.Database(t, key, migrate)
				require.NoError(t, run(t.Context(), url, "INSERT INTO orders VALUES (1)"), "another test wrote into this database")
			})
		}
		t.Cleanup(func() { require.EqualValues(t, 1, migrations.Load()) })
	})
}

func TestDatabase_templates_are_told_apart_by_their_key(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"one", "two"} {
		url := testkit.Database(t, table, func(ctx context.Context, url string) error {
			return run(ctx, url, "CREATE TABLE "+table+" ()")
		})
		require.NoError(t, run(t.Context(), url, "SELECT FROM "+table))
	}
	require.Error(t, run(t.Context(), testkit.Database(t, "", nil), "SELECT FROM one"), "an empty database is not empty")
}

func TestDatabase_is_dropped_when_its_test_ends(t *testing.T) {
	t.Parallel()
	var held *sql.DB
	var url string
	t.Cleanup(func() {
		require.NoError(t, held.Close())
		require.ErrorContains(t, run(context.Background(), url, "SELECT 1"), "does not exist")
	})
	t.Run("even while somebody is connected", func(t *testing.T) {
		t.Parallel()
		url = testkit.Database(t, "", nil)
		var err error
		held, err = sql.Open("postgres", url)
		require.NoError(t, err)
		require.NoError(t, held.PingContext(t.Context()))
	})
}

func TestOwnPostgres_can_be_killed_without_harm_to_others(t *testing.T) {
	t.Parallel()
	others := testkit.Database(t, "", nil)
	own := testkit.OwnPostgres(t, func(o *servers.PostgresOptions) { o.Settings = map[string]string{"fsync": "off"} })
	require.NoError(t, own.Kill())
	require.Error(t, run(t.Context(), own.URL("postgres"), "SELECT 1"))
	require.NoError(t, run(t.Context(), others, "SELECT 1"))
	require.NoError(t, own.Restart())
	require.NoError(t, run(t.Context(), own.URL("postgres"), "SELECT 1"))
}

func TestNATS_and_Redis_are_the_tests_own(t *testing.T) {
	t.Parallel()
	one, two := testkit.NATS(t), testkit.NATS(t, func(o *servers.NATSOptions) { o.LazySync = true })
	require.NotEqual(t, one.URL(), two.URL())
	nc, err := nats.Connect(one.URL())
	require.NoError(t, err)
	nc.Close()
	first, second := testkit.Redis(t), testkit.Redis(t)
	require.NotEqual(t, first.URL(), second.URL())
}

func TestFreeAddr_can_be_listened_on(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", testkit.FreeAddr(t))
	require.NoError(t, err)
	require.NoError(t, listener.Close())
}

func TestClock_moves_only_when_told(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 7, 1, 10, 0, 0, 0, time.FixedZone("Beijing", 8*3600))
	clock := testkit.NewClock(start)
	require.Equal(t, start.UTC(), clock.Now())
	require.Equal(t, start.UTC(), clock.Now())
	require.Equal(t, start.UTC().Add(time.Minute), clock.Advance(time.Minute))
	clock.Set(start)
	require.Equal(t, start.UTC(), clock.Now())
}

// BenchmarkDatabase tells what a test pays for a database of its own.
func BenchmarkDatabase(b *testing.B) {
	migrate := func(ctx context.Context, url string) error { return run(ctx, url, "CREATE TABLE orders (n int)") }
	testkit.Database(b, "bench", migrate)
	for b.Loop() {
		testkit.Database(b, "bench", migrate)
	}
}
