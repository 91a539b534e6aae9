package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestInitAndServe runs both commands as a shell would, on a free port.
func TestInitAndServe(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "merchant")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, "init", "--dir", dir, "--base-url", "http://127.0.0.1:7", "--json"))
	var made map[string]string
	require.NoError(t, json.Unmarshal(out.Bytes(), &made), "stdout is one JSON document")
	require.FileExists(t, made["merchant_file"])
	config, err := os.ReadFile(made["config_file"])
	require.NoError(t, err)
	require.Contains(t, string(config), "base_url: http://127.0.0.1:7")
	require.ErrorContains(t, run(t.Context(), io.Discard, "init", "--dir", dir), "--force")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, writer, "serve", "--dir", dir, "--listen", "127.0.0.1:0", "--speed", "600", "--json")
	}()
	line, err := bufio.NewReader(reader).ReadBytes('\n')
	require.NoError(t, err)
	var serving map[string]string
	require.NoError(t, json.Unmarshal(line, &serving))
	response, err := http.Get(serving["url"] + "/healthz")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	stop()
	require.NoError(t, <-ended, "an asked-for end is no failure")
}

func TestServeRefusesBadFlags(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, run(t.Context(), io.Discard, "serve", "--dir", t.TempDir()), "simulator init")
	require.ErrorContains(t, run(t.Context(), io.Discard, "serve", "--dir", "x", "--speed", "0"), "--speed")
	require.ErrorContains(t, run(t.Context(), io.Discard, "serve"), "dir")
}

func run(ctx context.Context, out io.Writer, args ...string) error {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(io.Discard)
	return root.ExecuteContext(ctx)
}
