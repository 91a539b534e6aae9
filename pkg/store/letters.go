package store

import (
	"context"
	"database/sql"
	_ "embed"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/claim_waiting_letters.sql
	claimWaitingLettersSQL string
	//go:embed queries/waiting_letters_for.sql
	waitingLettersForSQL string
	//go:embed queries/open_overdue_letters.sql
	openOverdueLettersSQL string
	//go:embed queries/count_attempt.sql
	countAttemptSQL string
	//go:embed queries/forget_attempts.sql
	forgetAttemptsSQL string
)

// ClaimWaitingLetters leases waiting letters that are due to be tried again.
// Settling one resolves it; until then it comes back after the lease, or
// later, as its failures add up.
func (s *Store) ClaimWaitingLetters(ctx context.Context, limit int, lease time.Duration) ([]pay.Letter, error) {
	return s.letters(ctx, "claim waiting letters", claimWaitingLettersSQL, limit, lease.Seconds())
}

// WaitingLettersFor reads the letters that lack nothing but one order, for the
// moment in which that order appears: waiting ones, and those that waited so
// long that they opened. It leases nothing: settling twice does no harm.
func (s *Store) WaitingLettersFor(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) ([]pay.Letter, error) {
	return s.letters(ctx, "read waiting letters", waitingLettersForSQL, string(mchid), string(no))
}

// OpenOverdueLetters opens letters that have waited longer than after and are
// not due to be tried once more, and says how many: from here on an operator is
// needed.
func (s *Store) OpenOverdueLetters(ctx context.Context, after time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	result, err := s.db.ExecContext(ctx, openOverdueLettersSQL, after.Seconds())
	if err != nil {
		return 0, failed(ctx, "open overdue letters", err)
	}
	opened, err := result.RowsAffected()
	return int(opened), failed(ctx, "open overdue letters", err)
}

// CountAttempt counts one more touch of a suspicious envelope and commits the
// count before the caller touches it, so that an envelope that kills the
// process is known by its number.
func (s *Store) CountAttempt(ctx context.Context, mchid pay.MchID, id pay.DeliveryID) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var attempts int
	key := archiveID(&pay.Delivery{ID: id})
	err := s.db.GetContext(ctx, &attempts, countAttemptSQL, archiveMchid(mchid), key)
	return attempts, failed(ctx, "count attempt", err)
}

// ForgetAttempts ends the count of an envelope that was read and committed.
func (s *Store) ForgetAttempts(ctx context.Context, mchid pay.MchID, id pay.DeliveryID) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, forgetAttemptsSQL, archiveMchid(mchid), archiveID(&pay.Delivery{ID: id}))
	return failed(ctx, "forget attempts", err)
}

func (s *Store) letters(ctx context.Context, step, query string, args ...any) ([]pay.Letter, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []letterRow
	if err := s.db.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, failed(ctx, step, err)
	}
	letters := make([]pay.Letter, len(rows))
	for i := range rows {
		letter, err := rows[i].letter()
		if err != nil {
			return nil, &Error{step: step, broken: true, err: err}
		}
		letters[i] = letter
	}
	return letters, nil
}

type letterRow struct {
	MchID          string         `db:"mchid"`
	DeliveryID     string         `db:"delivery_id"`
	Kind           string         `db:"kind"`
	ReceivedAt     time.Time      `db:"received_at"`
	Headers        string         `db:"headers"`
	Body           []byte         `db:"body"`
	TraceParent    string         `db:"trace_parent"`
	Stream         string         `db:"stream"`
	StreamSequence int64          `db:"stream_sequence"`
	StreamIndex    int            `db:"stream_index"`
	KeyID          string         `db:"key_id"`
	NotificationID string         `db:"notification_id"`
	EventType      string         `db:"event_type"`
	OutTradeNo     sql.NullString `db:"out_trade_no"`
	TransactionID  string         `db:"transaction_id"`
	Reason         string         `db:"reason"`
	Detail         string         `db:"detail"`
	State          string         `db:"state"`
	Attempts       int            `db:"attempts"`
	FirstFailedAt  time.Time      `db:"first_failed_at"`
	LastFailedAt   time.Time      `db:"last_failed_at"`
	NextRetryAt    sql.NullTime   `db:"next_retry_at"`
	ResolvedAt     sql.NullTime   `db:"resolved_at"`
}

func (r *letterRow) letter() (pay.Letter, error) {
	headers, err := decodeHeaders(r.Headers)
	if err != nil {
		return pay.Letter{}, err
	}
	return pay.Letter{
		Delivery: pay.Delivery{
			ID: pay.DeliveryID(r.DeliveryID), MchID: pay.MchID(r.MchID), Kind: pay.DeliveryKind(r.Kind),
			ReceivedAt: instant(r.ReceivedAt), Headers: headers, Body: r.Body, TraceParent: r.TraceParent,
			Position: pay.Position{Stream: r.Stream, Sequence: uint64(r.StreamSequence), Index: r.StreamIndex},
			KeyID:    r.KeyID, NotificationID: r.NotificationID, EventType: r.EventType,
			OutTradeNo: pay.OutTradeNo(r.OutTradeNo.String), TransactionID: pay.TransactionID(r.TransactionID),
		},
		Reason: pay.LetterReason(r.Reason), Detail: r.Detail, State: pay.LetterState(r.State), Attempts: r.Attempts,
		FirstFailAt: instant(r.FirstFailedAt), LastFailAt: instant(r.LastFailedAt),
		NextRetryAt: instant(r.NextRetryAt.Time), ResolvedAt: instant(r.ResolvedAt.Time),
	}, nil
}
