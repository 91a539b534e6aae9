package wechat

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// memoryShelf is the Shelf's contract in a synctest bubble, which no database
// can enter. The tests with processes use PostgreSQL.
type memoryShelf struct {
	mu    sync.Mutex
	rows  map[slot]*memoryRow
	reads int
}

type memoryRow struct {
	token      pay.SealedToken
	stored     bool
	fence      int64
	leaseUntil time.Time
}

func (s *memoryShelf) row(appid pay.AppID, kind string) *memoryRow {
	if s.rows == nil {
		s.rows = map[slot]*memoryRow{}
	}
	at := slot{appid, kind}
	if s.rows[at] == nil {
		s.rows[at] = &memoryRow{}
	}
	return s.rows[at]
}

func (s *memoryShelf) Token(_ context.Context, appid pay.AppID, kind string) (pay.SealedToken, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	r := s.row(appid, kind)
	token := r.token
	token.Fence = r.fence
	return token, r.stored, nil
}

func (s *memoryShelf) LeaseToken(_ context.Context, appid pay.AppID, kind, _ string, now time.Time, lease time.Duration) (int64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.row(appid, kind)
	if now.Before(r.leaseUntil) {
		return 0, false, nil
	}
	r.fence++
	r.leaseUntil = now.Add(lease)
	return r.fence, true, nil
}

func (s *memoryShelf) StoreToken(_ context.Context, appid pay.AppID, kind string, fence int64, sealed []byte, expiresAt time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.row(appid, kind)
	if fence != r.fence {
		return false, nil
	}
	r.token, r.stored = pay.SealedToken{Sealed: sealed, ExpiresAt: expiresAt}, true
	return true, nil
}

func (s *memoryShelf) ReleaseToken(_ context.Context, appid pay.AppID, kind string, fence int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.row(appid, kind); fence == r.fence {
		r.leaseUntil = time.Time{}
	}
	return nil
}

func (s *memoryShelf) readsSoFar() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// lateShelf lets something happen between a look at a row and its lease.
type lateShelf struct {
	*memoryShelf
	before func()
}

func (s lateShelf) LeaseToken(ctx context.Context, appid pay.AppID, kind, holder string, now time.Time, lease time.Duration) (int64, bool, error) {
	s.before()
	return s.memoryShelf.LeaseToken(ctx, appid, kind, holder, now, lease)
}

// issuer is WeChat's side of stable_token and getticket: a token of 7200 s,
// renewed within its last 5 minutes.
type issuer struct {
	mu      sync.Mutex
	takes   time.Duration // until it answers
	calls   int
	forced  int
	tickets int
	token   Granted
	serial  int
	fails   error
	hold    chan struct{} // where set, the first call waits for it
}

func (i *issuer) StableToken(ctx context.Context, _ App, force bool) (Granted, error) {
	i.mu.Lock()
	i.calls++
	hold := i.hold
	i.hold = nil
	i.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if err := wait(ctx, i.takes); err != nil {
		return Granted{}, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fails != nil {
		return Granted{}, i.fails
	}
	if force {
		i.forced++
	}
	if force || time.Until(i.token.ExpiresAt) < 5*time.Minute {
		i.serial++
		i.token = Granted{Value: merchant.Secret(fmt.Sprintf("token-%d", i.serial)), ExpiresAt: time.Now().Add(2 * time.Hour)}
	}
	return i.token, nil
}

func (i *issuer) Ticket(_ context.Context, token merchant.Secret) (Granted, error) {
	if err := i.take(token); err != nil {
		return Granted{}, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tickets++
	return Granted{Value: merchant.Secret(fmt.Sprintf("ticket-%d", i.tickets)), ExpiresAt: time.Now().Add(2 * time.Hour)}, nil
}

// take is any call with the app's token.
func (i *issuer) take(token merchant.Secret) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if token != i.token.Value {
		return &APIError{API: "any", Code: codeCredential, Class: ClassToken}
	}
	return nil
}

// counted are the calls for a token, and those among them that forced one.
func (i *issuer) counted() (calls, forced int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.calls, i.forced
}

func (i *issuer) failWith(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fails = err
}

// revoke makes the token invalid, as a secret that was reset does.
func (i *issuer) revoke() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.serial++
	i.token.Value = merchant.Secret(fmt.Sprintf("unknown-%d", i.serial))
}

func newAuthority(t *testing.T, shelf Shelf, source tokenSource, holder string) *Authority {
	t.Helper()
	a, err := NewAuthority(AuthorityOptions{
		Client: &Client{}, Shelf: shelf, Sealer: newSealer(t, 1), Holder: holder, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	a.source = source
	t.Cleanup(a.Close)
	return a
}
