package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/fenflow/fenflow/pkg/pay"
)

//go:embed queries/be_impatient.sql
var beImpatientSQL string

// How long a rehearsal, and a replay whose caller waits, may hold rows up: while it
// waits for one row it holds others.
const (
	rehearsalLockTimeout      = 200 * time.Millisecond
	rehearsalStatementTimeout = 5 * time.Second
	expectedLockTimeout       = 3 * time.Second
	expectedStatementTimeout  = 8 * time.Second
)

// Rehearse says what Settle would do with entries, and does nothing: it is the same
// code on the same rows under the same locks, in a transaction that is always
// rolled back. No sequence of the database moves, and nothing outlives it.
//
// Entries of one call are decided one after the other, as Settle does: of two
// messages about one order, the second finds what the first did. An entry whose
// rows somebody else holds for longer than 200 ms is busy; it costs the others
// their second try and nothing else.
//
// An error that is not Retryable says that some entry is refused by PostgreSQL or
// the schema, as from Settle. Effects are in the order of entries.
func (s *Store) Rehearse(ctx context.Context, entries []pay.Entry, policies func(pay.MchID) pay.Policies) ([]pay.Effect, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	effects, err := s.rehearse(ctx, entries, policies)
	if !errors.Is(err, pay.ErrBusy) {
		return effects, err
	}
	// Alone, each book waits for its own rows only. Halving would find one busy row
	// as fast, but wait twice as long where all are.
	effects = make([]pay.Effect, len(entries))
	for _, group := range pay.Together(entries) {
		some := make([]pay.Entry, len(group))
		for k, i := range group {
			some[k] = entries[i]
		}
		its, err := s.rehearse(ctx, some, policies)
		switch {
		case errors.Is(err, pay.ErrBusy):
			its = busy(some)
		case err != nil:
			return nil, err
		}
		for k, i := range group {
			effects[i] = its[k]
		}
	}
	return effects, nil
}

func (s *Store) rehearse(ctx context.Context, entries []pay.Entry, policies func(pay.MchID) pay.Policies) (effects []pay.Effect, err error) {
	err = racing(func() error {
		b := newBatch(entries)
		b.watch = newWatcher(entries, nil)
		effects = b.watch.effects
		return s.inVain(ctx, func(tx *sqlx.Tx) error {
			if err := beImpatient(ctx, tx, rehearsalLockTimeout, rehearsalStatementTimeout); err != nil {
				return err
			}
			return b.carryOut(ctx, tx, policies)
		})
	})
	return effects, asBusy(err)
}

// inVain runs work in a transaction and takes it back, whatever came of it.
func (s *Store) inVain(ctx context.Context, work func(tx *sqlx.Tx) error) error {
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return failed(ctx, "begin", err)
	}
	// A rollback that does not arrive ends with its connection: the server does it.
	defer func() { _ = tx.Rollback() }()
	return work(tx)
}

func beImpatient(ctx context.Context, tx *sqlx.Tx, locks, statements time.Duration) error {
	_, err := tx.ExecContext(ctx, beImpatientSQL, milliseconds(locks), milliseconds(statements))
	return failed(ctx, "bound the waiting", err)
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

// asBusy names a lock that was not to be had in time.
func asBusy(err error) error {
	var refused *pq.Error
	if errors.As(err, &refused) && refused.Code == pqerror.LockNotAvailable {
		return &Error{step: "wait for a row", err: fmt.Errorf("%w: %w", pay.ErrBusy, err)}
	}
	return err
}

func busy(entries []pay.Entry) []pay.Effect {
	effects := make([]pay.Effect, len(entries))
	for i, e := range entries {
		effects[i] = effectOf(e)
		effects[i].Outcome = pay.OutcomeBusy
	}
	return effects
}
