package subscribe

import (
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/testkit"
)

func nkey(t *testing.T) (seed []byte, public string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	seed, err = pair.Seed()
	require.NoError(t, err)
	public, err = pair.PublicKey()
	require.NoError(t, err)
	return seed, public
}

func TestOpen_says_everything_that_is_wrong(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), Options{})
	require.ErrorContains(t, err, "URL is missing")
	require.ErrorContains(t, err, "DB is missing")
	require.ErrorContains(t, err, `Consumer "" is no name`)

	db := openDB(t, "postgres://127.0.0.1:1/?sslmode=disable")
	for says, spoil := range map[string]func(*Options){
		`Consumer "a.b" is no name`:       func(o *Options) { o.Consumer = "a.b" },
		"SeedFile and User are both set":  func(o *Options) { o.SeedFile, o.User = "a", "b" },
		"less than one event":             func(o *Options) { o.Concurrency = -1 },
		"cannot be negative":              func(o *Options) { o.Grace = -1 },
		"keep them 100 days or more":      func(o *Options) { o.Keep = 99 * day },
		`table "a; DROP TABLE b" must be`: func(o *Options) { o.Table = "a; DROP TABLE b" },
		"read the seed file no.nk":        func(o *Options) { o.SeedFile = "no.nk" },
		`APIPrefix "a.*" is no`:           func(o *Options) { o.APIPrefix = "a.*" },
		"parse \"nats://127.0.0.1:x\"":    func(o *Options) { o.URL = "nats://127.0.0.1:x" },
		"invalid custom prefix":           func(o *Options) { o.InboxPrefix = "_INBOX.*" },
	} {
		o := Options{URL: "nats://127.0.0.1:1", Consumer: "shop", DB: db, OnError: func(Failure) {}}
		spoil(&o)
		_, err := Open(t.Context(), o)
		require.ErrorContains(t, err, says, says)
		require.ErrorContains(t, err, "open inbox: ")
	}
}

func TestOpen_refuses_a_wrong_password(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := shopOptions(w.broker.URL(), w.db)
	o.Password = "wrong-and-secret"
	_, err := Open(t.Context(), o)
	require.ErrorContains(t, err, "connect to NATS as subscriber")
	require.NotContains(t, err.Error(), "wrong-and-secret")
}

func TestOptions_show_no_secret(t *testing.T) {
	t.Parallel()
	o := Options{URL: "nats://me:sesame@a:4222, nats://token-sesame@b:4222,:sesame", Consumer: "shop", Name: "till", User: "me", Password: "sesame"}
	var text strings.Builder
	slog.New(slog.NewJSONHandler(&text, nil)).Info("options", "o", o)
	for _, shown := range []string{text.String(), fmt.Sprint(o), fmt.Sprintf("%v %+v %#v %s %q", o, o, o, o, o)} {
		require.NotContains(t, shown, "sesame")
		require.Contains(t, shown, "inbox till of consumer shop at nats://a:4222,nats://b:4222,(not a URL)")
	}
}

func TestEnsureTable_by_many_at_once(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.db.ExecContext(t.Context(), `CREATE SCHEMA "Tea"`)
	require.NoError(t, err)
	failed := make(chan error, 16) // one of each
	for range cap(failed) {
		go func() { failed <- EnsureTable(t.Context(), w.db, "Tea.Inbox") }()
	}
	for range cap(failed) {
		require.NoError(t, <-failed)
	}
	var n int
	require.NoError(t, w.db.QueryRowContext(t.Context(), `SELECT count(*) FROM "Tea"."Inbox"`).Scan(&n))
	require.NoError(t, w.db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_indexes WHERE schemaname = 'Tea'`).Scan(&n))
	require.Equal(t, 2, n)
	require.ErrorContains(t, EnsureTable(t.Context(), w.db, "no.such"), `ensure table no.such: pq: schema "no" does not exist`)
	require.ErrorContains(t, EnsureTable(t.Context(), w.db, `x"`), "must be a name")
}

// A database user who may make no table can use one that a migration made.
func TestInbox_needs_no_right_to_make_a_table(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.db.ExecContext(t.Context(), DDL)
	require.NoError(t, err)
	role := strings.ReplaceAll(w.dbURL[strings.LastIndex(w.dbURL, "/")+1:strings.Index(w.dbURL, "?")], "test_", "poor_")
	_, err = w.db.ExecContext(t.Context(), fmt.Sprintf(`REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE %[1]s LOGIN;
		GRANT INSERT, SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %[1]s`, role))
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = w.db.Exec(`DROP OWNED BY ` + role + `; DROP ROLE ` + role) })
	poor := openDB(t, strings.Replace(w.dbURL, "fenflow@", role+"@", 1))
	_, err = poor.ExecContext(t.Context(), `CREATE TABLE x ()`)
	require.ErrorContains(t, err, "permission denied")
	i, seen := w.open(t, func(o *Options) { o.DB = poor })
	facts := storyOf(3)
	w.publish(t, facts...)
	run(t, i, shop)
	w.drained(t)
	w.requireOneEffect(t, facts)
	require.Empty(t, seen.of(""))
}

