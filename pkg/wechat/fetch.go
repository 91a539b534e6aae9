package wechat

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// wish is what an acquisition wants: it ends when a row is enough; otherwise
// whoever holds the lease fetches.
type wish struct {
	enough func(held) bool
	fetch  func(ctx context.Context, h held, fence int64) (shelved, time.Time, error)
}

// unfetched is told to who goes away before a value is there: the caller gave up, the
// process that fetches has died, or this one ends. Who comes again may get it.
func unfetched(what, why string, cause error) error {
	return &APIError{API: what, Class: ClassRetry, Message: why, cause: cause}
}

// errClosed is told to who asks an authority that has ended.
var errClosed = unfetched("token authority", "this worker stops", nil)

// shelfFailed says that the database, and not WeChat, is to blame.
func shelfFailed(step string, at slot, err error) error {
	return problem.Wrap(problem.DatabaseUnavailable, fmt.Errorf("%s the %s of %s: %w", step, at.kind, at.appid, err), "")
}

// once runs one acquisition for all callers of this process that want the same.
// A caller that gives up does not stop it for the others.
func (a *Authority) once(ctx context.Context, at slot, what string, run func(context.Context) (held, error)) (merchant.Secret, error) {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return "", errClosed
	}
	a.running.Add(1)
	a.mu.Unlock()
	done := a.flights.DoChan(string(at.appid)+"|"+what, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchWithin)
		defer cancel()
		return run(ctx)
	})
	result := make(chan singleAnswer, 1) // one answer, which nobody may be waiting for
	go func() {
		defer a.running.Done()
		r := <-done
		h, _ := r.Val.(held)
		result <- singleAnswer{h, r.Err}
	}()
	select {
	case <-ctx.Done():
		return "", unfetched(at.kind, "it is still being fetched", ctx.Err())
	case r := <-result:
		return merchant.Secret(r.held.Value), r.err
	}
}

type singleAnswer struct {
	held held
	err  error
}

// fetching waits for a valid value, whoever fetches it.
func (a *Authority) fetching(app App, at slot) func(context.Context) (held, error) {
	return func(ctx context.Context) (held, error) {
		return a.acquire(ctx, at, wish{
			enough: func(h held) bool { return h.validAt(a.now()) },
			fetch: func(ctx context.Context, h held, _ int64) (shelved, time.Time, error) {
				return a.fresh(ctx, app, at, h)
			},
		})
	}
}

// acquire looks at the row, takes the lease or waits for its holder, until the
// row is enough.
func (a *Authority) acquire(ctx context.Context, at slot, w wish) (held, error) {
	for {
		h, err := a.read(ctx, at)
		if err != nil {
			return held{}, err
		}
		if w.enough(h) {
			return h, nil
		}
		if err := a.lastRefusal(at); err != nil {
			return held{}, err
		}
		h, done, err := a.underLease(ctx, at, w)
		if done || err != nil {
			return h, err
		}
		if err := wait(ctx, waitStep); err != nil {
			return held{}, unfetched(at.kind, "the process that fetches it has not ended", err)
		}
	}
}

// tryAhead fetches without waiting: while another process does, all is well.
func (a *Authority) tryAhead(ctx context.Context, app App, at slot) error {
	_, _, err := a.underLease(ctx, at, wish{
		enough: func(h held) bool { return h.expiresAt.Sub(a.now()) > refreshAhead },
		fetch: func(ctx context.Context, h held, _ int64) (shelved, time.Time, error) {
			return a.fresh(ctx, app, at, h)
		},
	})
	return err
}

