package servers_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

func startNATS(t *testing.T, options servers.NATSOptions) *servers.NATS {
	t.Helper()
	options.StoreDir = t.TempDir()
	n, err := servers.StartNATS(options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

func stream(t *testing.T, n *servers.NATS, options ...nats.Option) (jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	nc, err := nats.Connect(n.URL(), options...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	// As large as in production: a reservation must not depend on the disk of the machine.
	s, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "NOTIFY", Subjects: []string{"pay.notify.>"}, MaxBytes: 50 << 30})
	require.NoError(t, err)
	return js, s
}

func syncAlways(t *testing.T, n *servers.NATS) bool {
	t.Helper()
	answer, err := http.Get(n.MonitorURL() + "/varz")
	require.NoError(t, err)
	defer answer.Body.Close()
	var varz struct {
		JetStream struct {
			Config struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
		} `json:"jetstream"`
	}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&varz))
	return varz.JetStream.Config.SyncAlways
}

func TestNATS_keeps_streams_and_addresses_through_a_restart(t *testing.T) {
	t.Parallel()
	n := startNATS(t, servers.NATSOptions{})
	require.True(t, syncAlways(t, n))
	js, _ := stream(t, n)
	_, err := js.Publish(t.Context(), "pay.notify.live.0", []byte("pack"))
	require.NoError(t, err)
	address, monitor := n.URL(), n.MonitorURL()

	require.NoError(t, n.Restart())
	require.Equal(t, address, n.URL())
	require.Equal(t, monitor, n.MonitorURL())
	require.True(t, syncAlways(t, n))
	_, kept := stream(t, n)
	info, err := kept.Info(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, info.State.Msgs)

	require.NoError(t, n.Stop())
	_, err = nats.Connect(address)
	require.Error(t, err)
	require.NoError(t, n.Restart())
	stream(t, n)
}

func TestNATS_can_be_made_careless_to_show_that_it_is_noticed(t *testing.T) {
	t.Parallel()
	require.False(t, syncAlways(t, startNATS(t, servers.NATSOptions{LazySync: true})))
}

func configuration(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`
listen: 0.0.0.0:4222
http: 0.0.0.0:8222
jetstream { store_dir: /data, sync_interval: always, max_file_store: 1MB }
authorization {
  users: [
    {user: worker, password: $FENFLOW_TEST_WORKER_PASSWORD}
    {user: notify, password: $FENFLOW_TEST_WORKER_PASSWORD_2, permissions: {publish: ["pay.notify.>"], subscribe: ["_INBOX.>"]}}
  ]
}
`), 0o600))
	return path
}

func TestNATS_runs_the_shipped_configuration_on_addresses_of_its_own(t *testing.T) {
	t.Parallel()
	path := configuration(t)
	start := func(password string) *servers.NATS {
		return startNATS(t, servers.NATSOptions{ConfigFile: path, Environment: map[string]string{
			"FENFLOW_TEST_WORKER_PASSWORD":   password,
			"FENFLOW_TEST_WORKER_PASSWORD_2": `quotes " and \ too`,
			"FENFLOW_TEST_UNUSED":            "never read",
		}})
	}
	one, two := start("1st $ecret"), start("2nd $ecret")
	require.True(t, syncAlways(t, one))
	stream(t, one, nats.UserInfo("worker", "1st $ecret"))
	stream(t, two, nats.UserInfo("worker", "2nd $ecret"))
	_, err := nats.Connect(one.URL(), nats.UserInfo("worker", "2nd $ecret"))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	notify, err := nats.Connect(one.URL(), nats.UserInfo("notify", `quotes " and \ too`))
	require.NoError(t, err)
	notify.Close()
}

func TestNATS_names_the_variable_that_is_missing(t *testing.T) {
	t.Parallel()
	_, err := servers.StartNATS(servers.NATSOptions{StoreDir: t.TempDir(), ConfigFile: configuration(t)})
	require.ErrorContains(t, err, "FENFLOW_TEST_WORKER_PASSWORD")
}

func TestNATS_reads_included_files_and_reads_them_again_when_told(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf, more := filepath.Join(dir, "nats.conf"), filepath.Join(dir, "more.conf")
	require.NoError(t, os.WriteFile(conf, []byte("accounts {\n  A {users: [{user: a, password: pw-a}]}\n  include \"more.conf\"\n}\n"), 0o600))
	_, err := servers.StartNATS(servers.NATSOptions{StoreDir: t.TempDir(), ConfigFile: conf})
	require.ErrorContains(t, err, "more.conf")
	require.NoError(t, os.WriteFile(more, []byte("# nobody yet\n"), 0o600))
	n := startNATS(t, servers.NATSOptions{ConfigFile: conf})
	stays, err := nats.Connect(n.URL(), nats.UserInfo("a", "pw-a"), nats.NoReconnect())
	require.NoError(t, err)
	defer stays.Close()
	_, err = nats.Connect(n.URL(), nats.UserInfo("b", "pw-b"))
	require.ErrorIs(t, err, nats.ErrAuthorization)

	require.NoError(t, os.WriteFile(more, []byte("B {users: [{user: b, password: pw-b}]}\n"), 0o600))
	require.NoError(t, n.Reload())
	b, err := nats.Connect(n.URL(), nats.UserInfo("b", "pw-b"))
	require.NoError(t, err)
	b.Close()
	require.NoError(t, stays.Flush(), "who was there stays")

	require.NoError(t, os.WriteFile(more, []byte("B {users: ["), 0o600))
	require.Error(t, n.Reload(), "what cannot be read changes nothing")
	require.NoError(t, stays.Flush())
	require.NoError(t, n.Stop())
	require.ErrorContains(t, n.Reload(), "does not run")
}
