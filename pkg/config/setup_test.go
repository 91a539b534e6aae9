package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/simulator"
)

const keyHash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// minimal is a configuration that every role accepts. None of its files exist.
const minimal = `merchants:
  - mchid: "1900000109"
    name: demo
    apps: [{appid: wx8888888888888888, kind: mini_program}]
    merchant_serial: 5157F09EFDC096DE15EBE81A47057A7232F1B8E1
    private_key_file: secrets/apiclient_key.pem
    api_v3_key_files: [secrets/apiv3.key]
    wechatpay_public_keys: [{id: PUB_KEY_ID_0000000000000024101100397200000006, file: secrets/pub_key.pem}]
    api_keys: [{name: shop, sha256: ` + keyHash + `}]
public_url: https://pay.example.com
postgres: {url: "postgres://fenflow:s3cret-pg@127.0.0.1:5432/fenflow?sslmode=disable"}
nats: {url: "nats://127.0.0.1:4222", monitor_urls: ["http://127.0.0.1:8222"]}
`

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fenflow.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

// load loads a text for a role and requires that it is accepted.
func load(t *testing.T, text string, role config.Role, env map[string]string) config.Config {
	t.Helper()
	c, err := config.Load(config.Options{File: write(t, text), Lookup: lookup(env), Role: role})
	require.NoError(t, err)
	return c
}

// problemsOf loads a text and gives the problems, "key: message" each.
func problemsOf(t *testing.T, text string, role config.Role, env, flags map[string]string) []string {
	t.Helper()
	_, err := config.Load(config.Options{File: write(t, text), Lookup: lookup(env), Flags: flags, Role: role})
	if err == nil {
		return nil
	}
	require.Equal(t, problem.Config, problem.KindOf(err))
	document := problem.DocumentOf(err, "")
	lines := make([]string, len(document.Errors))
	for i, f := range document.Errors {
		lines[i] = f.String()
	}
	return lines
}

// shop makes a complete test merchant with real keys.
func shop(t *testing.T) (dir string, m simulator.Merchant) {
	t.Helper()
	dir = t.TempDir()
	m, err := simulator.Init(dir, simulator.InitOptions{})
	require.NoError(t, err)
	return dir, m
}

func replaceInFile(t *testing.T, file, old, with string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), old)
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), old, with)), 0o600))
}

func replaced(text, old, with string) string { return strings.ReplaceAll(text, old, with) }

func indexOf(text, part string) int { return strings.Index(text, part) }

// trimColon: a problem without a key begins with its place.
func trimColon(text string) string { return strings.TrimPrefix(text, ": ") }
