package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/problem"
)

func TestIngest_needs_no_postgres_and_is_given_no_secret(t *testing.T) {
	t.Parallel()
	c := load(t, minimal, config.RoleIngest, map[string]string{
		"FENFLOW_POSTGRES_URL_FILE":         "/nowhere/postgres",
		"FENFLOW_NATS_WORKER_PASSWORD_FILE": "/nowhere/worker",
		"FENFLOW_NATS_NOTIFY_PASSWORD":      "notify-pw",
	})
	require.Empty(t, c.Postgres.URL)
	require.Empty(t, c.Entries[0].PrivateKeyFile)
	require.Empty(t, c.Entries[0].APIv3KeyFiles)
	require.Empty(t, c.NATSPassword("worker"))
	require.Equal(t, "notify-pw", c.NATSPassword("notify").Reveal())
	_, err := c.Credentials("1900000109")
	require.ErrorContains(t, err, "holds no secrets")

	bad := replaced(minimal, "?sslmode=disable", "")
	require.Empty(t, problemsOf(t, bad, config.RoleIngest, nil, nil), "what a role may not hold is not its business")
	require.Len(t, problemsOf(t, bad, config.RoleWorker, nil, nil), 1)
}

func TestIngest_reads_public_keys_while_every_secret_file_is_gone(t *testing.T) {
	t.Parallel()
	dir, m := shop(t)
	for _, secret := range []string{"apiclient_key.pem", "apiclient_cert.pem", "apiv3.key", "apiv2.key"} {
		require.NoError(t, os.Remove(filepath.Join(dir, "secrets", secret)))
	}
	c, err := config.Load(config.Options{File: filepath.Join(dir, "fenflow.yaml"), Role: config.RoleIngest})
	require.NoError(t, err)
	snapshot, err := c.Snapshot()
	require.NoError(t, err)
	require.Nil(t, snapshot.Credentials)
	require.Len(t, snapshot.PublicKeys["1900000109"], 1)
	require.Equal(t, m.PublicKeyID, snapshot.PublicKeys["1900000109"][0].ID)
	require.True(t, m.WechatpayKey.PublicKey.Equal(snapshot.PublicKeys["1900000109"][0].Key))
}

func TestRoles_name_what_they_cannot_run_without(t *testing.T) {
	t.Parallel()
	for role, want := range map[config.Role][]string{
		config.RoleAny: nil,
		config.RoleCLI: nil,
		config.RoleIngest: {
			"merchants: is not set: ingest needs it",
			"nats.url: is not set: ingest needs it (variable FENFLOW_NATS_URL)",
		},
		config.RoleWorker: {
			"merchants: is not set: worker needs it",
			"nats.url: is not set: worker needs it (variable FENFLOW_NATS_URL)",
			"postgres.url: is not set: worker needs it (variable FENFLOW_POSTGRES_URL)",
			"public_url: is not set: worker needs it (variable FENFLOW_PUBLIC_URL)",
		},
		config.RoleReconciler: {
			"merchants: is not set: reconciler needs it",
			"postgres.url: is not set: reconciler needs it (variable FENFLOW_POSTGRES_URL)",
			"public_url: is not set: reconciler needs it (variable FENFLOW_PUBLIC_URL)",
		},
		config.RoleConsole: {
			"postgres.url: is not set: console needs it (variable FENFLOW_POSTGRES_URL)",
		},
	} {
		require.Equal(t, want, problemsOf(t, "{}\n", role, nil, nil), "role %q", role)
	}
}

func TestFor_narrows_what_was_loaded_for_any_role(t *testing.T) {
	t.Parallel()
	all := load(t, minimal, config.RoleAny, nil)
	require.NotEmpty(t, all.Entries[0].PrivateKeyFile)
	ingest, err := all.For(config.RoleIngest)
	require.NoError(t, err)
	require.Empty(t, ingest.Entries[0].PrivateKeyFile)
	require.NotEmpty(t, all.Entries[0].PrivateKeyFile, "narrowing changes a copy")
	require.Equal(t, config.RoleIngest, ingest.Role())
}

