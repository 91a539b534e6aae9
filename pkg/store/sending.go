package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/lock_refund_payment.sql
	lockRefundPaymentSQL string
	//go:embed queries/weigh_attempt.sql
	weighAttemptSQL string
	//go:embed queries/begin_attempt.sql
	beginAttemptSQL string
	//go:embed queries/end_attempt.sql
	endAttemptSQL string
)

// BeginAttempt puts a call that sends a refund on disk before it starts, or
// says why it may not start.
//
//  1. Lock the payment, then the refund, as settling does: of the parts of one
//     payment one begins at a time, and none while the refund is being moved.
//  2. The claim must stand (state, lease, call), and enough of the lease be left
//     by the database's own clock for the call to be over when somebody else
//     may claim the refund.
//  3. No other refund of the payment may have been sent within the gap, and no
//     attempt of this one be under way: one without an end that is younger than
//     MinLease, which is longer than a call takes. An older one is over, or its
//     caller is gone, and only asking can tell what became of it.
//  4. Keep the bytes if there are none yet, count the attempt, and make a
//     question the next call, so that a caller who dies now leaves a refund that
//     is asked about and not one that is sent again.
//
// After an error the attempt may be on disk: the caller does not call then, and
// the refund is asked about when the lease ends.
func (s *Store) BeginAttempt(ctx context.Context, a pay.AttemptStart) (pay.AttemptBegun, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var begun pay.AttemptBegun
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		var err error
		begun, err = beginAttempt(ctx, tx, a)
		return err
	})
	if err != nil {
		return pay.AttemptBegun{}, err
	}
	return begun, nil
}

func beginAttempt(ctx context.Context, tx *sqlx.Tx, a pay.AttemptStart) (pay.AttemptBegun, error) {
	var payment string
	err := tx.GetContext(ctx, &payment, lockRefundPaymentSQL, string(a.MchID), string(a.OutRefundNo))
	if errors.Is(err, sql.ErrNoRows) {
		return pay.AttemptBegun{}, nil
	}
	if err != nil {
		return pay.AttemptBegun{}, failed(ctx, "lock payment", err)
	}
	var against struct {
		Held        bool         `db:"held"`
		AfterOthers sql.NullTime `db:"after_others"`
		AfterOwn    sql.NullTime `db:"after_own"`
	}
	err = tx.GetContext(ctx, &against, weighAttemptSQL, string(a.MchID), string(a.OutRefundNo),
		nullTime(instant(a.Lease)), a.MinLease.Seconds(), a.Gap.Seconds())
	if err != nil {
		return pay.AttemptBegun{}, failed(ctx, "weigh attempt", err)
	}
	wait := instant(against.AfterOthers.Time)
	if own := instant(against.AfterOwn.Time); own.After(wait) {
		wait = own
	}
	switch {
	case !against.Held:
		return pay.AttemptBegun{}, nil
	case !wait.IsZero():
		return pay.AttemptBegun{WaitUntil: wait}, nil
	}
	return insertAttempt(ctx, tx, a)
}

func insertAttempt(ctx context.Context, tx *sqlx.Tx, a pay.AttemptStart) (pay.AttemptBegun, error) {
	var row struct {
		Attempt int    `db:"attempt"`
		Request []byte `db:"request"`
	}
	err := tx.GetContext(ctx, &row, beginAttemptSQL, string(a.MchID), string(a.OutRefundNo), a.Request, a.MinLease.Seconds())
	switch {
	case errors.Is(err, sql.ErrNoRows): // too little of the lease is left
		return pay.AttemptBegun{}, nil
	case err != nil:
		return pay.AttemptBegun{}, failed(ctx, "begin attempt", err)
	case len(row.Request) == 0:
		return pay.AttemptBegun{}, brokenf("begin attempt", "the refund has no bytes to send, and none were given")
	}
	return pay.AttemptBegun{Begun: true, Number: row.Attempt, Request: row.Request}, nil
}

// EndAttempt writes down how an attempt ended. The first word counts: an
// attempt that has an end keeps it.
func (s *Store) EndAttempt(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo, a pay.Attempt) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	outcome := a.Outcome
	if outcome == "" {
		outcome = pay.AttemptUnknown
	}
	_, err := s.db.ExecContext(ctx, endAttemptSQL, string(mchid), string(no), a.Number, nullTime(instant(a.FinishedAt)),
		string(outcome), a.Status, legible(a.Code), legible(a.RequestID))
	return failed(ctx, "end attempt", err)
}
