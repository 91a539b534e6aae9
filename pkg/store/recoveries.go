package store

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/supersede_recoveries.sql
	supersedeRecoveriesSQL string
	//go:embed queries/begin_recovery.sql
	beginRecoverySQL string
	//go:embed queries/read_recovery.sql
	readRecoverySQL string
	//go:embed queries/lease_recovery.sql
	leaseRecoverySQL string
	//go:embed queries/move_recovery.sql
	moveRecoverySQL string
	//go:embed queries/finish_recovery.sql
	finishRecoverySQL string
)

// errLeaseLost: somebody else goes on with the recovery.
var errLeaseLost = errors.New("somebody else goes on with this recovery")

// BeginRecovery begins a recovery since an instant, or gives the one that is under
// way since then or earlier. One since later is given up, and so is one that began
// in another life of the database; what the books need is carried over.
func (s *Store) BeginRecovery(ctx context.Context, since time.Time, parts pay.RecoveryStretches, actor, reason string) (r pay.Recovery, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	since = instant(since)
	stretches, err := json.Marshal(wireStretches(parts))
	if err != nil {
		return r, &Error{step: "write stretches", broken: true, err: err}
	}
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		var needed []bool
		if err := tx.SelectContext(ctx, &needed, supersedeRecoveriesSQL, since); err != nil {
			return failed(ctx, "supersede recovery", err)
		}
		running, found, err := readRecovery(ctx, tx, "")
		if err != nil || found {
			r = running
			return err
		}
		carried := len(needed) > 0 && needed[0]
		if _, err := tx.ExecContext(ctx, beginRecoverySQL, uuid.NewString(), since, legible(actor), legible(reason), carried, string(stretches)); err != nil {
			return failed(ctx, "begin recovery", err)
		}
		r, _, err = readRecovery(ctx, tx, "")
		return err
	})
	return r, err
}

// Recovery reads one recovery; an empty id means the one that is under way.
func (s *Store) Recovery(ctx context.Context, id string) (pay.Recovery, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return readRecovery(ctx, s.db, id)
}

func readRecovery(ctx context.Context, from sqlx.QueryerContext, id string) (pay.Recovery, bool, error) {
	return oneRecovery(ctx, from, "read recovery", readRecoverySQL, id)
}

// LeaseRecovery takes up a recovery for one step. False: it is at its end, or
// somebody else is at it. The lease names who may move it.
func (s *Store) LeaseRecovery(ctx context.Context, id string, lease time.Duration, actor, reason string) (pay.Recovery, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return oneRecovery(ctx, s.db, "lease recovery", leaseRecoverySQL, id, lease.Seconds(), legible(actor), legible(reason))
}

// MoveRecovery writes down how far it is. The lease goes on for so long; 0
// gives it back.
func (s *Store) MoveRecovery(ctx context.Context, r pay.Recovery, lease time.Duration) error {
	return s.writeRecovery(ctx, "move recovery", r, func(stretches, counts, problems string) (string, []any) {
		return moveRecoverySQL, []any{r.ID, r.Lease, string(r.Phase), stretches, counts, problems, lease.Seconds()}
	})
}

// FinishRecovery ends it and vouches for the books, in one commit.
func (s *Store) FinishRecovery(ctx context.Context, r pay.Recovery, actor, reason string) error {
	return s.writeRecovery(ctx, "finish recovery", r, func(stretches, counts, problems string) (string, []any) {
		return finishRecoverySQL, []any{r.ID, r.Lease, stretches, counts, problems, legible(actor), legible(reason)}
	})
}

func (s *Store) writeRecovery(ctx context.Context, step string, r pay.Recovery, statement func(stretches, counts, problems string) (string, []any)) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stretches, err1 := json.Marshal(wireStretches(r.Stretches))
	counts, err2 := json.Marshal(recoveryCountsWire(r.Counts))
	problems, err3 := json.Marshal(wireProblems(r.Problems))
	if err := errors.Join(err1, err2, err3); err != nil {
		return &Error{step: step, broken: true, err: err}
	}
	query, args := statement(string(stretches), string(counts), string(problems))
	result, err := s.db.ExecContext(ctx, query, args...)
	if err != nil {
		return failed(ctx, step, err)
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = errLeaseLost
	}
	return failed(ctx, step, err)
}

func oneRecovery(ctx context.Context, from sqlx.QueryerContext, step, query string, args ...any) (pay.Recovery, bool, error) {
	var row recoveryRow
	err := sqlx.GetContext(ctx, from, &row, query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return pay.Recovery{}, false, nil
	}
	if err != nil {
		return pay.Recovery{}, false, failed(ctx, step, err)
	}
	r, err := row.recovery()
	if err != nil {
		return pay.Recovery{}, false, &Error{step: step, broken: true, err: err}
	}
	return r, true, nil
}