func TestSecrets_come_from_files(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pg"), []byte("postgres://u:p@h/d?sslmode=disable\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nats-worker"), []byte("w0rker\r\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "empty"), []byte("\n"), 0o600))
	text := replaced(minimal, "nats: {", fmt.Sprintf("nats: {password_files: {worker: %s/nats-worker, notify: /nowhere}, ", dir))
	c := load(t, text, config.RoleWorker, map[string]string{"FENFLOW_POSTGRES_URL_FILE": filepath.Join(dir, "pg")})
	require.Equal(t, "postgres://u:p@h/d?sslmode=disable", c.Postgres.URL.Reveal())
	require.Equal(t, "w0rker", c.NATSPassword("worker").Reveal())

	c = load(t, text, config.RoleWorker, map[string]string{"FENFLOW_NATS_WORKER_PASSWORD": "from the environment"})
	require.Equal(t, "from the environment", c.NATSPassword("worker").Reveal())

	require.Equal(t, []string{"nats.passwords.notify: fenflow.yaml:12: stat /nowhere: no such file or directory: correct the path, or make the file readable for this user"},
		problemsOf(t, text, config.RoleIngest, nil, nil))
	require.Equal(t, []string{"postgres.url: env FENFLOW_POSTGRES_URL_FILE: " + dir + "/empty is empty: write the secret into it"},
		problemsOf(t, minimal, config.RoleWorker, map[string]string{"FENFLOW_POSTGRES_URL_FILE": filepath.Join(dir, "empty")}, nil))
}

func TestShow_tells_value_and_origin_and_no_secret(t *testing.T) {
	t.Parallel()
	c, err := config.Load(config.Options{
		File: write(t, minimal), Flags: map[string]string{"log.level": "debug"}, Environ: []string{"FENFLOW_X=s3cret"},
		Lookup: lookup(map[string]string{
			"FENFLOW_NATS_WORKER_PASSWORD": "s3cret-nats", "FENFLOW_NATS_API_PASSWORD_FILE": "/nowhere",
			"FENFLOW_REDIS_URL": "redis://:s3cret-redis@h:6379/0?password=s3cret-query",
		}),
	})
	require.NoError(t, err)
	shown := map[string]config.Setting{}
	for _, s := range c.Show() {
		shown[s.Key] = s
	}
	require.Equal(t, config.Setting{Key: "public_url", Value: "https://pay.example.com", Origin: "fenflow.yaml:10"}, shown["public_url"])
	require.Equal(t, config.Setting{Key: "log.level", Value: "debug", Origin: "flag"}, shown["log.level"])
	require.Equal(t, config.Setting{Key: "waits.ack_wait", Value: "1m0s", Origin: "default"}, shown["waits.ack_wait"])
	require.Equal(t, config.Setting{Key: "merchants[0].name", Value: "demo", Origin: "fenflow.yaml:3"}, shown["merchants[0].name"])
	require.Equal(t, config.Setting{Key: "nats.passwords.worker", Value: "[redacted]", Origin: "env FENFLOW_NATS_WORKER_PASSWORD"}, shown["nats.passwords.worker"])
	require.Equal(t, config.Setting{Key: "nats.passwords.api", Value: "[redacted]", Origin: "env FENFLOW_NATS_API_PASSWORD_FILE"}, shown["nats.passwords.api"])
	require.Equal(t, "postgres://fenflow:[redacted]@127.0.0.1:5432/fenflow?sslmode=disable", shown["postgres.url"].Value)
	require.Equal(t, "redis://:[redacted]@h:6379/0?password=[redacted]", shown["redis.url"].Value)

	raw, err := json.Marshal(c.Show())
	require.NoError(t, err)
	encoded, err := json.Marshal(c)
	require.NoError(t, err)
	_, err = config.Load(config.Options{Flags: map[string]string{"postgres.url": "s3cret"}})
	require.ErrorContains(t, err, "is not a key that a flag can set")
	for _, printed := range []string{string(raw), string(encoded), fmt.Sprintf("%v %+v %#v", c, c, c), err.Error()} {
		require.NotContains(t, printed, "s3cret")
	}
}

func TestCredentials_come_for_the_worker_and_name_the_broken_file(t *testing.T) {
	t.Parallel()
	dir, m := shop(t)
	c, err := config.Load(config.Options{File: filepath.Join(dir, "fenflow.yaml"), Role: config.RoleWorker})
	require.NoError(t, err)
	credentials, err := c.Credentials("1900000109")
	require.NoError(t, err)
	require.True(t, m.PrivateKey.Equal(credentials.PrivateKey))
	require.Equal(t, m.APIv3Key, credentials.APIv3Keys[0].Reveal())
	_, err = c.Credentials("1900000110")
	require.Equal(t, problem.UnknownMerchant, problem.KindOf(err))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets/apiv3.key"), []byte("short"), 0o600))
	_, err = c.AllCredentials()
	require.Equal(t, problem.SecretUnreadable, problem.KindOf(err))
	require.ErrorContains(t, err, "apiv3.key")
}