// The table is missing and cannot be made yet.
func TestInbox_waits_for_its_table(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, seen := w.open(t, func(o *Options) { o.Table = "till.events" })
	facts := storyOf(3)
	w.publish(t, facts...)
	run(t, i, shop)
	require.Eventually(t, func() bool { return len(seen.of(StepTable)) >= 2 }, soon, often)
	_, err := w.db.ExecContext(t.Context(), `CREATE SCHEMA till`)
	require.NoError(t, err)
	w.drained(t)
	var n int
	require.NoError(t, w.db.QueryRowContext(t.Context(), `SELECT count(*) FROM till.events`).Scan(&n))
	require.Equal(t, distinct(facts), n)
}

// aged puts n events of a name into the table that are so many days old.
func aged(t *testing.T, db *sql.DB, name string, n, days int) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `INSERT INTO fenflow_inbox SELECT $1, gen_random_uuid(), now() - $2 * interval '1 day' FROM generate_series(1, $3)`, name, days, n)
	require.NoError(t, err)
}

func TestPrune_forgets_what_is_old_and_nothing_else(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, _ := w.open(t)
	require.NoError(t, EnsureTable(t.Context(), w.db, DefaultTable))
	aged(t, w.db, "business", 2*pruneBatch+7, 121)
	aged(t, w.db, "business", 5, 119)
	aged(t, w.db, "ledger", 9, 300)
	n, err := i.Prune(t.Context(), 120*day)
	require.NoError(t, err)
	require.EqualValues(t, 2*pruneBatch+7, n)
	require.Equal(t, map[string]int{"business": 5, "ledger": 9}, counts[int](t, w.db, `SELECT inbox, count(*) FROM fenflow_inbox GROUP BY 1`))
}

// A row that is forgotten while fenflow may still hand out its event would let
// the event count twice.
func TestPrune_refuses_to_forget_what_may_come_again(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, EnsureTable(t.Context(), w.db, DefaultTable))
	aged(t, w.db, "business", 3, 91)
	i, _ := w.open(t)
	for _, younger := range []time.Duration{0, -day, 90 * day, leastKeep - 1} {
		_, err := i.Prune(t.Context(), younger)
		require.ErrorContains(t, err, "could count twice")
	}
	require.Equal(t, 3, w.remembered(t))
	forced, _ := w.open(t, func(o *Options) { o.ShortMemory = true })
	n, err := forced.Prune(t.Context(), 90*day)
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	_, err = forced.Prune(t.Context(), 0)
	require.Error(t, err, "nothing may be forgotten at once")
}

func TestRun_prunes_by_itself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, EnsureTable(t.Context(), w.db, DefaultTable))
	never, _ := w.open(t, func(o *Options) { o.Keep = -1 })
	never.pace.prune = time.Millisecond
	aged(t, w.db, "business", 1, 1000)
	facts := storyOf(2)
	w.publish(t, facts...)
	stop := run(t, never, shop)
	w.drained(t)
	stop()
	require.Equal(t, 1+distinct(facts), w.remembered(t))

	hourly, _ := w.open(t)
	hourly.pace.prune = 10 * time.Millisecond
	run(t, hourly, shop)
	for range 2 { // at the start, and again
		require.Eventually(t, func() bool { return w.remembered(t) == distinct(facts) }, soon, often)
		aged(t, w.db, "business", 1, 121)
	}
	require.Eventually(t, func() bool { return w.remembered(t) == distinct(facts) }, soon, often)
}

// The nkey user of a subscriber, as fenflow prints it for nats.conf.
func TestInbox_connects_with_a_seed_file(t *testing.T) {
	t.Parallel()
	seed, public := nkey(t)
	file := filepath.Join(t.TempDir(), "shop.nk")
	require.NoError(t, os.WriteFile(file, seed, 0o600))
	w := newWorldAt(t, testkit.Database(t, "", nil), withUsers(t, nil, operator.NATSAccount(pay.Subscriber{Name: "shop", MchID: mchid, NKey: public})))
	w.consumer(t, "shop", time.Second)
	facts := storyOf(20)
	w.publish(t, disordered(facts)...)
	i, seen := w.open(t, func(o *Options) { o.Consumer, o.User, o.Password, o.SeedFile = "shop", "", "", file })
	run(t, i, shop)
	w.awaitRemembered(t, distinct(facts))
	require.Empty(t, seen.of(""))

	// Another's consumer is out of its reach, and that is said.
	other, told := w.open(t, func(o *Options) {
		o.Name, o.Consumer, o.User, o.Password, o.SeedFile, o.InboxPrefix = "other", "business", "", "", file, "_INBOX_shop"
	})
	run(t, other, shop)
	require.Eventually(t, func() bool { return len(told.of(StepConnect)) > 0 && len(told.of(StepReceive)) > 0 }, soon, often)
	require.ErrorContains(t, told.of(StepConnect)[0].Err, "compare Consumer, APIPrefix and InboxPrefix")
	require.Equal(t, distinct(facts), w.remembered(t))
}
