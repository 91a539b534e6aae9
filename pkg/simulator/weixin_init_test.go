package simulator_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

func TestInit_writes_an_app_of_each_kind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made, err := simulator.Init(dir, simulator.InitOptions{FrontURL: "https://pay.example.com", ShopURL: "https://shop.example.com/buy/", OpenURL: "http://127.0.0.1:1"})
	require.NoError(t, err)
	require.Len(t, made.Apps, 4)
	require.Equal(t, simulator.KindMiniProgram, made.Apps[0].Kind)
	require.Equal(t, made.Appid, made.Apps[0].Appid)
	require.Contains(t, made.Apps[1].OAuthDomains, "pay.example.com")
	require.Contains(t, made.Apps[1].JSDomains, "shop.example.com")
	config, err := os.ReadFile(filepath.Join(dir, "fenflow.yaml"))
	require.NoError(t, err)
	for _, line := range []string{"redirect_urls:\n            - https://shop.example.com/buy/", "js_domains:\n            - shop.example.com", "secret_file: secrets/wx8888888888888803.secret", "open_url: http://127.0.0.1:1", "front: 127.0.0.1:8082"} {
		require.Contains(t, string(config), line)
	}
	loaded, err := simulator.Load(dir)
	require.NoError(t, err)
	require.Equal(t, made.Apps[1].AESKeyPrevious, loaded.Apps[1].AESKeyPrevious)
	require.Equal(t, made.ShopURL, loaded.ShopURL)
}

func TestApps_never_print_their_secrets(t *testing.T) {
	t.Parallel()
	m, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	document, err := json.Marshal(m.Apps)
	require.NoError(t, err)
	printed := fmt.Sprintf("%v %+v %#v %s %s", m, m.Apps, m.Apps, m.Apps, document)
	for _, a := range m.Apps {
		for _, secret := range []string{a.Secret, a.Token, a.AESKey, a.AESKeyPrevious} {
			if secret != "" {
				require.NotContains(t, printed, secret)
			}
		}
	}
}

// A merchant directory of an earlier version has neither apps nor a session key.
func TestLoad_takes_a_merchant_without_apps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := simulator.Init(dir, simulator.InitOptions{})
	require.NoError(t, err)
	file := filepath.Join(dir, "merchant.json")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(text, &fields))
	for _, name := range []string{"apps", "shop_url", "front_url", "session_key_file", "session_public_key_file"} {
		delete(fields, name)
	}
	text, err = json.Marshal(fields)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))
	old, err := simulator.Load(dir)
	require.NoError(t, err)
	require.Empty(t, old.Apps)

	b := newBench(t, func(o *simulator.Options) { o.Merchant = old })
	b.place(t, "old-order", b.notifyURL(newReceiver(t, noContent)))
	_, body := b.get(t, "/cgi-bin/token?grant_type=client_credential&appid=wx8888888888888801&secret=x")
	require.Contains(t, body, "40013")
}
