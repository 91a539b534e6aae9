package doctor_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/doctor"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/simulator"
)

const mchid = "1900000109"

// configured looks at configuration and files alone.
func (s *site) configured() found {
	s.t.Helper()
	s.offline = true
	return s.examine()
}

func TestConfiguration_is_fine_for_every_role_that_has_what_it_needs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.edit("base_url: http://127.0.0.1", "base_url: https://127.0.0.1") // of the stand-in: plain http is told of
	f := s.configured()
	f.is(doctor.OK, "configuration.file", "", "fenflow.yaml")
	for _, role := range config.Roles() {
		f.is(doctor.OK, "configuration.role", string(role))
	}
	f.is(doctor.OK, "configuration.secret_files", "", "14 files, each for its owner alone")
	f.is(doctor.OK, "configuration.merchant", mchid, "private key; 1 APIv3 key; 1 APIv2 key; public keys: PUB_KEY_ID_")
	f.is(doctor.OK, "configuration.notify_url", "", "https://pay.example.com/notify/v3/1900000109")
}

func TestConfiguration_of_the_edge_alone_asks_for_no_secret_and_no_database(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.edit("postgres:", "no_longer:")
	s.edit("no_longer:\n    url", "log:\n    level: info\n#") // and no database
	secrets, err := os.ReadDir(s.file("secrets"))
	require.NoError(t, err)
	for _, secret := range secrets {
		if name := secret.Name(); name != "pub_key.pem" && name != "session.pub" {
			require.NoError(t, os.Remove(s.file("secrets/"+name)))
		}
	}
	f := s.configured()
	f.is(doctor.OK, "configuration.role", "ingest")
	for _, elsewhere := range []string{"worker", "reconciler", "console"} {
		f.is(doctor.Skipped, "configuration.role", elsewhere, "it lacks postgres.url")
	}
	f.is(doctor.OK, "configuration.merchant", mchid, "the secrets are with worker and reconciler")
	f.is(doctor.Skipped, "configuration.secret_files", "")
	require.False(t, f.has("postgres.reachable"))
	require.False(t, f.has("redis.reachable"))
	require.False(t, f.has("wechatpay.reachable"))
	require.True(t, f.has("nats.verdict"))
	require.False(t, f.has("nats.consumer"))

	s.role = config.RoleWorker // whoever names it wants it here
	f = s.configured()
	f.is(doctor.Fail, "configuration.role", "worker", "postgres.url: is not set: worker needs it")
	f.some(doctor.Fail, "configuration.merchant", "apiclient_key.pem", "no such file")
	f.some(doctor.Fail, "configuration.merchant", "apiv3.key")
}

func TestConfiguration_tells_every_problem_once(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.env["FENFLOW_LISTEN_API"], s.env["FENFLOW_LOG_LEVEL"] = "nowhere", "loud"
	f := s.configured()
	f.some(doctor.Fail, "configuration.file", "listen.api: ", "env FENFLOW_LISTEN_API", "Correct listen.api")
	f.some(doctor.Fail, "configuration.file", "log.level: ")
	f.is(doctor.Skipped, "configuration.role", "ingest", "configuration.file failed")

	delete(s.env, "FENFLOW_LISTEN_API")
	delete(s.env, "FENFLOW_LOG_LEVEL")
	delete(s.env, "FENFLOW_NATS_WORKER_PASSWORD")
	s.env["FENFLOW_NATS_WORKER_PASSWORD_FILE"] = s.file("secrets/nowhere")
	f = s.configured()
	f.is(doctor.OK, "configuration.role", "ingest")
	f.is(doctor.Fail, "configuration.role", "worker", "secrets/nowhere", "--role")

	s.write("fenflow.yaml", "{}")
	f = s.configured()
	f.is(doctor.Fail, "configuration.file", "", "sets up no role")
	s.env["FENFLOW_CONFIG"] = s.file("nowhere.yaml")
	s.configured().some(doctor.Fail, "configuration.file", "nowhere.yaml")
}