// underLease fetches and stores, if this process gets the lease. The row is
// read again first: its last holder may just have filled it.
func (a *Authority) underLease(ctx context.Context, at slot, w wish) (held, bool, error) {
	fence, ours, err := a.shelf.LeaseToken(ctx, at.appid, at.kind, a.newHolder(), a.now().UTC(), a.leaseOf(at))
	if err != nil {
		return held{}, false, shelfFailed("lease", at, err)
	}
	if !ours {
		return held{}, false, nil
	}
	defer a.release(ctx, at, fence)
	h, err := a.read(ctx, at)
	if err != nil || w.enough(h) {
		return h, err == nil, err
	}
	value, expiresAt, err := w.fetch(ctx, h, fence)
	if err != nil {
		a.noteRefusal(at, err)
		return held{}, false, fmt.Errorf("fetch the %s of %s: %w", at.kind, at.appid, err)
	}
	return a.store(ctx, at, fence, held{value, expiresAt})
}

// store keeps the value; false: the lease was lost meanwhile, and what its new
// holder stores is read instead.
func (a *Authority) store(ctx context.Context, at slot, fence int64, h held) (held, bool, error) {
	plain, err := json.Marshal(h.shelved)
	if err != nil {
		return held{}, false, fmt.Errorf("store the %s of %s: %w", at.kind, at.appid, err)
	}
	stored, err := a.shelf.StoreToken(ctx, at.appid, at.kind, fence, a.sealer.Seal(at.appid, at.kind, plain), h.expiresAt)
	if err != nil {
		return held{}, false, shelfFailed("store", at, err)
	}
	if stored {
		a.remember(at, h)
	}
	return h, stored, nil
}

// release lets the next process go on at once. Should it fail, the lease runs
// out by itself.
func (a *Authority) release(ctx context.Context, at slot, fence int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := a.shelf.ReleaseToken(ctx, at.appid, at.kind, fence); err != nil {
		a.logger.WarnContext(ctx, "lease of a wechat token not released; it runs out by itself", "appid", at.appid, "kind", at.kind, "error", err)
	}
}

func (a *Authority) leaseOf(at slot) time.Duration {
	if at.kind == KindJSAPITicket {
		return ticketLeaseFor * a.lease
	}
	return a.lease
}

// read opens the row. What cannot be opened is as good as absent: the session
// key was changed, and the value is fetched again.
func (a *Authority) read(ctx context.Context, at slot) (held, error) {
	row, ok, err := a.shelf.Token(ctx, at.appid, at.kind)
	if err != nil {
		return held{}, shelfFailed("read", at, err)
	}
	if !ok {
		return held{}, nil
	}
	h, ok := a.open(at, row)
	if ok {
		a.remember(at, h)
	}
	return h, nil
}

func (a *Authority) open(at slot, row pay.SealedToken) (held, bool) {
	h := held{expiresAt: row.ExpiresAt}
	plain, ok := a.sealer.Open(at.appid, at.kind, row.Sealed)
	if !ok || json.Unmarshal(plain, &h.shelved) != nil {
		return held{}, false
	}
	return h, true
}

func (a *Authority) remember(at slot, h held) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known[at] = h
}

func (a *Authority) remembered(at slot) (held, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h, ok := a.known[at]
	return h, ok
}

// newHolder names one acquisition: two of one process exclude each other, too.
func (a *Authority) newHolder() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leases++
	return fmt.Sprintf("%s#%d", a.holder, a.leases)
}

// refusal is what a fetch ended with, and how long it is told to others.
type refusal struct {
	err   error
	until time.Time
}

// noteRefusal keeps what a repeat within seconds would not change.
func (a *Authority) noteRefusal(at slot, err error) {
	switch ClassOf(err) {
	case ClassSecret, ClassAddress, ClassTooOften, ClassOther:
		a.mu.Lock()
		defer a.mu.Unlock()
		a.refused[at] = refusal{err, a.now().Add(refusalKept)}
	case ClassRetry, ClassToken, ClassCodeSpent, ClassCodeInvalid, ClassRiskUser:
	}
}

func (a *Authority) lastRefusal(at slot) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.refused[at]; a.now().Before(r.until) {
		return r.err
	}
	return nil
}

func wait(ctx context.Context, span time.Duration) error {
	timer := time.NewTimer(span)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
