package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/read_wechat_token.sql
	readWeChatTokenSQL string
	//go:embed queries/lease_wechat_token.sql
	leaseWeChatTokenSQL string
	//go:embed queries/store_wechat_token.sql
	storeWeChatTokenSQL string
	//go:embed queries/release_wechat_token.sql
	releaseWeChatTokenSQL string
)

// Token reads WeChat's token of an app, run out or not. Its fence is that of the
// latest lease.
func (s *Store) Token(ctx context.Context, appid pay.AppID, kind string) (pay.SealedToken, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row struct {
		Sealed    []byte    `db:"sealed"`
		ExpiresAt time.Time `db:"expires_at"`
		Fence     int64     `db:"fence"`
	}
	err := s.db.GetContext(ctx, &row, readWeChatTokenSQL, string(appid), kind)
	if errors.Is(err, sql.ErrNoRows) {
		return pay.SealedToken{}, false, nil
	}
	return pay.SealedToken{Sealed: row.Sealed, ExpiresAt: instant(row.ExpiresAt), Fence: row.Fence}, err == nil, failed(ctx, "read WeChat token", err)
}

// LeaseToken lets one process fetch an app's next token, and nobody else until the
// lease ends. The fence grows with every lease.
func (s *Store) LeaseToken(ctx context.Context, appid pay.AppID, kind, holder string, now time.Time, lease time.Duration) (fence int64, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = s.db.GetContext(ctx, &fence, leaseWeChatTokenSQL, string(appid), kind, holder, instant(now), instant(now.Add(lease)))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return fence, err == nil, failed(ctx, "lease WeChat token", err)
}

// StoreToken stores a token that was fetched under a lease, if nobody has leased it
// since. The lease goes on until it is released.
func (s *Store) StoreToken(ctx context.Context, appid pay.AppID, kind string, fence int64, sealed []byte, expiresAt time.Time) (stored bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stored, err = affected(s.db.ExecContext(ctx, storeWeChatTokenSQL, string(appid), kind, fence, present(sealed), instant(expiresAt)))
	return stored, failed(ctx, "store WeChat token", err)
}

// ReleaseToken ends a lease before its time. A lease that others have is left alone.
func (s *Store) ReleaseToken(ctx context.Context, appid pay.AppID, kind string, fence int64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, releaseWeChatTokenSQL, string(appid), kind, fence)
	return failed(ctx, "release WeChat token", err)
}
