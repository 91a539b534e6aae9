package cli_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/cli"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sick" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(`{"broker":"` + r.URL.Path + `"}`))
	}))
	t.Cleanup(server.Close)
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()

	for name, tc := range map[string]struct {
		url  string
		exit int
		says string
	}{
		"a healthy role":    {server.URL + "/well", 0, "/well"},
		"a sick role":       {server.URL + "/sick", 7, "answers 503: {\"broker\":\"/sick\"}"},
		"nobody there":      {away.URL, 7, "connection refused"},
		"not even a number": {"localhost", 2, "is no address to ask"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			d := cli.Deps{Stdout: &stdout, Stderr: &stderr, Lookup: func(string) (string, bool) { return "", false }}
			require.Equal(t, tc.exit, cli.Run(t.Context(), d, []string{"health", tc.url}), stderr.String())
			require.Contains(t, stdout.String()+stderr.String(), tc.says)

			stdout.Reset()
			require.Equal(t, tc.exit, cli.Run(t.Context(), d, []string{"health", tc.url, "--json"}))
			require.True(t, json.Valid(stdout.Bytes()), stdout.String())
		})
	}
}
