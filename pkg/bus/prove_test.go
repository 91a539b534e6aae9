package bus

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

func TestProve_finds_everything_in_order(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.worker.Prove(t.Context(), []string{w.server.MonitorURL()})
	require.Empty(t, v.Problems)
	require.True(t, v.OK)
	require.Equal(t, []string{w.worker.ServerID()}, v.Servers)
	require.WithinDuration(t, time.Now(), v.CheckedAt, time.Minute)
	require.NoError(t, w.worker.EnsureStreams(t.Context()), "and again")
}

func TestProve_names_what_is_wrong_and_the_fix(t *testing.T) {
	t.Parallel()
	lazy := world{server: broker(t, func(o *servers.NATSOptions) { o.LazySync = true })}
	lazy.worker = connect(t, lazy.server, "worker")
	require.NoError(t, lazy.worker.EnsureStreams(t.Context()))
	w := newWorld(t)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for name, c := range map[string]struct {
		w    world
		urls []string
		want string
	}{
		"lazy sync":        {lazy, []string{lazy.server.MonitorURL()}, "sync_interval is 2m0s, must be always"},
		"no monitor":       {w, nil, "nats.monitor_urls is empty"},
		"monitor away":     {w, []string{"http://127.0.0.1:1"}, "monitoring port http://127.0.0.1:1"},
		"not a monitor":    {w, []string{other.URL}, "404"},
		"another's server": {w, []string{lazy.server.MonitorURL()}, "is not among nats.monitor_urls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := c.w.worker.Prove(t.Context(), c.urls)
			require.False(t, v.OK)
			require.Contains(t, strings.Join(v.Problems, "\n"), c.want)
		})
	}
}

func TestProve_names_streams_that_are_missing_or_unsafe(t *testing.T) {
	t.Parallel()
	w := world{server: broker(t)}
	w.worker = connect(t, w.server, "worker", func(c *Config) { c.Limits.Event = 1 << 20 }) // fits in the server's memory
	made := w.worker.streamConfigs()
	notify, event := made[0], made[2]
	notify.PersistMode = jetstream.AsyncPersistMode // overrides sync_interval always
	notify.Discard = jetstream.DiscardOld
	event.Storage = jetstream.MemoryStorage
	event.MaxAge = time.Hour
	event.AllowAtomicPublish = false
	event.NoAck = true
	for _, c := range []jetstream.StreamConfig{notify, event} {
		_, err := w.worker.js.CreateStream(t.Context(), c)
		require.NoError(t, err)
	}
	urls := []string{w.server.MonitorURL()}
	problems := strings.Join(w.worker.Prove(t.Context(), urls).Problems, "\n")
	for _, want := range []string{
		"stream NOTIFY: persist_mode is async, must be default; change it by hand",
		"stream NOTIFY: discard is DiscardOld, must be DiscardNew; restart a worker",
		"stream EVENT: storage is Memory, must be File",
		"stream EVENT: no_ack is true, must be false",
		"stream EVENT: max_age is 1h0m0s, must be 2160h0m0s",
		"stream COMMAND: nats: API error: code=404",
	} {
		require.Contains(t, problems, want)
	}
	require.NoError(t, w.worker.EnsureStreams(t.Context()))
	problems = strings.Join(w.worker.Prove(t.Context(), urls).Problems, "\n")
	require.Equal(t, 2, strings.Count(problems, "must be"), "what could be mended is: %s", problems)
	require.Contains(t, problems, "persist_mode is async")
	require.Contains(t, problems, "storage is Memory")
}

func TestProve_wants_as_many_replicas_as_configured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	three := connect(t, w.server, "worker", func(c *Config) { c.Replicas = 3 })
	require.Error(t, three.EnsureStreams(t.Context()), "one server cannot hold three replicas")
	v := three.Prove(t.Context(), []string{w.server.MonitorURL()})
	require.Contains(t, strings.Join(v.Problems, "\n"), "stream NOTIFY: replicas is 1, must be 3")
}

func TestProve_wants_a_look_at_every_server_that_holds_a_stream(t *testing.T) {
	t.Parallel()
	cluster := &jetstream.ClusterInfo{Leader: "a", Replicas: []*jetstream.PeerInfo{{Name: "b"}, {Name: "c"}}}
	require.Empty(t, unprovenHolders("NOTIFY", cluster, map[string]bool{"a": true, "b": true, "c": true}))
	problems := unprovenHolders("NOTIFY", cluster, map[string]bool{"a": true, "c": true})
	require.Len(t, problems, 1)
	require.Contains(t, problems[0], "server b holds it")
}

func TestEnsureStreams_does_not_lower_a_limit_below_what_is_stored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	publishMany(t, NewPacker(w.notify, "1"), 0, 50)
	tight := connect(t, w.server, "worker", func(c *Config) { c.Limits.Notify = 1 << 10 })
	require.NoError(t, tight.EnsureStreams(t.Context()))
	all, _ := w.stored(t)
	require.Len(t, all, 50)
	v := tight.Prove(t.Context(), []string{w.server.MonitorURL()})
	require.Contains(t, strings.Join(v.Problems, "\n"), "stream NOTIFY: max_bytes is 2147483648, must be 1024; change it by hand")
}
