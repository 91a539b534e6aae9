package config_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

func TestLoad_reads_the_file_and_fills_defaults(t *testing.T) {
	t.Parallel()
	c := load(t, minimal, config.RoleWorker, nil)
	require.Equal(t, "https://pay.example.com", c.PublicURL)
	require.Equal(t, ":8080", c.Listen.Notify)
	require.Equal(t, time.Minute, c.Waits.AckWait)
	require.Equal(t, 30*time.Minute, c.Waits.NotEnough)
	require.Equal(t, 1, c.NATS.Replicas)
	require.Equal(t, []string{"http://127.0.0.1:8222"}, c.NATS.MonitorURLs)
	require.Equal(t, "https://api2.mch.weixin.qq.com", c.WeChatPay.BackupURL)
	require.Equal(t, "postgres://fenflow:s3cret-pg@127.0.0.1:5432/fenflow?sslmode=disable", c.Postgres.URL.Reveal())

	m := c.Merchants()[0]
	require.Equal(t, pay.MchID("1900000109"), m.MchID)
	require.Equal(t, pay.ProtocolV3, m.Protocol)
	require.True(t, m.HasApp("wx8888888888888888"))
	require.Equal(t, pay.PolicyAccept, m.Policies.For(pay.AnomalyLatePayment))
	require.Equal(t, byte(0x9f), m.APIKeys[0].SHA256[0])
	require.Equal(t, "https://pay.example.com/notify/v3/1900000109", c.NotifyURL(m))
	m.Protocol = pay.ProtocolV2
	require.Equal(t, "https://pay.example.com/notify/v2/1900000109/pay", c.NotifyURL(m))
}

func TestLoad_variables_override_the_file_and_flags_override_both(t *testing.T) {
	t.Parallel()
	c, err := config.Load(config.Options{
		Lookup: lookup(map[string]string{
			"FENFLOW_CONFIG": write(t, minimal), "FENFLOW_LISTEN_ADMIN": "127.0.0.1:7001", "FENFLOW_LISTEN_API": "127.0.0.1:7002",
			"FENFLOW_WAITS_ACK_WAIT": "2s", "FENFLOW_NATS_MONITOR_URLS": "http://a:8222, http://b:8222", "FENFLOW_PUBLIC_URL": "",
		}),
		Flags: map[string]string{"listen.admin": "127.0.0.1:7003", "listen.front": "off"},
		Role:  config.RoleIngest,
	})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:7003", c.Listen.Admin)
	require.Equal(t, "127.0.0.1:7002", c.Listen.API)
	require.Empty(t, c.Listen.Front, "off switches a listener off")
	require.Equal(t, 2*time.Second, c.Waits.AckWait)
	require.Equal(t, []string{"http://a:8222", "http://b:8222"}, c.NATS.MonitorURLs)
	require.Equal(t, "https://pay.example.com", c.PublicURL, "an empty variable counts as unset")
}

func TestLoad_never_assumes_the_real_backup_for_a_stand_in(t *testing.T) {
	t.Parallel()
	c := load(t, minimal+"wechatpay: {base_url: \"http://127.0.0.1:8090\"}\n", config.RoleWorker, nil)
	require.Empty(t, c.WeChatPay.BackupURL)
}

func TestLoad_resolves_paths_beside_the_file(t *testing.T) {
	t.Parallel()
	c := load(t, minimal, config.RoleWorker, nil)
	dir := filepath.Dir(c.File())
	require.Equal(t, filepath.Join(dir, "secrets/apiclient_key.pem"), c.Entries[0].PrivateKeyFile)
	require.Equal(t, []string{filepath.Join(dir, "secrets/apiv3.key")}, c.Entries[0].APIv3KeyFiles)
	require.Equal(t, filepath.Join(dir, "secrets/pub_key.pem"), c.Entries[0].WeChatPayPublicKeys[0].File)
}

