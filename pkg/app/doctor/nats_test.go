package doctor_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/deploy"
	"github.com/fenflow/fenflow/pkg/app/doctor"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// broker looks at NATS. Other parts are away, which does no harm to it.
func (s *site) broker() found {
	s.t.Helper()
	s.offline = true
	return s.examine()
}

// settled makes what a worker makes: streams, consumers, a verdict.
func (s *site) settled(n *servers.NATS, v bus.Verdict) {
	s.t.Helper()
	worker := s.as(n, "worker")
	require.NoError(s.t, worker.EnsureStreams(s.t.Context()))
	require.NoError(s.t, worker.PutVerdict(s.t.Context(), v))
	ctx, stop := context.WithCancel(s.t.Context())
	ended := make(chan error, 3)
	for _, subject := range []string{bus.SubjectLive, bus.SubjectReplay} {
		go func() {
			ended <- worker.ConsumeNotifications(ctx, bus.ConsumeOptions{Subject: subject}, func(context.Context, []wechatpay.Arrival) error { return nil })
		}()
	}
	go func() {
		ended <- worker.ConsumeCommands(ctx, []pay.MchID{mchid}, bus.CommandOptions{}, func(context.Context, pay.Command) (pay.CommandResult, error) { return pay.CommandResult{}, nil })
	}()
	require.Eventually(s.t, func() bool {
		for _, c := range bus.WorkerConsumers(time.Minute, []pay.MchID{mchid}) {
			if state, err := worker.ConsumerState(s.t.Context(), c); err != nil || state.Missing {
				return false
			}
		}
		return true
	}, 30*time.Second, 10*time.Millisecond)
	stop()
	for range 3 {
		<-ended
	}
}

func TestNATS_is_well(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	n := s.withNATS()
	s.settled(n, bus.Verdict{OK: true, CheckedAt: time.Now()})
	f := s.broker()
	f.is(doctor.OK, "nats.reachable", "", "127.0.0.1:")
	for _, user := range []string{"notify", "api", "front", "worker", "reconciler", "console"} {
		f.is(doctor.OK, "nats.user", user)
	}
	f.is(doctor.OK, "nats.monitor", host(n.MonitorURL()), "version 2.15")
	f.is(doctor.OK, "nats.clock", host(n.MonitorURL()))
	f.some(doctor.OK, "nats.storage", "room for the streams (5.1 GiB)")
	f.is(doctor.OK, "nats.durability", "", "sync_interval: always")
	f.is(doctor.OK, "nats.streams", "", "6 streams")
	for _, consumer := range []string{"settle-live", "settle-replay", "command-1900000109"} {
		f.is(doctor.OK, "nats.consumer", consumer, "nothing waits")
	}
	f.is(doctor.OK, "nats.verdict", "")
}

func TestNATS_users_are_let_in_with_their_own_password_only(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.withNATS()
	s.env[passwordOf("worker")], s.env[passwordOf("console")] = "pw-s3cret-wrong", "pw-s3cret-wrong"
	delete(s.env, passwordOf("reconciler"))
	f := s.broker()
	f.is(doctor.Fail, "nats.user", "worker", "Authorization Violation", "FENFLOW_NATS_WORKER_PASSWORD")
	f.is(doctor.Fail, "nats.user", "console")
	f.is(doctor.Skipped, "nats.user", "reconciler", "no password of this user is set here")
	f.is(doctor.Skipped, "nats.streams", "", "nats.user/worker failed")
	f.is(doctor.OK, "nats.user", "api")
	f.is(doctor.Fail, "nats.verdict", "", "Start a worker") // there is no bucket yet

	open := newSite(t)
	anybody := testkit.NATS(t)
	open.env["FENFLOW_NATS_URL"], open.env["FENFLOW_NATS_MONITOR_URLS"] = anybody.URL(), anybody.MonitorURL()
	for _, user := range natsUsers {
		delete(open.env, passwordOf(user))
	}
	open.broker().is(doctor.Warn, "nats.user", "notify", "without a password", "deploy/nats.conf")
}

func TestNATS_that_forgets_or_drifted_is_found(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	n := s.withNATS(func(o *servers.NATSOptions) {
		o.LazySync = true
		text, err := os.ReadFile(natsConf)
		require.NoError(t, err)
		o.ConfigFile = filepath.Join(t.TempDir(), "nats.conf") // with one user more, who may do anything
		accounts := filepath.Join(filepath.Dir(o.ConfigFile), deploy.SubscriberAccountsFile)
		require.NoError(t, os.MkdirAll(filepath.Dir(accounts), 0o700))
		require.NoError(t, os.WriteFile(accounts, deploy.SubscriberAccounts(), 0o600))
		require.NoError(t, os.WriteFile(o.ConfigFile, []byte(strings.Replace(string(text), "    users: [\n", "    users: [\n      {user: owner, password: pw-owner}\n", 1)), 0o600))
	})
	s.settled(n, bus.Verdict{Problems: []string{"sync_interval is 2m"}, CheckedAt: time.Now()})
	conn, err := nats.Connect(n.URL(), nats.UserInfo("owner", "pw-owner"))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	stream, err := js.Stream(t.Context(), bus.StreamNotify)
	require.NoError(t, err)
	drifted := stream.CachedInfo().Config
	drifted.Discard, drifted.MaxBytes = jetstream.DiscardOld, 1<<20
	_, err = js.UpdateStream(t.Context(), drifted)
	require.NoError(t, err)
	live, err := stream.Consumer(t.Context(), "settle-live")
	require.NoError(t, err)
	mild := live.CachedInfo().Config
	mild.AckWait, mild.MaxDeliver = 5*time.Second, 3
	_, err = stream.UpdateConsumer(t.Context(), mild)
	require.NoError(t, err)
	require.NoError(t, stream.DeleteConsumer(t.Context(), "settle-replay"))

	f := s.broker()
	f.is(doctor.Fail, "nats.durability", "", "sync_interval is 2m0s, must be always", "Set `sync_interval: always` and restart it.")
	f.some(doctor.Fail, "nats.streams", "stream NOTIFY: discard is DiscardOld, must be DiscardNew", "Restart a worker, which mends it.")
	f.some(doctor.Fail, "nats.streams", "stream NOTIFY: max_bytes is 1048576")
	f.is(doctor.Fail, "nats.consumer", "settle-live", "ack_wait is 5s, must be 1m0s; max_deliver is 3, must be -1")
	f.is(doctor.Fail, "nats.consumer", "settle-replay", "is not there")
	f.is(doctor.OK, "nats.consumer", "command-1900000109")
	f.is(doctor.Fail, "nats.verdict", "", "ingest takes no traffic: sync_interval is 2m")

	delete(s.env, "FENFLOW_NATS_MONITOR_URLS")
	s.edit("monitor_urls:\n        - http", "monitor_urls: [] #")
	s.broker().some(doctor.Fail, "nats.durability", "nats.monitor_urls is empty")
}

