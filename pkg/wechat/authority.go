package wechat

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// Spans of the authority. WeChat's side: stable_token gives a new token within
// the last 5 minutes of the old one and lets both work for that time; forced
// ones come at most 20 a day, 30 s apart.
const (
	refreshAhead   = 5 * time.Minute
	aheadGap       = 15 * time.Second       // between attempts ahead of expiry, in one process
	defaultLease   = 15 * time.Second       // three calls' time-outs; a holder that died is waited for so long
	waitStep       = 100 * time.Millisecond // between looks at a row that another process fetches
	fetchWithin    = 40 * time.Second       // two leases and a bit: nobody waits longer
	forceGap       = 30 * time.Second
	maxForcedADay  = 20
	forcedDay      = 24 * time.Hour
	refusalKept    = 5 * time.Second // pages of strangers cause fetches: a refusal that lasts is not asked for again at once
	ticketLeaseFor = 2               // a ticket needs a token first, and maybe a new one: its lease lasts twice as long
)

// tokenSource is the part of Client that fetches.
type tokenSource interface {
	StableToken(ctx context.Context, app App, force bool) (Granted, error)
	Ticket(ctx context.Context, accessToken merchant.Secret) (Granted, error)
}

// AuthorityOptions are what an Authority needs.
type AuthorityOptions struct {
	Client *Client
	Shelf  Shelf
	Sealer *Sealer
	Holder string // names this process in leases; unique
	Now    func() time.Time
	Logger *slog.Logger
	Lease  time.Duration // 0: 15 s
}

// Authority owns each app's access_token and jsapi_ticket: one process fetches,
// all workers share. What an Authority has fetched it also remembers, so that
// the shelf is not asked for every call.
type Authority struct {
	source tokenSource
	shelf  Shelf
	sealer *Sealer
	holder string
	now    func() time.Time
	logger *slog.Logger
	lease  time.Duration

	flights singleflight.Group
	running sync.WaitGroup
	mu      sync.Mutex
	known   map[slot]held
	aheadAt map[slot]time.Time // the next attempt ahead of expiry
	refused map[slot]refusal
	leases  int // asked for so far: each has a holder's name of its own
	closed  bool
}

// slot is one row of the shelf.
type slot struct {
	appid pay.AppID
	kind  string
}

// NewAuthority makes an authority; Close ends it.
func NewAuthority(o AuthorityOptions) (*Authority, error) {
	if o.Client == nil || o.Shelf == nil || o.Sealer == nil || o.Holder == "" || o.Now == nil || o.Logger == nil {
		return nil, errors.New("a token authority needs a client, a shelf, a sealer, a holder's name, a clock and a logger")
	}
	if o.Lease <= 0 {
		o.Lease = defaultLease
	}
	return &Authority{
		source: o.Client, shelf: o.Shelf, sealer: o.Sealer, holder: o.Holder, now: o.Now, logger: o.Logger, lease: o.Lease,
		known: map[slot]held{}, aheadAt: map[slot]time.Time{}, refused: map[slot]refusal{},
	}, nil
}

// Close waits for what this process is fetching; nothing new begins, and nobody
// waits for other processes any more.
func (a *Authority) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.running.Wait()
}

func (a *Authority) ended() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closed
}

// AccessToken is the app's access token; prefer Do, which replaces one that
// WeChat does not take any more.
func (a *Authority) AccessToken(ctx context.Context, app App) (merchant.Secret, error) {
	return a.current(ctx, app, KindAccessToken)
}

// Ticket is the app's jsapi_ticket. A new access token leaves it valid.
func (a *Authority) Ticket(ctx context.Context, app App) (merchant.Secret, error) {
	return a.current(ctx, app, KindJSAPITicket)
}

// Do calls WeChat with the app's access token. Where WeChat refuses the token,
// it is replaced once, and the call made once more.
func (a *Authority) Do(ctx context.Context, app App, call func(token merchant.Secret) error) error {
	token, err := a.AccessToken(ctx, app)
	if err != nil {
		return err
	}
	err = call(token)
	if ClassOf(err) != ClassToken {
		return err
	}
	if token, err = a.replace(ctx, app, token); err != nil {
		return err
	}
	return call(token)
}

// current gives a valid value. One that ends within 5 minutes is still given,
// while a new one is fetched behind the caller's back.
func (a *Authority) current(ctx context.Context, app App, kind string) (merchant.Secret, error) {
	at := slot{app.ID, kind}
	known, _ := a.remembered(at)
	if known.validAt(a.now()) && known.expiresAt.Sub(a.now()) > refreshAhead {
		return merchant.Secret(known.Value), nil
	}
	h, err := a.read(ctx, at)
	if err != nil && known.validAt(a.now()) { // the database is away: this one is still good
		return merchant.Secret(known.Value), nil
	}
	if err != nil {
		return "", err
	}
	if !h.validAt(a.now()) {
		return a.once(ctx, at, kind, a.fetching(app, at))
	}
	if h.expiresAt.Sub(a.now()) <= refreshAhead {
		a.refreshAhead(app, at)
	}
	return merchant.Secret(h.Value), nil
}

// replace gives another access token than the one that WeChat refused: the
// shelf's, where another process was faster, or a forced one.
func (a *Authority) replace(ctx context.Context, app App, refused merchant.Secret) (merchant.Secret, error) {
	at := slot{app.ID, KindAccessToken}
	return a.once(ctx, at, "replace "+refused.Reveal(), func(ctx context.Context) (held, error) {
		return a.acquire(ctx, at, wish{
			enough: func(h held) bool { return h.validAt(a.now()) && !sameText(h.Value, refused.Reveal()) },
			fetch: func(ctx context.Context, h held, fence int64) (shelved, time.Time, error) {
				if !h.validAt(a.now()) { // it ran out: WeChat has a new one
					return a.fresh(ctx, app, at, h)
				}
				return a.force(ctx, app, at, h, fence)
			},
		})
	})
}

// refreshAhead starts one attempt, and not another for a while: WeChat may
// still give the old token.
func (a *Authority) refreshAhead(app App, at slot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.now().Before(a.aheadAt[at]) {
		return
	}
	a.aheadAt[at] = a.now().Add(aheadGap)
	a.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchWithin)
		defer cancel()
		if err := a.tryAhead(ctx, app, at); err != nil {
			a.logger.WarnContext(ctx, "wechat token not refreshed ahead of its expiry", "appid", app.ID, "kind", at.kind, "error", err)
		}
	})
}
