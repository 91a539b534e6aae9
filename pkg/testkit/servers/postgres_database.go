package servers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"
)

// CreateDatabase makes a database unless it is there already.
func (p *Postgres) CreateDatabase(ctx context.Context, name string) error {
	err := p.administer(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(name))
	var refused *pq.Error
	if errors.As(err, &refused) && refused.Code == "42P04" { // duplicate_database
		return nil
	}
	return err
}

// CloneDatabase makes a database that starts as a copy of another one, which
// nobody may be connected to.
func (p *Postgres) CloneDatabase(ctx context.Context, original, name string) error {
	return p.administer(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(name)+" TEMPLATE "+pq.QuoteIdentifier(original))
}

// DropDatabase removes a database and cuts its connections.
func (p *Postgres) DropDatabase(ctx context.Context, name string) error {
	return p.administer(ctx, "DROP DATABASE IF EXISTS "+pq.QuoteIdentifier(name)+" WITH (FORCE)")
}

// administer runs one statement on a connection of its own.
func (p *Postgres) administer(ctx context.Context, statement string) (err error) {
	db, err := sql.Open("postgres", p.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("run %q: %w", statement, err)
	}
	return nil
}
