package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/cli"
	"github.com/fenflow/fenflow/pkg/testkit"
)

// fenflow runs one command line against the database at url.
func fenflow(t *testing.T, url string, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	file := filepath.Join(t.TempDir(), "fenflow.yaml")
	require.NoError(t, os.WriteFile(file, []byte("log: {level: debug}\n"), 0o600))
	env := map[string]string{"FENFLOW_POSTGRES_URL": url, "FENFLOW_CONFIG": file}
	exit = cli.Run(t.Context(), cli.Deps{
		Stdout: &out, Stderr: &errs, Random: rand.Reader, Build: cli.ReadBuild(), Migrator: migrator{}, Tokens: tokens{random: rand.Reader},
		Console: func(args []string) int { _, _ = fmt.Fprint(&errs, args); return 42 },
		Lookup:  func(name string) (string, bool) { value, ok := env[name]; return value, ok },
	}, args)
	return exit, out.String(), errs.String()
}

type status struct {
	Migrations []cli.Migration
	Pending    int
}

func statusOf(t *testing.T, url string) status {
	t.Helper()
	exit, stdout, stderr := fenflow(t, url, "migrate", "status", "--json")
	require.Zero(t, exit, stdout)
	require.Empty(t, stderr)
	var s status
	require.NoError(t, json.Unmarshal([]byte(stdout), &s))
	return s
}

func TestMigrate_brings_an_empty_database_up_and_says_so(t *testing.T) {
	t.Parallel()
	url := testkit.Database(t, "", nil)
	before := statusOf(t, url)
	require.NotEmpty(t, before.Migrations)
	require.Equal(t, len(before.Migrations), before.Pending)
	exit, _, _ := fenflow(t, url, "migrate", "status", "--exit-code")
	require.Equal(t, 8, exit)

	exit, stdout, stderr := fenflow(t, url, "migrate", "up")
	require.Zero(t, exit, stderr)
	require.Contains(t, stdout, "applied 1 "+before.Migrations[0].Name)

	after := statusOf(t, url)
	require.Zero(t, after.Pending)
	require.NotNil(t, after.Migrations[0].AppliedAt)
	exit, stdout, _ = fenflow(t, url, "migrate", "up")
	require.Zero(t, exit)
	require.Equal(t, "Nothing was pending.\n", stdout)
}

func TestMigrate_says_that_the_database_is_away(t *testing.T) {
	t.Parallel()
	exit, stdout, stderr := fenflow(t, "postgres://u:s3cret@"+testkit.FreeAddr(t)+"/x?sslmode=disable", "migrate", "status", "--json")
	require.Equal(t, 7, exit)
	require.Contains(t, stdout, `"code": "FEN-5002"`)
	require.NotContains(t, stdout+stderr, "s3cret")
}
