package main

import (
	"database/sql"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/devstack"
)

// places are all texts that a stack leaves behind, by where they are: logs, metrics,
// the broker's files, every row of the database.
func places(t *testing.T, stack *devstack.Stack) map[string]string {
	t.Helper()
	all := map[string]string{}
	logs, err := filepath.Glob(filepath.Join(stack.LogDir(), "*.log"))
	require.NoError(t, err)
	for _, file := range logs {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		all[filepath.Base(file)] = string(raw)
	}
	addMetrics(t, all)
	addStreams(t, filepath.Join(filepath.Dir(stack.LogDir()), "nats"), all)
	for _, variable := range stack.Environment() {
		if address, is := strings.CutPrefix(variable, "FENFLOW_POSTGRES_URL="); is {
			addTables(t, address, all)
		}
	}
	return all
}

var adminShape = regexp.MustCompile(`"?admin"?[=:]"?(127\.0\.0\.1:\d+)`)

// addMetrics asks each role at the admin port that its log names.
func addMetrics(t *testing.T, all map[string]string) {
	t.Helper()
	for _, role := range []string{"worker", "ingest", "reconciler", "console"} {
		at := adminShape.FindStringSubmatch(all[role+".log"])
		require.Len(t, at, 2, role)
		resp, err := http.Get("http://" + at[1] + "/metrics")
		require.NoError(t, err)
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		all["metrics of "+role] = string(raw)
	}
}

// addStreams reads the broker's own files: messages with their headers, as they are.
func addStreams(t *testing.T, dir string, all map[string]string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if os.IsNotExist(err) { // the broker is at work
			return nil
		}
		where := "the broker's files"
		if _, below, is := strings.Cut(filepath.ToSlash(path), "/streams/"); is {
			where, _, _ = strings.Cut("stream "+below, "/")
		}
		all[where] += string(raw)
		return err
	}))
}

// addTables reads every table; bytes are shown as \x and hex.
func addTables(t *testing.T, address string, all map[string]string) {
	t.Helper()
	db, err := sql.Open("postgres", address)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	tables := texts(t, db, `SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'`)
	require.NotEmpty(t, tables)
	for _, table := range tables {
		all["table "+table] = strings.Join(texts(t, db, `SELECT t::text FROM `+pq.QuoteIdentifier(table)+` AS t`), "\n")
	}
}

func texts(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		all = append(all, text)
	}
	require.NoError(t, rows.Err())
	return all
}
