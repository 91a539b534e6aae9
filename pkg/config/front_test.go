package config_test

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
)

// frontFile is a configuration with one app that buyers log in at.
const frontFile = `
merchants:
  - mchid: "1900000109"
    protocol: v2
    api_v2_key_files: [v2.key]
    apps:
      - appid: wx8888888888888888
        kind: official_account
        secret_file: app.secret
        message_token_file: app.token
        message_aes_key_files: [app.aes]
        message_replies: [{on: subscribe, text: hello}]
        redirect_urls: ["https://shop.example.com/buy/"]
        js_domains: [shop.example.com]
public_url: https://pay.example.com/
front: {session_key_file: session.key, session_public_key_files: [session.pub], verify_files: [MP_verify_AbCd1234.txt]}
postgres: {url: "postgres://f@127.0.0.1/f?sslmode=disable"}
nats: {url: "nats://127.0.0.1:4222"}
`

func writeFront(t *testing.T, edit func(string) string) string {
	t.Helper()
	dir := t.TempDir()
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	private, public, err := merchant.SessionKeyPEM(key)
	require.NoError(t, err)
	for name, text := range map[string]string{
		"fenflow.yaml": edit(frontFile), "session.key": string(private), "session.pub": string(public),
		"v2.key": strings.Repeat("k", 32), "app.secret": "0123456789abcdef0123456789abcdef\n", "app.token": "tea",
		"app.aes": strings.Repeat("A", 43),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return filepath.Join(dir, "fenflow.yaml")
}

func asItIs(s string) string { return s }

func TestFront_the_worker_alone_holds_the_secrets_of_apps(t *testing.T) {
	t.Parallel()
	file := writeFront(t, asItIs)
	for _, role := range []config.Role{config.RoleIngest, config.RoleReconciler} {
		c, err := config.Load(config.Options{File: file, Role: role})
		require.NoError(t, err)
		require.Empty(t, c.Entries[0].Apps[0].SecretFile, role)
		require.Empty(t, c.Entries[0].Apps[0].MessageTokenFile, role)
		require.Empty(t, c.Entries[0].Apps[0].MessageAESKeyFiles, role)
		require.Empty(t, c.Front.SessionKeyFile, role)
		require.Equal(t, role == config.RoleIngest, c.Front.Open(), role)
	}
	c, err := config.Load(config.Options{File: file, Role: config.RoleWorker})
	require.NoError(t, err)
	credentials, err := c.Credentials("1900000109")
	require.NoError(t, err)
	app := credentials.Apps["wx8888888888888888"]
	require.Equal(t, "0123456789abcdef0123456789abcdef", app.Secret.Reveal(), "without the line's end")
	require.Equal(t, "tea", app.MessageToken.Reveal())
	require.Len(t, app.MessageAESKeys, 1)
	require.Equal(t, []merchant.Reply{{On: "subscribe", Text: "hello"}}, app.Replies)
	require.NotContains(t, credentials.String(), "0123456789abcdef")
}

func TestFront_both_halves_of_the_session_key_fit(t *testing.T) {
	t.Parallel()
	file := writeFront(t, asItIs)
	worker, err := config.Load(config.Options{File: file, Role: config.RoleWorker})
	require.NoError(t, err)
	private, err := worker.Front.SessionKey()
	require.NoError(t, err)
	edge, err := config.Load(config.Options{File: file, Role: config.RoleIngest})
	require.NoError(t, err)
	public, err := edge.Front.SessionPublicKeys()
	require.NoError(t, err)
	require.Len(t, public, 1)
	require.True(t, public[0].Equal(private.Public()))
	require.Equal(t, "https://pay.example.com", edge.FrontURL(), "public_url, where front.url is not set")
}

func TestFront_names_the_app_of_one_merchant(t *testing.T) {
	t.Parallel()
	c, err := config.Load(config.Options{File: writeFront(t, asItIs), Role: config.RoleIngest})
	require.NoError(t, err)
	directory, err := c.Directory()
	require.NoError(t, err)
	m, app, ok := directory.ByAppID("wx8888888888888888")
	require.True(t, ok)
	require.EqualValues(t, "1900000109", m.MchID)
	require.Equal(t, merchant.App{
		AppID: "wx8888888888888888", Kind: merchant.KindOfficialAccount,
		RedirectURLs: []string{"https://shop.example.com/buy/"}, JSDomains: []string{"shop.example.com"},
	}, app)
	_, _, ok = directory.ByAppID("wx1")
	require.False(t, ok)
}

func TestFront_says_what_is_wrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, to, says string }{
		"no session key":     {"session_key_file: session.key, ", "", "front.session_key_file"},
		"a path as a file":   {"MP_verify_AbCd1234.txt", "../../etc/passwd", "front.verify_files"},
		"a return fragment":  {"https://shop.example.com/buy/", "https://shop.example.com/#x", "redirect_urls"},
		"a return climb":     {"https://shop.example.com/buy/", "https://shop.example.com/../x", "redirect_urls"},
		"a domain as an URL": {"js_domains: [shop.example.com]", "js_domains: [\"https://shop.example.com\"]", "js_domains"},
		"an app of two":      {"public_url:", "  - {mchid: \"1900000110\", protocol: v2, api_v2_key_files: [v2.key], apps: [{appid: wx8888888888888888, kind: official_account}]}\npublic_url:", "which stands at merchants[1].apps[0], too"},
		"a reply of nothing": {"{on: subscribe, text: hello}", "{on: subscribe}", "message_replies[0]"},
		"a reply to nothing": {"{on: subscribe, text: hello}", "{text: hello}", "message_replies[0].on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, frontFile, c.from)
			_, err := config.Load(config.Options{File: writeFront(t, func(s string) string { return strings.Replace(s, c.from, c.to, 1) }), Role: config.RoleWorker})
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestFront_a_key_that_was_taken_out_is_out_though_another_file_is_broken(t *testing.T) {
	t.Parallel()
	file := writeFront(t, func(s string) string { return strings.Replace(s, "[session.pub]", "[session.pub, next.pub]", 1) })
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	_, public, err := merchant.SessionKeyPEM(key)
	require.NoError(t, err)
	next := filepath.Join(filepath.Dir(file), "next.pub")
	require.NoError(t, os.WriteFile(next, public, 0o600))
	w := watch(t, filepath.Dir(file), config.RoleWorker, config.WatchOptions{})
	require.Len(t, w.Current().SessionKeys, 2)

	require.NoError(t, os.WriteFile(next, []byte("broken"), 0o600))
	_, err = w.Look()
	require.ErrorContains(t, err, "next.pub")
	require.Len(t, w.Current().SessionKeys, 2, "a broken file takes no key out of use")

	require.NoError(t, os.WriteFile(next, public, 0o600))
	replaceInFile(t, file, "session.pub, next.pub", "next.pub")
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(file), "app.secret"), nil, 0o600))
	_, err = w.Look()
	require.ErrorContains(t, err, "app.secret")
	require.Len(t, w.Current().SessionKeys, 1, "what the operator takes out must be out at once")
}
