package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Config says which database to use and how much of it.
type Config struct {
	URL            string // postgres://…; sslmode must be stated
	MaxConns       int    // of this pool; a role that must not starve another opens two stores
	RequireStandby bool   // Durability complains without a connected synchronous standby
	Name           string // shown by the server as application_name
	Vouched        bool   // connect only to books that a worker vouches for (see ErrRestored)
}

// Store is one pool of connections to the books.
type Store struct {
	db             *sqlx.DB
	requireStandby bool
}

const (
	defaultMaxConns = 8

	// callTimeout bounds every call, so that a hung server is an error that can
	// be repeated. A batch of 500 takes some tens of milliseconds.
	callTimeout = 30 * time.Second

	// idleFor closes idle connections, so that a failed-over server is left behind.
	idleFor = 5 * time.Minute
)

// Open connects to the database and proves that it answers.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s, err := Prepare(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Prepare makes a pool that connects when it is used.
func Prepare(cfg Config) (*Store, error) {
	connector, err := newConnector(cfg.URL, cfg.Name)
	if err != nil {
		return nil, err
	}
	connector.Dialer(dialer{silence: silence})
	var way driver.Connector = connector
	if cfg.Vouched {
		way = gate{connector}
	}
	db := sqlx.NewDb(sql.OpenDB(way), "postgres")
	conns := cfg.MaxConns
	if conns <= 0 {
		conns = defaultMaxConns
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(idleFor)
	return &Store{db: db, requireStandby: cfg.RequireStandby}, nil
}

// newConnector reads the URL. Parameters travel with the statement
// (binary_parameters): one round trip instead of two, and no prepared
// statement that a pooler in transaction mode would lose.
func newConnector(url, name string) (*pq.Connector, error) {
	if err := checkURL(url); err != nil {
		return nil, err
	}
	cfg, err := pq.NewConfig(url)
	if err != nil {
		// The driver's text may quote the URL, and with it a password.
		return nil, errors.New("read postgres.url: it is not a URL that PostgreSQL's driver understands")
	}
	cfg.BinaryParameters = true
	if name != "" {
		cfg.ApplicationName = name
	}
	connector, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up the connection: %w", err)
	}
	return connector, nil
}

// Close ends the pool.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close the database pool: %w", err)
	}
	return nil
}

// Ping asks the server for a sign of life.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return failed(ctx, "reach the database", s.db.PingContext(ctx))
}

// inTx runs work in one transaction. READ COMMITTED is stated, because the
// row locks of settling rely on each statement seeing what is committed by then.
func (s *Store) inTx(ctx context.Context, work func(tx *sqlx.Tx) error) error {
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return failed(ctx, "begin", err)
	}
	// After a commit this does nothing; after an error or a panic it undoes all.
	defer func() { _ = tx.Rollback() }()
	if err := work(tx); err != nil {
		return err
	}
	err = tx.Commit()
	// Cancelling ends a commit's wait for the synchronous standby, and the
	// server still answers COMMIT: on our disk, and on no other. That outcome is
	// unknown to whoever asked for a standby, so it is repeated.
	if err == nil {
		err = ctx.Err()
	}
	return failed(ctx, "commit", err)
}
