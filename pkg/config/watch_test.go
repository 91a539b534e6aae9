package config_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

const shopID = pay.MchID("1900000109")

func watch(t *testing.T, dir string, role config.Role, o config.WatchOptions) *config.Watcher {
	t.Helper()
	c, err := config.Load(config.Options{File: filepath.Join(dir, "fenflow.yaml"), Role: role})
	require.NoError(t, err)
	first, err := c.Snapshot()
	require.NoError(t, err)
	return config.NewWatcher(c, first, o)
}

func newKey(t *testing.T) (*rsa.PublicKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	return &key.PublicKey, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestWatcher_reports_nothing_while_nothing_changes(t *testing.T) {
	t.Parallel()
	dir, _ := shop(t)
	for _, role := range []config.Role{config.RoleIngest, config.RoleWorker} {
		snapshot, err := watch(t, dir, role, config.WatchOptions{}).Look()
		require.NoError(t, err)
		require.Empty(t, snapshot.Changed)
	}
}

func TestWatcher_takes_a_new_public_key_and_keeps_platform_certificates(t *testing.T) {
	t.Parallel()
	dir, m := shop(t)
	w := watch(t, dir, config.RoleWorker, config.WatchOptions{})
	ring := w.Current().Credentials[shopID].Keyring
	platform, text := newKey(t)
	ring.Put(merchant.PublicKey{ID: "5157F09EFDC096DE", Key: platform})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets/pub_key.pem"), text, 0o600))

	snapshot, err := w.Look()
	require.NoError(t, err)
	require.Equal(t, []pay.MchID{shopID}, snapshot.Changed)
	require.Same(t, ring, snapshot.Credentials[shopID].Keyring)
	key, ok := ring.Find(m.PublicKeyID)
	require.True(t, ok)
	require.True(t, key.Key.Equal(platform), "the file's new key")
	_, ok = ring.Find("5157F09EFDC096DE")
	require.True(t, ok, "fetched keys outlive a reload")
}

func TestWatcher_drops_a_public_key_that_was_taken_out_of_the_file(t *testing.T) {
	t.Parallel()
	dir, m := shop(t)
	w := watch(t, dir, config.RoleWorker, config.WatchOptions{})
	replaceInFile(t, filepath.Join(dir, "fenflow.yaml"), m.PublicKeyID, "PUB_KEY_ID_NEW")
	snapshot, err := w.Look()
	require.NoError(t, err)
	require.Equal(t, []string{"PUB_KEY_ID_NEW"}, snapshot.Credentials[shopID].Keyring.IDs())
}

func TestWatcher_keeps_old_keys_while_a_file_is_broken(t *testing.T) {
	t.Parallel()
	dir, m := shop(t)
	for _, role := range []config.Role{config.RoleIngest, config.RoleWorker} {
		w := watch(t, dir, role, config.WatchOptions{})
		before := w.Current()
		file := filepath.Join(dir, "secrets/pub_key.pem")
		good, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, []byte("-----BEGIN"), 0o600))

		snapshot, err := w.Look()
		require.ErrorContains(t, err, "pub_key.pem")
		require.ErrorContains(t, err, "old ones stay in use")
		require.Empty(t, snapshot.Changed)
		require.Equal(t, m.PublicKeyID, snapshot.PublicKeys[shopID][0].ID)
		require.Same(t, before.Credentials[shopID], snapshot.Credentials[shopID])

		require.NoError(t, os.WriteFile(file, good, 0o600))
		snapshot, err = w.Look()
		require.NoError(t, err)
		require.Empty(t, snapshot.Changed)
	}
}

func TestWatcher_changes_nothing_while_the_configuration_is_broken(t *testing.T) {
	t.Parallel()
	dir, _ := shop(t)
	w := watch(t, dir, config.RoleIngest, config.WatchOptions{})
	replaceInFile(t, filepath.Join(dir, "fenflow.yaml"), "merchants:", "merchnats:")
	snapshot, err := w.Look()
	require.ErrorContains(t, err, "did you mean merchants?")
	require.Len(t, snapshot.Directory.All(), 1)
}

func TestWatcher_rotates_API_keys_and_secrets_when_asked(t *testing.T) {
	t.Parallel()
	dir, m := shop(t)
	reload := make(chan struct{}, 1)
	w := watch(t, dir, config.RoleWorker, config.WatchOptions{Every: time.Hour, Reload: reload})
	changed, failed := make(chan config.Snapshot, 1), make(chan error, 1)
	go w.Run(t.Context(), func(s config.Snapshot) { changed <- s }, func(err error) { failed <- err })

	require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets/apiv3.key"), []byte(strings.Repeat("n", 32)), 0o600))
	reload <- struct{}{}
	snapshot := <-changed
	require.Equal(t, []pay.MchID{shopID}, snapshot.Changed)
	require.Equal(t, strings.Repeat("n", 32), snapshot.Credentials[shopID].APIv3Keys[0].Reveal())
	require.NotEqual(t, m.APIv3Key, w.Current().Credentials[shopID].APIv3Keys[0].Reveal())

	replaceInFile(t, filepath.Join(dir, "fenflow.yaml"), "name: shop", "name: till")
	reload <- struct{}{}
	_, name, ok := (<-changed).Directory.ByAPIKey(m.APIKey)
	require.True(t, ok)
	require.Equal(t, "till", name)

	require.NoError(t, os.Remove(filepath.Join(dir, "fenflow.yaml")))
	reload <- struct{}{}
	require.ErrorContains(t, <-failed, "reload configuration")
}
