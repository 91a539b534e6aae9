package subscribe

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
)

// DefaultTable is where events are remembered unless Options say otherwise.
const DefaultTable = "fenflow_inbox"

// DDL makes the table. Run does so by itself where the table is missing; where
// its database user may not, put this into your migrations.
//
// The key holds the inbox's name because two systems may share a database, and
// what one has done the other has not.
const DDL = `CREATE TABLE fenflow_inbox (
    inbox       text        NOT NULL,
    event_id    uuid        NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (inbox, event_id)
);
CREATE INDEX ON fenflow_inbox (inbox, received_at)`

var tableShape = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$`)

// quoted takes a name as it is written, upper case included.
func quoted(table string) (string, error) {
	if !tableShape.MatchString(table) {
		return "", fmt.Errorf("table %q must be a name of letters, digits and _, with its schema in front if you like: shop.fenflow_inbox", table)
	}
	return `"` + strings.ReplaceAll(table, ".", `"."`) + `"`, nil
}

// EnsureTable makes the table where it is missing. Any number of instances may
// call it at the same time; a table that is there is left alone, and no right
// to make one is needed.
func EnsureTable(ctx context.Context, db *sql.DB, table string) error {
	name, err := quoted(table)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("ensure table %s: %w", table, err)
	}
	defer tx.Rollback() //nolint:errcheck // after the commit there is nothing to roll back
	if err := makeMissing(ctx, tx, name); err != nil {
		return fmt.Errorf("ensure table %s: %w", table, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("ensure table %s: %w", table, err)
	}
	return nil
}

func makeMissing(ctx context.Context, tx *sql.Tx, name string) error {
	// IF NOT EXISTS would still fail when two make it at the same time.
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, "make "+name); err != nil {
		return err
	}
	var there bool
	if err := tx.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, name).Scan(&there); err != nil || there {
		return err
	}
	for statement := range strings.SplitSeq(strings.ReplaceAll(DDL, DefaultTable, name), ";") {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
