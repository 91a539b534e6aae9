package doctor_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/doctor"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

const natsConf = "../../../deploy/nats.conf"

var natsUsers = []string{"notify", "api", "front", "worker", "reconciler", "console", "subscriber"}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

// site is an installation to look at: a merchant's directory with fenflow.yaml,
// and as many parts as a test asks for. The others are nowhere.
type site struct {
	t        *testing.T
	dir      string
	merchant simulator.Merchant
	env      map[string]string
	offline  bool
	role     config.Role
	now      func() time.Time
}

func newSite(t *testing.T, change ...func(*simulator.InitOptions)) *site {
	t.Helper()
	o := simulator.InitOptions{
		PublicURL: "https://pay.example.com", BaseURL: "http://" + testkit.FreeAddr(t), PostgresURL: "postgres://u@" + testkit.FreeAddr(t) + "/x?sslmode=disable",
		NATSURL: "nats://" + testkit.FreeAddr(t), NATSMonitorURLs: []string{"http://" + testkit.FreeAddr(t)}, RedisURL: "redis://" + testkit.FreeAddr(t) + "/0",
		ListenNotify: testkit.FreeAddr(t), ListenAPI: testkit.FreeAddr(t), ListenAdmin: testkit.FreeAddr(t),
		ListenFront: testkit.FreeAddr(t), FrontURL: "http://" + testkit.FreeAddr(t), ShopURL: "https://shop.example.com/buy/",
	}
	for _, c := range change {
		c(&o)
	}
	s := &site{t: t, dir: filepath.Join(t.TempDir(), "merchant"), env: map[string]string{"FENFLOW_LISTEN_CONSOLE": testkit.FreeAddr(t)}, now: time.Now}
	var err error
	s.merchant, err = simulator.Init(s.dir, o)
	require.NoError(t, err)
	s.env["FENFLOW_CONFIG"] = filepath.Join(s.dir, "fenflow.yaml")
	for _, user := range natsUsers {
		s.env[passwordOf(user)] = "pw-s3cret-" + user
	}
	return s
}

func passwordOf(user string) string { return "FENFLOW_NATS_" + strings.ToUpper(user) + "_PASSWORD" }

// withPostgres gives the site books, migrated unless the test brings its own.
func (s *site) withPostgres(url string) *site {
	s.t.Helper()
	if url == "" {
		url = testkit.Database(s.t, "doctor", migrate)
	}
	s.env["FENFLOW_POSTGRES_URL"] = url
	return s
}

func (s *site) withNATS(change ...func(*servers.NATSOptions)) *servers.NATS {
	s.t.Helper()
	passwords := map[string]string{}
	for _, user := range natsUsers {
		passwords[passwordOf(user)] = "pw-s3cret-" + user
	}
	n := testkit.NATS(s.t, append([]func(*servers.NATSOptions){func(o *servers.NATSOptions) { o.ConfigFile, o.Environment = natsConf, passwords }}, change...)...)
	s.env["FENFLOW_NATS_URL"], s.env["FENFLOW_NATS_MONITOR_URLS"] = n.URL(), n.MonitorURL()
	return n
}

// as is a connection of one user, as a role has it.
func (s *site) as(n *servers.NATS, user string) *bus.Bus {
	s.t.Helper()
	b, err := bus.Connect(s.t.Context(), bus.Config{URL: n.URL(), Role: user, Password: "pw-s3cret-" + user, PublishTimeout: 5 * time.Second})
	require.NoError(s.t, err)
	s.t.Cleanup(b.Close)
	return b
}

func (s *site) file(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(s.file(name), []byte(text), 0o600))
}

// edit replaces a text in fenflow.yaml.
func (s *site) edit(old, with string) {
	s.t.Helper()
	text, err := os.ReadFile(s.file("fenflow.yaml"))
	require.NoError(s.t, err)
	require.Contains(s.t, string(text), old)
	s.write("fenflow.yaml", strings.Replace(string(text), old, with, 1))
}

func (s *site) load(role config.Role) (config.Config, error) {
	return config.Load(config.Options{Role: role, Lookup: func(name string) (string, bool) { v, ok := s.env[name]; return v, ok }})
}

// found are the findings by check and subject.
type found struct {
	t   *testing.T
	all []doctor.Finding
}

// examine looks at everything, and makes sure that nothing secret is told and
// that every finding says what it should.
func (s *site) examine() found {
	s.t.Helper()
	began := time.Now()
	f := found{s.t, doctor.Examine(s.t.Context(), doctor.Options{Load: s.load, Role: s.role, Offline: s.offline, Now: s.now})}
	require.Less(s.t, time.Since(began), 21*time.Second)
	secrets := []string{s.merchant.APIv3Key, s.merchant.APIv2Key, s.merchant.APIKey, "s3cret", "BEGIN PRIVATE"}
	for _, app := range s.merchant.Apps {
		secrets = append(secrets, app.Secret)
	}
	for _, one := range f.all {
		require.NotEmpty(s.t, one.Detail, one)
		require.Equal(s.t, one.Verdict == doctor.Warn || one.Verdict == doctor.Fail, one.Fix != "", "%+v", one)
		for _, secret := range secrets {
			require.NotContains(s.t, one.Detail+one.Fix+one.Subject, secret, "%s", one.Check)
		}
		require.NotRegexp(s.t, `[0-9A-Za-z_-]{100}`, one.Detail, "an access token has that shape")
	}
	return f
}

// of gives the one finding of a check.
func (f found) of(check, subject string) doctor.Finding {
	f.t.Helper()
	var these []doctor.Finding
	for _, one := range f.all {
		if one.Check == check && (subject == "" || one.Subject == subject) {
			these = append(these, one)
		}
	}
	require.Len(f.t, these, 1, "%s/%s in %+v", check, subject, f.all)
	return these[0]
}

// is requires a verdict, and words of what is said and of the fix.
func (f found) is(verdict doctor.Verdict, check, subject string, words ...string) {
	f.t.Helper()
	one := f.of(check, subject)
	require.Equal(f.t, verdict, one.Verdict, "%+v", one)
	for _, w := range words {
		require.Contains(f.t, one.Detail+" | "+one.Fix, w, "%+v", one)
	}
}

// some requires that one of several findings of a check says this.
func (f found) some(verdict doctor.Verdict, check string, words ...string) {
	f.t.Helper()
	for _, one := range f.all {
		if one.Check != check || one.Verdict != verdict {
			continue
		}
		all := true
		for _, w := range words {
			all = all && strings.Contains(one.Detail+" | "+one.Fix, w)
		}
		if all {
			return
		}
	}
	require.Fail(f.t, "not found", "%s %s %q in %+v", verdict, check, words, f.all)
}

func (f found) has(check string) bool {
	for _, one := range f.all {
		if one.Check == check {
			return true
		}
	}
	return false
}

func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, s := range statements {
		_, err := db.ExecContext(t.Context(), s)
		require.NoError(t, err, s)
	}
}
