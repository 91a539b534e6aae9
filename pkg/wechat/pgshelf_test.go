package wechat

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	_ "github.com/lib/pq" // the shelf of these tests is a real table
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// pgShelf is a Shelf over one small table, so that real processes meet on a
// real database without this package reaching the store.
type pgShelf struct{ db *sql.DB }

const pgShelfTable = `CREATE TABLE shelf (
	appid text, kind text, sealed bytea, expires_at timestamptz, fence bigint NOT NULL DEFAULT 0, stored_fence bigint NOT NULL DEFAULT 0,
	holder text, leased_until timestamptz, PRIMARY KEY (appid, kind))`

func openShelf(t *testing.T, url string) *pgShelf {
	t.Helper()
	db, err := sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), pgShelfTable)
	require.NoError(t, err)
	return &pgShelf{db: db}
}

func (s *pgShelf) Token(ctx context.Context, appid pay.AppID, kind string) (pay.SealedToken, bool, error) {
	var t pay.SealedToken
	err := s.db.QueryRowContext(ctx, `SELECT sealed, expires_at, stored_fence FROM shelf WHERE appid = $1 AND kind = $2 AND sealed IS NOT NULL`, appid, kind).
		Scan(&t.Sealed, &t.ExpiresAt, &t.Fence)
	if errors.Is(err, sql.ErrNoRows) {
		return pay.SealedToken{}, false, nil
	}
	return t, err == nil, err
}

func (s *pgShelf) LeaseToken(ctx context.Context, appid pay.AppID, kind, holder string, now time.Time, lease time.Duration) (int64, bool, error) {
	var fence int64
	err := s.db.QueryRowContext(ctx, `INSERT INTO shelf AS s (appid, kind, fence, holder, leased_until) VALUES ($1, $2, 1, $3, $5)
		ON CONFLICT (appid, kind) DO UPDATE SET fence = s.fence + 1, holder = $3, leased_until = $5
		WHERE s.leased_until IS NULL OR s.leased_until <= $4 RETURNING s.fence`, appid, kind, holder, now, now.Add(lease)).Scan(&fence)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return fence, err == nil, err
}

func (s *pgShelf) StoreToken(ctx context.Context, appid pay.AppID, kind string, fence int64, sealed []byte, expiresAt time.Time) (bool, error) {
	result, err := s.db.ExecContext(ctx, `UPDATE shelf SET sealed = $4, expires_at = $5, stored_fence = $3 WHERE appid = $1 AND kind = $2 AND fence = $3`,
		appid, kind, fence, sealed, expiresAt)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func (s *pgShelf) ReleaseToken(ctx context.Context, appid pay.AppID, kind string, fence int64) error {
	_, err := s.db.ExecContext(ctx, `UPDATE shelf SET leased_until = NULL WHERE appid = $1 AND kind = $2 AND fence = $3`, appid, kind, fence)
	return err
}