func TestLoad_reports_every_problem_at_once_with_its_place(t *testing.T) {
	t.Parallel()
	text := `merchants:
  - mchid: abc
    naem: demo
    apps: []
    protocol: v4
    anomalies: {amount_mismatch: accept, double_payment: accept}
    api_keys: [{name: shop, sha256: fk_not-a-hash}]
  - mchid: "1900000109"
    mchid: "1900000109"
    apps: [{appid: wx1}, {appid: wx1}]
    platform_certificates: yes
listn: {notify: ":8080"}
public_url: https://pay.example.com/?a=b
waits: {ack_wait: 60, refund_gap: 0s}
nats: {url: "nats://user:pw@127.0.0.1", replicas: 2, passwords: {worker: x}}
postgres: {url: "postgres://fenflow@127.0.0.1/fenflow"}
`
	got := problemsOf(t, text, config.RoleWorker, map[string]string{"FENFLOW_LISTEN_API": "8081"}, map[string]string{"listen.adnim": ":1"})
	require.ElementsMatch(t, []string{
		"merchants[0].naem: fenflow.yaml:3: is not a known key; did you mean name?",
		"merchants[1].mchid: fenflow.yaml:9: is there twice: remove one",
		"merchants[1].platform_certificates: fenflow.yaml:11: \"yes\" is neither true nor false",
		"listn: fenflow.yaml:12: is not a known key; did you mean listen?",
		"waits.ack_wait: fenflow.yaml:14: \"60\" is not a duration, such as 60s or 30m",
		"nats.passwords: fenflow.yaml:15: does not belong into the file: use nats.password_files, or FENFLOW_NATS_<USER>_PASSWORD in the environment",
		"listen.adnim: flag: is not a key that a flag can set; did you mean listen.admin?",
		"merchants[0].mchid: fenflow.yaml:2: mchid must be 8 to 32 digits, got 3 characters",
		"merchants[0].apps: fenflow.yaml:4: is empty: no order can name an appid",
		"merchants[0].protocol: fenflow.yaml:5: is \"v4\", must be v3 or v2",
		"merchants[0].anomalies.amount_mismatch: fenflow.yaml:6: cannot be accept: goods would be delivered for another price; must be hold or refund",
		"merchants[0].anomalies.double_payment: fenflow.yaml:6: cannot be accept: the same goods would be paid twice; must be refund or hold",
		"merchants[0].wechatpay_public_keys: is empty and platform_certificates is not true: nothing that WeChat Pay sends could be verified",
		"merchants[0].merchant_serial: is not set: it is the serial of the certificate that belongs to private_key_file",
		"merchants[0].private_key_file: is not set: calls to WeChat Pay are signed with apiclient_key.pem",
		"merchants[0].api_v3_key_files: is empty: notifications are encrypted under the APIv3 key",
		"merchants[0].api_keys[0].sha256: fenflow.yaml:7: must be 64 hex digits: the hash that `fenflow key new` prints, not the key",
		"merchants[1].apps[1].appid: fenflow.yaml:10: is wx1, which this merchant has already",
		"merchants[1].wechatpay_public_keys: is empty and platform_certificates is not true: nothing that WeChat Pay sends could be verified",
		"merchants[1].merchant_serial: is not set: it is the serial of the certificate that belongs to private_key_file",
		"merchants[1].private_key_file: is not set: calls to WeChat Pay are signed with apiclient_key.pem",
		"merchants[1].api_v3_key_files: is empty: notifications are encrypted under the APIv3 key",
		"listen.api: env FENFLOW_LISTEN_API: \"8081\" is not a listen address, such as :8080 or 127.0.0.1:8080",
		"public_url: fenflow.yaml:13: must have no query and no fragment: WeChat Pay refuses a notify_url with parameters",
		"nats.url: fenflow.yaml:15: must have no user name and no password: each role has its own (nats.password_files, or FENFLOW_NATS_<USER>_PASSWORD)",
		"nats.replicas: fenflow.yaml:15: must be 1, 3 or 5",
		"waits.refund_gap: fenflow.yaml:14: must be longer than 0",
		"postgres.url: fenflow.yaml:16: must state sslmode: verify-full, or disable on the same machine",
	}, got)
}

