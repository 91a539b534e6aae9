package wechat

import (
	"context"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Kinds of values on the shelf.
const (
	KindAccessToken = "access_token"
	KindJSAPITicket = "jsapi_ticket"
)

// Shelf keeps sealed values where all workers find them: one row per app and kind.
type Shelf interface {
	// Token reads a row; false: there is none yet.
	Token(ctx context.Context, appid pay.AppID, kind string) (pay.SealedToken, bool, error)
	// LeaseToken lets one process fetch: true for that one. The fence grows with
	// every lease; a lease that ran out is taken over.
	LeaseToken(ctx context.Context, appid pay.AppID, kind, holder string, now time.Time, lease time.Duration) (fence int64, ok bool, err error)
	// StoreToken stores only while the fence is that of the newest lease: who was
	// paused and lost the lease stores nothing. It does not end the lease: a
	// forced token is stored in two steps.
	StoreToken(ctx context.Context, appid pay.AppID, kind string, fence int64, sealed []byte, expiresAt time.Time) (stored bool, err error)
	// ReleaseToken ends a lease before its time.
	ReleaseToken(ctx context.Context, appid pay.AppID, kind string, fence int64) error
}

// shelved is what lies sealed in a row.
type shelved struct {
	Value  string  `json:"value"`
	Forced []int64 `json:"forced,omitempty"` // when new tokens were forced, in Unix seconds: the last day's
}

// held is a row as it was opened.
type held struct {
	shelved
	expiresAt time.Time
}

func (h held) validAt(now time.Time) bool { return h.Value != "" && h.expiresAt.After(now) }
