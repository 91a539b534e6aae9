package wechat

import (
	"context"
	"slices"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// fresh asks WeChat for the value of a row. For a ticket that takes an access
// token, which is replaced where WeChat refuses it.
func (a *Authority) fresh(ctx context.Context, app App, at slot, h held) (shelved, time.Time, error) {
	var got Granted
	var err error
	if at.kind == KindJSAPITicket {
		err = a.Do(ctx, app, func(token merchant.Secret) (err error) {
			got, err = a.source.Ticket(ctx, token)
			return err
		})
	} else {
		got, err = a.source.StableToken(ctx, app, false)
	}
	return shelved{Value: got.Value.Reveal(), Forced: h.Forced}, got.ExpiresAt, err
}

// force has WeChat make a new access token, because it refuses the one that
// everybody has. That it was done is stored before it is done, so that no crash
// makes it happen too often. Where it may not be done, WeChat is asked for its
// current token: maybe somebody else has forced one.
func (a *Authority) force(ctx context.Context, app App, at slot, h held, fence int64) (shelved, time.Time, error) {
	now := a.now()
	forced := slices.DeleteFunc(slices.Clone(h.Forced), func(s int64) bool { return now.Sub(time.Unix(s, 0)) >= forcedDay })
	allowed := len(forced) < maxForcedADay && (len(forced) == 0 || now.Sub(time.Unix(forced[len(forced)-1], 0)) >= forceGap)
	if allowed {
		forced = append(forced, now.Unix())
		if _, stored, err := a.store(ctx, at, fence, held{shelved{h.Value, forced}, h.expiresAt}); err != nil {
			return shelved{}, time.Time{}, err
		} else if !stored {
			return shelved{}, time.Time{}, &APIError{API: "stable_token", Class: ClassRetry, Message: "another process makes the token new"}
		}
	}
	got, err := a.source.StableToken(ctx, app, allowed)
	if err == nil && !allowed && sameText(got.Value.Reveal(), h.Value) {
		err = &APIError{API: "stable_token", Class: ClassToken, Message: "WeChat refuses the app's access token, and gives no other: a new one was forced less than 30 s ago or 20 times within a day"}
	}
	return shelved{Value: got.Value.Reveal(), Forced: forced}, got.ExpiresAt, err
}
