package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/store"
)

// How far PostgreSQL's clock may be off: what is due is decided by it, while ids
// and what WeChat Pay is told are of the roles' clocks.
const (
	postgresSkewWarn = time.Second
	postgresSkewFail = 5 * time.Second
)

// Partitions that are wanted sooner than this and are not there are a fault:
// their rows go to DEFAULT, which nothing drops.
const partitionsSoon = 3 * 24 * time.Hour

// poolsOfAll is how many pools one process of each role opens: worker three
// (settlement, commands, front door), reconciler and console one each.
const poolsOfAll = 5

// postgres looks at the books.
func (d *doctor) postgres() []check {
	if !d.concerns(config.RoleWorker, config.RoleReconciler, config.RoleConsole) {
		return nil
	}
	const reachable, schema = "postgres.reachable", "postgres.schema"
	after := []string{reachable}
	return []check{
		{name: reachable, look: d.reachPostgres},
		{name: "postgres.server", needs: after, look: d.postgresServer},
		{name: schema, needs: after, look: d.postgresSchema},
		{name: "postgres.durability", needs: after, look: d.postgresDurability},
		{name: "postgres.clock", needs: after, look: d.postgresClock},
		{name: "postgres.autovacuum", needs: after, look: d.postgresAutovacuum},
		{name: "postgres.connections", needs: after, look: d.postgresConnections},
		{name: "postgres.partitions", needs: []string{reachable, schema}, look: d.postgresPartitions},
	}
}

// booksConfig is the configuration of whoever opens the books here.
func (d *doctor) booksConfig() config.Config {
	c, _ := d.of(config.RoleWorker, config.RoleReconciler, config.RoleConsole)
	return c
}

func (d *doctor) reachPostgres(ctx context.Context) []outcome {
	c := d.booksConfig()
	if c.Postgres.URL == "" {
		return skipped("postgres.url is not set")
	}
	books, err := store.Open(ctx, store.Config{
		URL: c.Postgres.URL.Reveal(), MaxConns: 4, RequireStandby: c.Postgres.Standby == "required", Name: "fenflow-doctor",
	})
	if err != nil {
		return fail("Start PostgreSQL, or correct postgres.url (`fenflow config show`); look at its pg_hba.conf where it refuses.", "%s", withoutSecret(err, c.Postgres.URL))
	}
	d.keep(func() { _ = books.Close() })
	d.books = books
	return ok("%s", placeOf(c.Postgres.URL.Reveal()))
}

// placeOf is what of a URL may be shown.
func placeOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "as configured"
	}
	return u.Host + u.Path
}

func (d *doctor) postgresServer(ctx context.Context) []outcome {
	s, err := d.books.ServerState(ctx)
	switch {
	case err != nil:
		return unread(err)
	case s.Version < store.OldestServer:
		return fail("Upgrade PostgreSQL to 15 or newer.", "it is version %s, and 15 is the oldest that is supported", s.VersionText)
	case s.Standby:
		return fail("Name the primary in postgres.url (target_session_attrs=read-write finds it among several hosts).", "it is a standby (version %s), which takes no writes", s.VersionText)
	}
	return ok("version %s, takes writes", s.VersionText)
}

// unread is a question that was not answered, by something that is there.
func unread(err error) []outcome {
	return fail("Run `fenflow doctor` again; if it stays, look at its log.", "%v", err)
}

func (d *doctor) postgresSchema(ctx context.Context) []outcome {
	migrations, err := store.MigrationStatus(ctx, d.booksConfig().Postgres.URL.Reveal())
	if err != nil {
		return unread(err)
	}
	unknown := 0
	for _, m := range migrations {
		if m.Name == "" {
			unknown++
		}
	}
	switch pending := store.Pending(migrations); {
	case pending > 0:
		return fail("Run `fenflow migrate up`; the roles decline to start until then.", "%d of %d migrations are pending", pending, len(migrations))
	case unknown > 0:
		return warn("Use the newer version of fenflow everywhere.", "%s applied that this program does not know: the database was migrated by a newer version", counted(unknown, "migration"))
	}
	return ok("%s, all applied", counted(len(migrations), "migration"))
}

func (d *doctor) postgresDurability(ctx context.Context) []outcome {
	problems, err := d.books.Durability(ctx)
	if err != nil {
		return unread(err)
	}
	if len(problems) == 0 {
		return ok("fsync, full_page_writes and synchronous_commit are on; standby is %s", d.booksConfig().Postgres.Standby)
	}
	return each(problems, func(text string) outcome {
		what, fix, _ := strings.Cut(strings.TrimPrefix(text, "PostgreSQL "), ": ")
		return outcome{Fail, what, capital(fix) + "."}
	})
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func (d *doctor) postgresClock(ctx context.Context) []outcome {
	asked := d.Now()
	theirs, err := d.books.Clock(ctx)
	if err != nil {
		return unread(err)
	}
	blur := d.Now().Sub(asked) / 2
	return skew(theirs, asked.Add(blur), blur, postgresSkewWarn, postgresSkewFail, "PostgreSQL's clock", "What is due is decided by PostgreSQL's.")
}

func (d *doctor) postgresAutovacuum(ctx context.Context) []outcome {
	s, err := d.books.ServerState(ctx)
	switch {
	case err != nil:
		return unread(err)
	case !s.Autovacuum:
		return fail("Set autovacuum = on and track_counts = on in postgresql.conf and reload.", "autovacuum is off: the outbox and the due lists fill up with dead rows, and in the end the server stops taking writes")
	}
	return ok("is on")
}

func (d *doctor) postgresConnections(ctx context.Context) []outcome {
	s, err := d.books.ServerState(ctx)
	if err != nil {
		return unread(err)
	}
	room, wanted := s.MaxConnections-s.Reserved, poolsOfAll*d.booksConfig().Postgres.MaxConnections
	said := fmt.Sprintf("%d of %d are in use; one process of each role opens up to %d", s.InUse, room, wanted)
	const fix = "Raise max_connections in postgresql.conf (it takes a restart), or lower postgres.max_connections."
	switch {
	case wanted > room:
		return fail(fix, "%s", said)
	case s.InUse*10 > room*8:
		return warn(fix, "%s", said)
	}
	return ok("%s", said)
}

func (d *doctor) postgresPartitions(ctx context.Context) []outcome {
	now := d.Now()
	missing, stray, err := d.books.MissingPartitions(ctx, now)
	const fix = "Start a worker, which makes them each hour, or run `fenflow migrate up`."
	switch {
	case err != nil:
		return unread(errors.Join(errors.New("look for partitions"), err))
	case len(missing) > 0 && missing[0].Wants.Before(now.Add(partitionsSoon)):
		return fail(fix, "%s missing, the first one (%s) wanted from %s", counted(len(missing), "partition")+" "+isOrAre(len(missing)), missing[0].Name, missing[0].Wants.Format(time.DateOnly))
	case len(missing) > 0:
		return warn(fix, "%s missing, the first one (%s) wanted from %s", counted(len(missing), "partition")+" "+isOrAre(len(missing)), missing[0].Name, missing[0].Wants.Format(time.DateOnly))
	case stray:
		return warn(fix+" Rows of days before yesterday stay where they are: they are read as all others, but never dropped.",
			"rows are in a DEFAULT partition: their own was missing when they came")
	}
	return ok("made for the next two weeks")
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
