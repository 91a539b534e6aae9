package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
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
		ended <- run(ctx, writer, "serve", "--dir", dir, "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0", "--speed", "600", "--json")
	}()
	line, err := bufio.NewReader(reader).ReadBytes('\n')
	require.NoError(t, err)
	var serving map[string]string
	require.NoError(t, json.Unmarshal(line, &serving))
	response, err := http.Get(serving["url"] + "/healthz")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	ca, err := os.ReadFile(filepath.Join(dir, "secrets", "ca.pem"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	response, err = client.Get(serving["tls_url"] + "/healthz")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	client.CloseIdleConnections()
	stop()
	require.NoError(t, <-ended, "an asked-for end is no failure")
}

// TestServeWithFaults: every way to misbehave that the command line offers arrives
// where /control shows it.
func TestServeWithFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, run(t.Context(), io.Discard, "init", "--dir", dir, "--force"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, writer, "serve", "--dir", dir, "--listen", "127.0.0.1:0", "--json", "--limits", "--keys", "public_key",
			"--seed", "7", "--fault", "notice_drop=0.5", "--fault", "query_notpay=x3~2s@T20260301")
	}()
	line, err := bufio.NewReader(reader).ReadBytes('\n')
	require.NoError(t, err)
	var serving map[string]string
	require.NoError(t, json.Unmarshal(line, &serving))
	get := func(path string) string {
		response, err := http.Get(serving["url"] + path)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, errors.Join(err, response.Body.Close()))
		return string(body)
	}
	var shown struct {
		Seed   uint64
		Faults []simulator.Fault
	}
	require.NoError(t, json.Unmarshal([]byte(get("/control/faults")), &shown))
	require.EqualValues(t, 7, shown.Seed)
	require.Equal(t, []simulator.Fault{
		{ID: "1", Kind: simulator.FaultNoticeDrop, Probability: 0.5},
		{ID: "2", Kind: simulator.FaultQueryNotpay, Count: 3, DelayMs: 2000, OutTradeNo: "T20260301"},
	}, shown.Faults)
	require.Contains(t, get("/control/keys"), `"keys":"public_key"`)
	stop()
	require.NoError(t, <-ended)
}

func TestServeRefusesBadFlags(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, run(t.Context(), io.Discard, "serve", "--dir", t.TempDir()), "simulator init")
	require.ErrorContains(t, run(t.Context(), io.Discard, "serve", "--dir", "x", "--speed", "0"), "--speed")
	require.ErrorContains(t, run(t.Context(), io.Discard, "serve"), "dir")

	dir := t.TempDir()
	require.NoError(t, run(t.Context(), io.Discard, "init", "--dir", dir, "--force"))
	err := run(t.Context(), io.Discard, "serve", "--dir", dir, "--fault", "notice_dorp", "--fault", "notice_drop=2")
	require.ErrorContains(t, err, "notice_dorp")
	require.ErrorContains(t, err, "probability", "all mistakes are told at once")
	require.ErrorContains(t, run(t.Context(), io.Discard, "serve", "--dir", dir, "--listen", "127.0.0.1:0", "--keys", "none"), "keys must be")
}

func run(ctx context.Context, out io.Writer, args ...string) error {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(io.Discard)
	return root.ExecuteContext(ctx)
}
