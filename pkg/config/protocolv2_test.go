package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/config"
)

// overV2 is the minimal configuration of a merchant that has protocol v2 only.
const overV2 = `merchants:
  - mchid: "1900000109"
    apps: [{appid: wx8888888888888888}]
    protocol: v2
    api_v2_key_files: [secrets/apiv2.key]
    anomalies: {double_payment: hold}
public_url: https://pay.example.com
postgres: {url: "postgres://fenflow@127.0.0.1:5432/fenflow?sslmode=disable"}
nats: {url: "nats://127.0.0.1:4222", monitor_urls: ["http://127.0.0.1:8222"]}
`

func TestSignType_is_HMAC_unless_configured(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{"": "HMAC-SHA256", "    sign_type: HMAC-SHA256\n": "HMAC-SHA256", "    sign_type: MD5\n": "MD5"} {
		c := load(t, replaced(overV2, "    protocol: v2\n", "    protocol: v2\n"+line), config.RoleWorker, nil)
		require.Equal(t, want, c.Merchants()[0].SignTypeV2)
	}
	require.Equal(t, []string{`merchants[0].sign_type: fenflow.yaml:5: is "SHA1", must be HMAC-SHA256 or MD5`},
		problemsOf(t, replaced(overV2, "    protocol: v2\n", "    protocol: v2\n    sign_type: SHA1\n"), config.RoleWorker, nil, nil))
}

func TestClientCertificate_is_missed_where_v2_refunds_need_it(t *testing.T) {
	t.Parallel()
	notices := func(text string, role config.Role) (all []string) {
		for _, n := range load(t, text, role, nil).Notices() {
			all = append(all, n.String())
		}
		return all
	}
	got := notices(overV2, config.RoleWorker)
	require.Len(t, got, 1)
	require.Contains(t, got[0], "merchants[0].client_certificate_file: is not set: WeChat Pay takes refunds of protocol v2 only from who shows the certificate of merchant 1900000109")
	require.Empty(t, notices(overV2, config.RoleIngest), "what a role may not hold is not its business")

	const both = "    private_key_file: secrets/apiclient_key.pem\n    client_certificate_file: secrets/apiclient_cert.pem\n"
	require.Empty(t, notices(replaced(overV2, "    protocol: v2\n", "    protocol: v2\n"+both), config.RoleWorker))
	alone := replaced(overV2, "    protocol: v2\n", "    protocol: v2\n    client_certificate_file: secrets/apiclient_cert.pem\n")
	require.Equal(t, []string{"merchants[0].private_key_file: is not set: client_certificate_file is of no use without the key that belongs to it"},
		problemsOf(t, alone, config.RoleWorker, nil, nil))
}