func TestLoad_refuses_what_would_be_ambiguous(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		env  map[string]string
		want string
	}{
		"a merchant twice":                {minimal + "  \n", nil, ""},
		"the same port twice":             {minimal + "listen: {notify: \":8081\", api: \":8081\"}\n", nil, "listen.api: fenflow.yaml:13: is :8081, the same as listen.notify: give each listener a port of its own"},
		"a secret from two places":        {minimal, map[string]string{"FENFLOW_POSTGRES_URL": "postgres://x/y?sslmode=disable", "FENFLOW_POSTGRES_URL_FILE": "/x"}, "postgres.url: env FENFLOW_POSTGRES_URL_FILE: is set together with FENFLOW_POSTGRES_URL: unset one"},
		"a list that is a text":           {minimal + "redis: [1]\n", nil, "redis: fenflow.yaml:13: must be a mapping of keys to values"},
		"a key without its id prefix":     {replaced(minimal, "PUB_KEY_ID_", "KEY_"), nil, "merchants[0].wechatpay_public_keys[0].id: fenflow.yaml:8: must begin with PUB_KEY_ID_: the merchant platform shows it beside the key"},
		"a document that is a list":       {"- a\n", nil, ": fenflow.yaml:1: must be a mapping of keys to values"},
		"a TLS certificate without a key": {minimal + "listen: {tls_cert_file: a.pem}\n", nil, "listen.tls_key_file: and listen.tls_cert_file belong together: set both or neither"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := problemsOf(t, test.text, config.RoleIngest, test.env, nil)
			if test.want == "" {
				require.Empty(t, got)
				return
			}
			require.Contains(t, got, trimColon(test.want))
		})
	}
}

func TestLoad_names_a_merchant_and_an_api_key_that_are_there_twice(t *testing.T) {
	t.Parallel()
	entry := minimal[len("merchants:\n"):indexOf(minimal, "public_url")]
	text := "merchants:\n" + entry + entry + minimal[indexOf(minimal, "public_url"):]
	require.Equal(t, []string{
		"merchants[1].mchid: fenflow.yaml:10: is 1900000109, as is merchants[0].mchid: each merchant is configured once",
		"merchants[1].api_keys[0].sha256: fenflow.yaml:17: is the same key as merchants[0].api_keys[0]: each holder has one of their own",
	}, problemsOf(t, text, config.RoleIngest, nil, nil))
}

func TestLoad_names_the_line_of_a_syntax_error_and_shows_no_content(t *testing.T) {
	t.Parallel()
	got := problemsOf(t, "postgres:\n  url: \"postgres://u:s3cret@h\n", config.RoleCLI, nil, nil)
	require.Len(t, got, 1)
	require.Contains(t, got[0], "fenflow.yaml: line ")
	require.NotContains(t, got[0], "s3cret")
}

func TestLoad_says_how_to_name_a_file_that_is_missing(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Options{File: filepath.Join(t.TempDir(), "none.yaml")})
	require.ErrorContains(t, err, "no such file")
	require.ErrorContains(t, err, "--config or FENFLOW_CONFIG")
}

func TestLoad_runs_without_any_file(t *testing.T) {
	t.Parallel()
	c, err := config.Load(config.Options{Lookup: lookup(map[string]string{"FENFLOW_POSTGRES_URL": "postgres://fenflow@db/fenflow?sslmode=disable"}), Role: config.RoleCLI})
	require.NoError(t, err)
	require.Equal(t, "postgres://fenflow@db/fenflow?sslmode=disable", c.Postgres.URL.Reveal())
	require.Empty(t, c.File())
}

func TestNotices_tell_of_a_variable_misspelt(t *testing.T) {
	t.Parallel()
	c, err := config.Load(config.Options{File: write(t, minimal), Role: config.RoleIngest, Environ: []string{"FENFLOW_LISTEN_ADMN=:1", "FENFLOW_NATS_SUBSCRIBER_PASSWORD=x", "HOME=/"}})
	require.NoError(t, err)
	var notices []string
	for _, n := range c.Notices() {
		notices = append(notices, n.String())
	}
	require.Equal(t, []string{
		"env FENFLOW_LISTEN_ADMN: is read by nobody; did you mean FENFLOW_LISTEN_ADMIN?",
	}, notices)
}

func TestLoad_accepts_what_the_simulator_writes(t *testing.T) {
	t.Parallel()
	dir, m := shop(t)
	for _, role := range config.Roles() {
		c, err := config.Load(config.Options{File: filepath.Join(dir, "fenflow.yaml"), Role: role})
		require.NoError(t, err, role)
		directory, err := c.Directory()
		require.NoError(t, err)
		owner, key, ok := directory.ByAPIKey(m.APIKey)
		require.True(t, ok)
		require.Equal(t, "shop", key)
		require.Equal(t, m.Mchid, string(owner.MchID))
	}
}

func TestReference_page_is_up_to_date(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/reference/configuration.md")
	require.NoError(t, err)
	require.Equal(t, config.Reference(), string(page), "run: make generate")
}

func TestExitCode_of_a_bad_configuration(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Options{File: write(t, "a: b\n")})
	require.Equal(t, problem.ExitConfig, problem.ExitCodeOf(err))
}
