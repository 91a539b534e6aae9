package cli_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/cli"
)

// adding runs `subscriber add shop` against a console that answers so; the seed goes
// into file.
func adding(t *testing.T, file string, status int, document string) (exit int, stdout, stderr, key string) {
	t.Helper()
	console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		var body struct{ NKey string }
		_ = json.Unmarshal(raw, &body)
		key = body.NKey
		kind := "application/json"
		if status != http.StatusOK {
			kind = "application/problem+json"
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, document)
		if info, err := os.Stat(file); file != "-" && (err != nil || info.Mode().Perm() != 0o600) {
			t.Errorf("the seed is in its file before anybody hears of the key: %v", err)
		}
	}))
	defer console.Close()
	env := map[string]string{"FENFLOW_URL": console.URL, "FENFLOW_TOKEN": operator}
	var out, errs bytes.Buffer
	exit = cli.Run(t.Context(), cli.Deps{
		Stdout: &out, Stderr: &errs, Random: rand.Reader, Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}, []string{"subscriber", "add", "shop", "--mchid", "1900000109", "--seed-file", file, "--reason", "x"})
	return exit, out.String(), errs.String(), key
}

const added = `{"name":"shop","mchid":"1900000109","nkey":"UA","created_at":"2026-03-01T04:00:00Z","created_by":"token:ada","nats_account":"SUBSCRIBER_shop {\u001b[2J}\n"}`

func TestSubscriberAdd_keeps_the_seed_in_a_file_of_its_own(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "shop.nk")
	exit, stdout, stderr, key := adding(t, file, http.StatusOK, added)
	require.Zero(t, exit, stderr)
	seed, err := os.ReadFile(file)
	require.NoError(t, err)
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	require.Equal(t, key, public, "the console hears of the public half")
	require.NotContains(t, stdout+stderr, strings.TrimSpace(string(seed)))
	require.NotContains(t, stdout, "\x1b", "what the console sends is shown as it is, and not obeyed")
	require.Contains(t, stdout, `SUBSCRIBER_shop {\x1b[2J}`)
}

func TestSubscriberAdd_keeps_a_seed_that_may_be_somebodys_and_no_other(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "shop.nk")
	exit, _, stderr, _ := adding(t, file, http.StatusConflict, `{"type":"x","title":"taken","status":409,"code":"FEN-4020","next_step":"x"}`)
	require.Equal(t, 5, exit, stderr)
	require.NoFileExists(t, file)

	exit, _, stderr, key := adding(t, file, http.StatusServiceUnavailable, `{"type":"x","title":"away","status":503,"code":"FEN-5002","next_step":"x"}`)
	require.Equal(t, 7, exit, stderr)
	require.FileExists(t, file)
	require.Contains(t, stderr, "Run the command again with --nkey "+key)
	exit, _, stderr, _ = adding(t, file, http.StatusOK, added)
	require.Equal(t, 2, exit, "no file is written over: %s", stderr)
	require.Contains(t, stderr, "say --nkey "+key)

	exit, stdout, stderr, _ := adding(t, "-", http.StatusServiceUnavailable, `{"type":"x","title":"away","status":503,"code":"FEN-5002","next_step":"x"}`)
	require.Equal(t, 7, exit)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "its seed was not printed")
}
