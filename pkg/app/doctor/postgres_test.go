package doctor_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/doctor"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// books looks at PostgreSQL, with nothing else around.
func (s *site) books() found {
	s.t.Helper()
	s.role, s.offline = config.RoleReconciler, true
	return s.examine()
}

func TestPostgres_is_well(t *testing.T) {
	t.Parallel()
	f := newSite(t).withPostgres("").books()
	f.is(doctor.OK, "postgres.reachable", "", "127.0.0.1:")
	f.is(doctor.OK, "postgres.server", "", "takes writes")
	f.is(doctor.OK, "postgres.schema", "", "migrations, all applied")
	f.is(doctor.OK, "postgres.durability", "", "fsync")
	f.is(doctor.OK, "postgres.clock", "", "within 1s")
	f.is(doctor.OK, "postgres.autovacuum", "")
	f.is(doctor.OK, "postgres.connections", "", "one process of each role opens up to 40")
	f.is(doctor.OK, "postgres.partitions", "")
}

func TestPostgres_that_forgets_or_fills_up_is_found(t *testing.T) {
	t.Parallel()
	server := testkit.OwnPostgres(t, func(o *servers.PostgresOptions) {
		o.Settings = map[string]string{"fsync": "off", "synchronous_commit": "off", "autovacuum": "off", "max_connections": "20"}
	})
	require.NoError(t, server.CreateDatabase(t.Context(), "fenflow"))
	url := server.URL("fenflow")
	s := newSite(t).withPostgres(url)
	f := s.books()
	f.is(doctor.Fail, "postgres.schema", "", "migrations are pending", "fenflow migrate up")
	f.is(doctor.Skipped, "postgres.partitions", "", "postgres.schema failed")
	f.some(doctor.Fail, "postgres.durability", "fsync is off", "Set fsync = on in postgresql.conf")
	f.some(doctor.Fail, "postgres.durability", "synchronous_commit is off")
	f.is(doctor.Fail, "postgres.autovacuum", "", "dead rows")
	f.is(doctor.Fail, "postgres.connections", "", "of 17 are in use", "Raise max_connections")

	require.NoError(t, migrate(t.Context(), url))
	execute(t, url, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)", "CREATE UNLOGGED TABLE hasty (n int)")
	s.env["FENFLOW_POSTGRES_STANDBY"] = "required"
	f = s.books()
	f.is(doctor.Warn, "postgres.schema", "", "1 migration applied that this program does not know")
	f.some(doctor.Fail, "postgres.durability", "table hasty is unlogged")
	f.some(doctor.Fail, "postgres.durability", "no connected synchronous standby")
}

func TestPostgres_partitions_are_there_before_they_are_needed(t *testing.T) {
	t.Parallel()
	s := newSite(t).withPostgres("")
	s.now = func() time.Time { return time.Now().AddDate(0, 0, 2) }
	s.books().is(doctor.Warn, "postgres.partitions", "", "missing, the first one (deliveries_", "fenflow migrate up")
	s.now = func() time.Time { return time.Now().AddDate(0, 0, 40) }
	s.books().is(doctor.Fail, "postgres.partitions", "", "missing, the first one (")
	s.now = time.Now
	execute(t, s.env["FENFLOW_POSTGRES_URL"], `INSERT INTO deliveries VALUES ('1900000109', 'ffffffff-0000-7000-8000-000000000000', 'answer', now(), '', '', '', '', 0, 0, '', '', '', '', '')`)
	s.books().is(doctor.Warn, "postgres.partitions", "", "DEFAULT partition")
}

func TestPostgres_and_this_machine_must_agree_on_the_time(t *testing.T) {
	t.Parallel()
	s := newSite(t).withPostgres("")
	s.now = func() time.Time { return time.Now().Add(-3 * time.Second) }
	s.books().is(doctor.Warn, "postgres.clock", "", "PostgreSQL's clock is", "ahead of this machine's", "NTP")
	s.now = func() time.Time { return time.Now().Add(time.Minute) }
	s.books().is(doctor.Fail, "postgres.clock", "", "behind")
}

func TestPostgres_that_is_away_is_told_once_and_frozen_ones_are_not_waited_for(t *testing.T) {
	t.Parallel()
	s := newSite(t).withPostgres("postgres://u:s3cret@" + testkit.FreeAddr(t) + "/x?sslmode=disable")
	f := s.books()
	f.is(doctor.Fail, "postgres.reachable", "", "connection refused", "Start PostgreSQL, or correct postgres.url")
	f.is(doctor.Skipped, "postgres.durability", "", "postgres.reachable failed")
	f.is(doctor.Skipped, "keys.stored_traffic", mchid)

	frozen, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	require.NoError(t, err)
	t.Cleanup(func() { _ = frozen.Close() })
	s.withPostgres("postgres://u:s3cret@" + frozen.Addr().String() + "/x?sslmode=disable")
	s.books().is(doctor.Fail, "postgres.reachable", "")
}
