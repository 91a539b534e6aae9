package store

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/lib/pq"
)

//go:embed queries/durability.sql
var durabilitySQL string

// Durability looks for settings under which a commit is not on disk, as this
// pool's own sessions see them. Each problem names the setting and the fix; an
// empty list is the proof.
func (s *Store) Durability(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var found durabilityRow
	if err := s.db.GetContext(ctx, &found, durabilitySQL); err != nil {
		return nil, failed(ctx, "prove durability", err)
	}
	return found.problems(s.requireStandby), nil
}

type durabilityRow struct {
	Fsync             string         `db:"fsync"`
	FullPageWrites    string         `db:"full_page_writes"`
	SynchronousCommit string         `db:"synchronous_commit"`
	Standbys          int            `db:"standbys"`
	Unlogged          pq.StringArray `db:"unlogged"`
}

func (d durabilityRow) problems(requireStandby bool) []string {
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if d.Fsync != "on" {
		add("PostgreSQL fsync is %s: set fsync = on in postgresql.conf and reload", d.Fsync)
	}
	if d.FullPageWrites != "on" {
		add("PostgreSQL full_page_writes is %s: set full_page_writes = on in postgresql.conf and reload", d.FullPageWrites)
	}
	switch d.SynchronousCommit {
	case "on", "remote_apply":
	case "local", "remote_write": // on our disk, but not on a standby's
		if requireStandby {
			add("PostgreSQL synchronous_commit is %s, and postgres.standby is required: set synchronous_commit = on for this role and database", d.SynchronousCommit)
		}
	default:
		add("PostgreSQL synchronous_commit is %s: set synchronous_commit = on for this role and database", d.SynchronousCommit)
	}
	for _, table := range d.Unlogged {
		add("PostgreSQL table %s is unlogged and empties in a crash: ALTER TABLE %s SET LOGGED", table, table)
	}
	if requireStandby && d.Standbys == 0 {
		add("PostgreSQL has no connected synchronous standby, and postgres.standby is required: check synchronous_standby_names and pg_stat_replication (this role needs pg_monitor to see it), or set postgres.standby: optional")
	}
	return problems
}
