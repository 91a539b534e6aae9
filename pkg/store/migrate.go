package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/fenflow/fenflow/schema"
)

// Migration is one step of the schema.
type Migration struct {
	Version   int64
	Name      string // file name; empty for one that this program does not know
	Applied   bool
	AppliedAt time.Time
}

// Pending counts the migrations that still have to run.
func Pending(migrations []Migration) int {
	n := 0
	for _, m := range migrations {
		if !m.Applied {
			n++
		}
	}
	return n
}

// Migrate brings the database to the schema of this program and returns what
// it ran. Programs that migrate at the same time wait for each other. It also
// makes the partitions that the next days need.
func Migrate(ctx context.Context, url string) (ran []Migration, err error) {
	db, err := openForMigration(url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := newProvider(db)
	if err != nil {
		return nil, err
	}
	results, err := provider.Up(ctx)
	for _, r := range results {
		if r.Error == nil {
			ran = append(ran, Migration{Version: r.Source.Version, Name: path.Base(r.Source.Path), Applied: true})
		}
	}
	if err != nil {
		return ran, failed(ctx, "migrate", err)
	}
	return ran, preparePartitions(ctx, url)
}

// MigrationStatus lists all migrations, known to this program or applied to
// the database. It changes nothing.
func MigrationStatus(ctx context.Context, url string) (all []Migration, err error) {
	db, err := openForMigration(url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := newProvider(db)
	if err != nil {
		return nil, err
	}
	applied, err := appliedMigrations(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, source := range provider.ListSources() {
		m := Migration{Version: source.Version, Name: path.Base(source.Path)}
		m.AppliedAt, m.Applied = applied[source.Version]
		delete(applied, source.Version)
		all = append(all, m)
	}
	for version, at := range applied {
		all = append(all, Migration{Version: version, Applied: true, AppliedAt: at})
	}
	slices.SortFunc(all, func(a, b Migration) int { return int(a.Version - b.Version) })
	return all, nil
}

func openForMigration(url string) (*sql.DB, error) {
	connector, err := newConnector(url, "fenflow migrate")
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(schema.Migrations(), "migrations")
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, fmt.Errorf("set up the migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return provider, nil
}

// appliedMigrations reads goose's own table, which an empty database lacks.
func appliedMigrations(ctx context.Context, db *sql.DB) (applied map[int64]time.Time, err error) {
	const step = "read applied migrations"
	var exists bool
	if err := db.QueryRowContext(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&exists); err != nil || !exists {
		return map[int64]time.Time{}, failed(ctx, step, err)
	}
	rows, err := db.QueryContext(ctx, `SELECT version_id, max(tstamp) FROM goose_db_version WHERE is_applied AND version_id > 0 GROUP BY version_id`)
	if err != nil {
		return nil, failed(ctx, step, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	applied = map[int64]time.Time{}
	for rows.Next() {
		var version int64
		var at time.Time
		if err := rows.Scan(&version, &at); err != nil {
			return nil, failed(ctx, step, err)
		}
		applied[version] = at.UTC()
	}
	return applied, failed(ctx, step, rows.Err())
}

func preparePartitions(ctx context.Context, url string) error {
	s, err := Open(ctx, Config{URL: url, MaxConns: 1, Name: "fenflow migrate"})
	if err != nil {
		return err
	}
	var now time.Time
	if err := s.db.GetContext(ctx, &now, `SELECT now()`); err != nil {
		return errors.Join(failed(ctx, "read the database's clock", err), s.Close())
	}
	return errors.Join(s.EnsurePartitions(ctx, now), s.Close())
}
