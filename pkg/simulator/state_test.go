package simulator_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var open atomic.Bool
	shop := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		if !open.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	inDir := func(o *simulator.Options) { o.StateDir, o.Speed = dir, 1 }
	first := newBench(t, inDir)
	first.place(t, "order-1", first.notifyURL(shop))
	first.place(t, "order-2", first.notifyURL(shop))
	first.place(t, "order-3", first.notifyURL(shop))
	_, err := first.simulator.Pay("order-1", simulator.PayRequest{Duplicates: 2})
	require.NoError(t, err)
	status, _ := first.send(t, http.MethodPost, "/v3/pay/transactions/out-trade-no/order-2/close", `{"mchid":"1900000109"}`)
	require.Equal(t, http.StatusNoContent, status)
	require.Eventually(t, func() bool { return len(first.simulator.Deliveries("")) == 1 }, soon, tick)
	ledger := first.simulator.Ledger()
	require.NoError(t, first.simulator.Close())

	open.Store(true)
	again, err := simulator.New(simulator.Options{Merchant: first.merchant, StateDir: dir, Speed: 1e5})
	require.NoError(t, err)
	require.Equal(t, ledger, again.Ledger())
	require.Eventually(t, func() bool { return again.Summary().Pending == 0 }, soon, tick)
	summary := again.Summary()
	require.Equal(t, 1, summary.Acknowledged, "the pending notification was taken up")
	require.Equal(t, 2, summary.Duplicates)
	require.NoError(t, again.Close())

	// A process killed in the middle of a line loses that line only.
	journal := filepath.Join(dir, "journal.jsonl")
	text, err := os.ReadFile(journal)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(journal, append(text, `[{"payment":{"transaction_id":"42`...), 0o600))
	torn, err := simulator.New(simulator.Options{Merchant: first.merchant, StateDir: dir})
	require.NoError(t, err)
	require.Equal(t, ledger, torn.Ledger())
	_, err = torn.Pay("order-3", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	require.NoError(t, torn.Close())
	last, err := simulator.New(simulator.Options{Merchant: first.merchant, StateDir: dir})
	require.NoError(t, err)
	require.Len(t, last.Ledger().Payments, 2)
	require.NoError(t, last.Close())

	// Damage elsewhere is not passed over.
	require.NoError(t, os.WriteFile(journal, []byte("{}\n"), 0o600))
	_, err = simulator.New(simulator.Options{Merchant: first.merchant, StateDir: dir})
	require.ErrorContains(t, err, "journal line 1")
}

func TestInit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	made, err := simulator.Init(dir, simulator.InitOptions{})
	require.NoError(t, err)
	loaded, err := simulator.Load(dir)
	require.NoError(t, err)
	require.True(t, made.PrivateKey.Equal(loaded.PrivateKey))
	require.True(t, made.WechatpayKey.Equal(loaded.WechatpayKey))
	require.True(t, made.PlatformKey.Equal(loaded.PlatformKey))
	made.PrivateKey, made.WechatpayKey, made.PlatformKey = nil, nil, nil
	loaded.PrivateKey, loaded.WechatpayKey, loaded.PlatformKey = nil, nil, nil
	require.Equal(t, made, loaded)
	require.Regexp(t, `^fk_[A-Za-z0-9_-]{43}$`, loaded.APIKey)
	require.Regexp(t, `^[0-9A-Z]{32}$`, strings.ToUpper(loaded.APIv3Key))
	require.Regexp(t, `^[0-9A-F]{40}$`, loaded.Serial)

	_, err = simulator.Init(dir, simulator.InitOptions{})
	require.ErrorIs(t, err, simulator.ErrMerchantExists)
	other, err := simulator.Init(dir, simulator.InitOptions{Force: true})
	require.NoError(t, err)
	require.NotEqual(t, loaded.Serial, other.Serial)
	requireSecretFiles(t, dir)
}

// requireSecretFiles: every file that merchant.json and fenflow.yaml name is there,
// and no one else can read the secret ones.
func requireSecretFiles(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "merchant.json"))
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(text, &fields))
	require.Len(t, fields, 16)
	file := map[string]string{}
	for name, value := range fields {
		file[name], _ = value.(string)
	}
	names := []string{"merchant.json", file["private_key_file"], file["wechatpay_public_key_file"],
		file["certificate_file"], file["ca_file"],
		"secrets/apiv3.key", "secrets/apiv2.key", "secrets/apiclient_cert.pem", file["session_key_file"], file["session_public_key_file"],
		"secrets/wx8888888888888801.secret", "secrets/wx8888888888888801.token", "secrets/wx8888888888888801.aes", "secrets/wx8888888888888801.aes.previous"}
	config, err := os.ReadFile(filepath.Join(dir, "fenflow.yaml"))
	require.NoError(t, err)
	require.NotContains(t, string(config), file["api_key"])
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
}

func TestInitForNewAddresses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	merchant, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	_, err = simulator.Init(dir, simulator.InitOptions{Merchant: &merchant, Readable: true})
	require.NoError(t, err)
	for name, mode := range map[string]os.FileMode{"secrets": 0o755, "secrets/apiv3.key": 0o644, "platform": 0o700, "merchant.json": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), name)
	}
	s, err := simulator.New(simulator.Options{Merchant: merchant, StateDir: simulator.StateDir(dir)})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, call(t, s, merchant, http.MethodPost, "/v3/pay/transactions/jsapi", goodPrepay).Code)
	require.NoError(t, s.Close())

	_, err = simulator.Init(dir, simulator.InitOptions{Merchant: &merchant, Force: true, KeepLedger: true, BaseURL: "http://127.0.0.1:7"})
	require.NoError(t, err)
	s, err = simulator.New(simulator.Options{Merchant: merchant, StateDir: simulator.StateDir(dir)})
	require.NoError(t, err)
	require.Len(t, s.Ledger().Orders, 1)
	require.NoError(t, s.Close())
	_, err = simulator.Init(dir, simulator.InitOptions{Merchant: &merchant, Force: true})
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(simulator.StateDir(dir), "journal.jsonl.previous"))
	require.NoFileExists(t, filepath.Join(simulator.StateDir(dir), "journal.jsonl"))
}

func TestMerchantPrintsNoSecret(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shop := newReceiver(t, noContent)
	b.place(t, "order-1", b.notifyURL(shop))
	_, err := b.simulator.Pay("order-1", simulator.PayRequest{Forged: 5})
	require.NoError(t, err)
	b.settled(t)
	document, err := json.Marshal(b.merchant)
	require.NoError(t, err)
	printed := b.log.String() + string(document) + b.merchant.String() + b.merchant.GoString() + b.merchant.LogValue().String()
	for _, secret := range []string{b.merchant.APIv3Key, b.merchant.APIv2Key, b.merchant.APIKey} {
		require.NotContains(t, printed, secret)
	}
}
