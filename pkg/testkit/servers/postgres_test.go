package servers_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/provision"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

func startPostgres(t *testing.T, options servers.PostgresOptions) *servers.Postgres {
	t.Helper()
	var err error
	options.BinDir, err = provision.Postgres(t.Context(), nil)
	require.NoError(t, err)
	p, err := servers.StartPostgres(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func connect(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func ask(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	var answer string
	require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(&answer))
	return answer
}

func TestPostgres_is_durable_and_private(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, servers.PostgresOptions{Settings: map[string]string{"application_name": "it's ours"}})
	db := connect(t, p.URL("postgres"))
	for name, want := range map[string]string{
		"fsync":              "on",
		"full_page_writes":   "on",
		"synchronous_commit": "on",
		"max_connections":    "200",
		"listen_addresses":   "127.0.0.1",
		"server_encoding":    "UTF8",
		"TimeZone":           "UTC",
	} {
		require.Equal(t, want, ask(t, db, "SHOW "+name), name)
	}
	require.Equal(t, "it's ours", ask(t, db, "SELECT reset_val FROM pg_settings WHERE name = 'application_name'"))

	// A test of the roles' proofs must be able to spoil the settings of a running server.
	_, err := db.ExecContext(t.Context(), "ALTER SYSTEM SET synchronous_commit = off")
	require.NoError(t, err)
	require.NoError(t, p.Restart())
	require.Equal(t, "off", ask(t, connect(t, p.URL("postgres")), "SHOW synchronous_commit"))
}

func TestPostgres_keeps_what_was_committed(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, servers.PostgresOptions{})
	require.NoError(t, p.CreateDatabase(t.Context(), "books"))
	require.NoError(t, p.CreateDatabase(t.Context(), "books"), "making it again is no error")
	url := p.URL("books")
	db := connect(t, url)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE lines (n int)")
	require.NoError(t, err)

	for name, interrupt := range map[string]func() error{"restart": p.Restart, "stop": p.Stop, "kill": p.Kill} {
		_, err := db.ExecContext(t.Context(), "INSERT INTO lines VALUES (1)")
		require.NoError(t, err)
		before := ask(t, db, "SELECT count(*) FROM lines")
		open, err := db.Conn(t.Context())
		require.NoError(t, err)
		session := p.Pid()

		require.NoError(t, interrupt(), name)
		require.Error(t, open.PingContext(t.Context()), "%s: a session went on", name)
		_ = open.Close() // it is broken
		if name != "restart" {
			require.Zero(t, p.Pid())
			require.NoError(t, p.Restart(), name)
		}
		require.NotEqual(t, session, p.Pid())
		require.Equal(t, url, p.URL("books"), "the address changed")
		require.Equal(t, before, ask(t, db, "SELECT count(*) FROM lines"), name)
	}
}

func TestPostgres_kill_ends_a_busy_session_in_the_middle(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, servers.PostgresOptions{})
	db := connect(t, p.URL("postgres"))
	_, err := db.ExecContext(t.Context(), "CREATE TABLE lines (n int)")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := db.ExecContext(t.Context(), "INSERT INTO lines SELECT 1 FROM pg_sleep(60)")
		ended <- err
	}()
	watcher := connect(t, p.URL("postgres"))
	require.Eventually(t, func() bool {
		return ask(t, watcher, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT%' AND wait_event = 'PgSleep'") == "1"
	}, 10*time.Second, 10*time.Millisecond)

	require.NoError(t, p.Kill())
	require.Error(t, <-ended)
	require.NoError(t, p.Restart())
	require.Equal(t, "0", ask(t, db, "SELECT count(*) FROM lines"))
}

func TestPostgres_uses_a_kept_folder_again(t *testing.T) {
	t.Parallel()
	data := filepath.Join(openTempDir(t), "state", "postgres")
	first := startPostgres(t, servers.PostgresOptions{DataDir: data})
	require.NoError(t, first.CreateDatabase(t.Context(), "books"))

	_, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{BinDir: binDir(t), DataDir: data})
	require.ErrorContains(t, err, "postmaster.pid", "two servers shared one folder")

	require.NoError(t, first.Close())
	require.DirExists(t, data)
	second := startPostgres(t, servers.PostgresOptions{DataDir: data})
	require.Equal(t, "1", ask(t, connect(t, second.URL("books")), "SELECT 1"))
}

func TestPostgres_says_why_a_folder_cannot_be_used(t *testing.T) {
	t.Parallel()
	full := openTempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(full, "thesis.txt"), []byte("mine"), 0o600))
	closed := openTempDir(t)
	require.NoError(t, os.Chmod(closed, 0o600))
	old := openTempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(old, "PG_VERSION"), []byte("9.6\n"), 0o600))

	for name, row := range map[string]struct{ data, says string }{
		"files of somebody else":            {full, "holds no PostgreSQL data"},
		"a parent that it may not pass":     {filepath.Join(closed, "data"), "may not pass through " + closed},
		"data of another version":           {old, "was written by PostgreSQL 9.6"},
		"a file in the place of the folder": {filepath.Join(full, "thesis.txt"), "not a directory"},
	} {
		_, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{BinDir: binDir(t), DataDir: row.data})
		require.ErrorContains(t, err, row.says, name)
	}
	require.FileExists(t, filepath.Join(full, "thesis.txt"))
}

func TestPostgres_says_what_the_server_said_when_it_does_not_start(t *testing.T) {
	t.Parallel()
	_, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{BinDir: binDir(t), Settings: map[string]string{"no_such_thing": "1"}})
	require.ErrorContains(t, err, `unrecognized configuration parameter "no_such_thing"`)
}

func TestPostgres_replaces_a_template_that_lost_files(t *testing.T) {
	t.Parallel()
	temporary := openTempDir(t)
	first := startHost(t, "TMPDIR="+temporary)
	first.told(t)
	first.end(t)
	lost, err := filepath.Glob(filepath.Join(temporary, "fenflow-*", "template-*", "data", "pg_notify"))
	require.NoError(t, err)
	require.Len(t, lost, 1)
	require.NoError(t, os.RemoveAll(lost[0]))

	second := startHost(t, "TMPDIR="+temporary)
	require.NotEmpty(t, second.told(t).URL)
	second.end(t)
	require.DirExists(t, lost[0])
}

func binDir(t *testing.T) string {
	t.Helper()
	dir, err := provision.Postgres(t.Context(), nil)
	require.NoError(t, err)
	return dir
}