func TestNATS_that_nobody_works_on_is_found(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	n := s.withNATS()
	s.settled(n, bus.Verdict{OK: true, CheckedAt: time.Now()})
	publish := func() {
		require.NoError(t, bus.NewPacker(s.as(n, "notify"), "1").Publish(t.Context(), wechatpay.Envelope{
			DeliveryID: "0192f0c0-0000-7000-8000-000000000001", MchID: mchid, Kind: pay.DeliveryNotifyV3, ReceivedAt: time.Now(), Body: []byte("{}"),
		}))
	}
	publish()
	publish()
	f := s.broker()
	f.is(doctor.OK, "nats.consumer", "settle-live", "2 messages waiting, the oldest for ")
	s.now = func() time.Time { return time.Now().Add(90 * time.Second) }
	s.broker().is(doctor.Warn, "nats.consumer", "settle-live", "2 messages waiting, the oldest for 1m3", "Look whether a worker runs")
	s.now = func() time.Time { return time.Now().Add(time.Hour) }
	f = s.broker()
	f.is(doctor.Fail, "nats.consumer", "settle-live", "the oldest for 1h0m")
	f.is(doctor.Warn, "nats.verdict", "", "1h0m")
}

func TestNATS_that_is_away_or_another_program_is_told(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.broker().is(doctor.Fail, "nats.reachable", "", "connection refused", "Start the NATS server")
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	s.env["FENFLOW_NATS_URL"] = strings.Replace(other.URL, "http", "nats", 1)
	f := s.broker()
	f.is(doctor.Fail, "nats.reachable", "", "no NATS server")
	f.is(doctor.Skipped, "nats.user", "worker")
	n := s.withNATS()
	s.env["FENFLOW_NATS_URL"] = n.URL() + ",nats://" + testkit.FreeAddr(t)
	f = s.broker()
	f.is(doctor.Warn, "nats.reachable", "", "connection refused")
	f.is(doctor.OK, "nats.user", "worker")
}

func TestNATS_servers_are_judged_by_what_they_say_of_themselves(t *testing.T) {
	t.Parallel()
	varz := func(version string, ahead time.Duration, maxStore int64, storeDir string) func() string {
		return func() string {
			return fmt.Sprintf(`{"server_id":"S","server_name":"n1","version":%q,"now":%q,"jetstream":{"config":{"max_storage":%d,"store_dir":%q,"sync_always":true},"stats":{"storage":7}}}`,
				version, time.Now().Add(ahead).UTC().Format(time.RFC3339Nano), maxStore, storeDir)
		}
	}
	for name, c := range map[string]struct {
		says         func() string
		verdict      doctor.Verdict
		check, wants string
		alsoFine     string
	}{
		"fine, on a disk elsewhere":  {varz("2.15.2", 0, 8<<30, "/nowhere/at/all"), doctor.OK, "nats.storage", "not to be seen from here", "nats.monitor"},
		"old":                        {varz("2.11.4", 0, 8<<30, ""), doctor.Fail, "nats.monitor", "no atomic batches", ""},
		"with repaired faults":       {varz("2.14.0", 0, 8<<30, ""), doctor.Warn, "nats.monitor", "have faults", "nats.clock"},
		"of a time to come":          {varz("3.0.0", 0, 8<<30, ""), doctor.Warn, "nats.monitor", "tested with 2.15", "nats.storage"},
		"too small for the streams":  {varz("2.15.2", 0, 1<<30, ""), doctor.Fail, "nats.storage", "max_file_store is 1.0 GiB, and the streams may hold 5.1 GiB", "nats.monitor"},
		"two seconds ahead":          {varz("2.15.2", 3*time.Second, 8<<30, ""), doctor.Warn, "nats.clock", "ahead of", ""},
		"an hour behind":             {varz("2.15.2", -time.Hour, 8<<30, ""), doctor.Fail, "nats.clock", "behind", ""},
		"something else on the port": {func() string { return `{"hello":"world"}` }, doctor.Fail, "nats.monitor", "is not that of a NATS server", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(c.says())) }))
			t.Cleanup(port.Close)
			s := newSite(t)
			s.env["FENFLOW_NATS_MONITOR_URLS"] = port.URL
			f := s.broker()
			f.is(c.verdict, c.check, host(port.URL), c.wants)
			if c.alsoFine != "" {
				f.of(c.alsoFine, host(port.URL))
				require.NotEqual(t, doctor.Fail, f.of(c.alsoFine, host(port.URL)).Verdict)
			}
		})
	}
}