func TestConfiguration_warns_of_secrets_that_others_can_read(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.NoError(t, os.Chmod(s.file("secrets/apiv3.key"), 0o640))
	require.NoError(t, os.Chmod(s.file("secrets/apiclient_key.pem"), 0o604))
	require.NoError(t, os.Chmod(s.file("secrets/pub_key.pem"), 0o644)) // is none
	s.edit("postgres://u@", "postgres://u:s3cret@")
	require.NoError(t, os.Chmod(s.file("fenflow.yaml"), 0o644))
	f := s.configured()
	f.some(doctor.Warn, "configuration.secret_files", "secrets/apiv3.key", "mode is 0640", "chmod 600")
	f.some(doctor.Warn, "configuration.secret_files", "secrets/apiclient_key.pem", "0604")
	f.some(doctor.Warn, "configuration.secret_files", "fenflow.yaml (postgres.url)")
	for _, one := range f.all {
		require.NotContains(t, one.Detail, "pub_key.pem can")
	}
}

func TestConfiguration_finds_keys_that_cannot_be_used(t *testing.T) {
	t.Parallel()
	other, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(*site)
		want   string
	}{
		"an APIv3 key that was cut":   {func(s *site) { s.write("secrets/apiv3.key", "short") }, "it holds 5 bytes without surrounding white space, and a key has exactly 32"},
		"a public key that is none":   {func(s *site) { s.write("secrets/pub_key.pem", "x") }, "pub_key.pem: it holds no PEM block"},
		"a certificate as key":        {func(s *site) { s.write("secrets/apiclient_key.pem", string(s.merchant.Certificate)) }, "PEM block"},
		"a certificate of other keys": {func(s *site) { s.useCertificate(other.Certificate) }, "it does not belong to the private key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			c.change(s)
			s.configured().some(doctor.Fail, "configuration.merchant", c.want)
		})
	}
}

// useCertificate configures an API certificate.
func (s *site) useCertificate(text []byte) {
	s.write("secrets/apiclient_cert.pem", string(text))
	s.edit("private_key_file:", "client_certificate_file: secrets/apiclient_cert.pem\n      private_key_file:")
}

func TestConfiguration_says_when_the_API_certificate_ends(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.useCertificate(s.merchant.Certificate)
	s.configured().is(doctor.OK, "configuration.merchant", mchid, "API certificate fits the private key and lasts 18", "days more")
	ends := time.Now().AddDate(5, 0, 0)
	s.now = func() time.Time { return ends.AddDate(0, 0, -20) }
	s.configured().is(doctor.Warn, "configuration.merchant", mchid, "days more", "Apply for a new API certificate")
	s.now = func() time.Time { return ends.AddDate(0, 0, 20) }
	s.configured().is(doctor.Fail, "configuration.merchant", mchid, "the API certificate ended on")
}

func TestConfiguration_judges_where_WeChat_Pay_is_told_to_post(t *testing.T) {
	t.Parallel()
	const genuine = "https://api.mch.weixin.qq.com"
	for name, c := range map[string]struct {
		public, base string
		verdict      doctor.Verdict
		want         string
	}{
		"http, of WeChat Pay":           {"http://pay.example.com", genuine, doctor.Fail, "WeChat Pay posts to https"},
		"http, of a stand-in":           {"http://127.0.0.1:8080", "http://127.0.0.1:8090", doctor.Warn, "right for a stand-in only"},
		"this machine":                  {"https://localhost", genuine, doctor.Fail, "WeChat Pay cannot reach that"},
		"a private network":             {"https://192.168.1.2", genuine, doctor.Fail, "WeChat Pay cannot reach that"},
		"a name of the house":           {"https://pay.internal", genuine, doctor.Fail, "WeChat Pay cannot reach that"},
		"an address on the internet":    {"https://203.0.113.7/pay", genuine, doctor.OK, "https://203.0.113.7/pay/notify/v3/1900000109"},
		"https, of a stand-in":          {"https://127.0.0.1:8080", "http://127.0.0.1:8090", doctor.OK, "/notify/v3/"},
		"parameters, which are refused": {"https://pay.example.com?a=b", genuine, doctor.OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(o *simulator.InitOptions) { o.PublicURL, o.BaseURL = c.public, c.base })
			f := s.configured()
			f.is(c.verdict, "configuration.notify_url", "", c.want)
			if strings.Contains(c.public, "?") {
				f.some(doctor.Fail, "configuration.file", "public_url: ", "must have no query")
			}
		})
	}
}
