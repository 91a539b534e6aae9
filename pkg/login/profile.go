package login

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechat"
)

// RefreshProfile answers {"mchid","account_id","appid"} with the account, after
// asking WeChat about the buyer: with the buyer's own grant, refreshed where it ran
// out; else, of an official account's follower, with the account's own token.
func (s *Service) RefreshProfile(ctx context.Context, question []byte) ([]byte, error) {
	var q struct {
		MchID     pay.MchID     `json:"mchid"`
		AccountID pay.AccountID `json:"account_id"`
		AppID     pay.AppID     `json:"appid"`
	}
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	d := done{step: stepProfile, began: s.Now()}
	account, err := s.refresh(ctx, &d, q.MchID, q.AccountID, q.AppID)
	s.tell(ctx, d, err)
	return answer(wire(account), err)
}

func (s *Service) refresh(ctx context.Context, d *done, mchid pay.MchID, id pay.AccountID, appid pay.AppID) (pay.Account, error) {
	app, err := s.app(appid)
	d.app = app
	if err == nil && app.MchID != mchid {
		err = problem.New(problem.NotFound, "the merchant has no such app")
	}
	if err != nil {
		return pay.Account{}, err
	}
	known, err := s.account(ctx, mchid, id)
	d.account = known.ID
	if err != nil {
		return pay.Account{}, err
	}
	identity, found, err := s.Books.GrantedIdentity(ctx, mchid, known.ID, app.ID)
	switch {
	case err != nil:
		return pay.Account{}, s.fault(err)
	case !found:
		return pay.Account{}, problem.Newf(problem.NoProfile, "this buyer has never logged in through %s", app.ID)
	}
	arrival, err := s.ask(ctx, app, identity)
	if err != nil {
		return pay.Account{}, err
	}
	arrival.MchID, arrival.AppID, arrival.At = app.MchID, app.ID, s.Now()
	kept, err := s.Books.Arrive(ctx, arrival)
	if err != nil {
		return pay.Account{}, s.fault(err)
	}
	return s.account(ctx, mchid, kept)
}

// ask asks WeChat in the ways that there are, the buyer's own grant first.
func (s *Service) ask(ctx context.Context, app App, identity pay.GrantedIdentity) (pay.Arrival, error) {
	arrival := pay.Arrival{OpenID: identity.OpenID}
	told, err := s.byGrant(ctx, app, identity, &arrival)
	if err == nil && !told && app.Kind == merchant.KindOfficialAccount {
		told, err = s.byFollowing(ctx, app, &arrival)
	}
	switch {
	case err != nil:
		return pay.Arrival{}, s.refused(app, err)
	case !told:
		return pay.Arrival{}, problem.New(problem.NoProfile, "the buyer has not consented, the consent ran out, or they do not follow the official account")
	}
	return arrival, nil
}

// byGrant asks with what the buyer granted; false: that is not enough, or ran out.
func (s *Service) byGrant(ctx context.Context, app App, identity pay.GrantedIdentity, arrival *pay.Arrival) (bool, error) {
	access, refresh, ok := s.open(app, identity)
	if !ok || !mayAskProfile(identity.Grant.Scope) {
		return false, nil
	}
	valid, err := s.WeChat.CheckGrant(ctx, access, identity.OpenID)
	if err != nil {
		return false, err //nolint:wrapcheck // it names its call
	}
	if !valid {
		grant, err := s.renew(ctx, app, identity, refresh)
		if wechat.ClassOf(err) == wechat.ClassToken {
			return false, nil // it ran out after 30 days, or the buyer took it back
		}
		if err != nil {
			return false, err
		}
		if arrival.Grant, err = s.seal(app, grant); err != nil {
			return false, err
		}
		access = grant.AccessToken
	}
	p, err := s.WeChat.UserInfo(ctx, access, identity.OpenID)
	if wechat.ClassOf(err) == wechat.ClassToken {
		return false, nil
	}
	if err != nil {
		return false, err //nolint:wrapcheck // it names its call
	}
	return true, addProfile(arrival, p)
}

// renew has the access token made new. The answer may leave out what has not changed.
func (s *Service) renew(ctx context.Context, app App, identity pay.GrantedIdentity, refresh merchant.Secret) (wechat.OAuthGrant, error) {
	grant, err := s.WeChat.RefreshGrant(ctx, app.wechat(), refresh)
	if err != nil {
		return wechat.OAuthGrant{}, err //nolint:wrapcheck // it names its call
	}
	if grant.OpenID != identity.OpenID {
		return wechat.OAuthGrant{}, problem.New(problem.WeChatUnavailable, "WeChat renewed another person's grant")
	}
	if grant.RefreshToken == "" {
		grant.RefreshToken = refresh
	}
	if grant.Scope == "" {
		grant.Scope = identity.Grant.Scope
	}
	return grant, nil
}

// byFollowing asks with the official account's own token; false: the buyer does not
// follow it.
func (s *Service) byFollowing(ctx context.Context, app App, arrival *pay.Arrival) (bool, error) {
	var p wechat.Profile
	var follows bool
	err := s.Authority.Do(ctx, app.wechat(), func(token merchant.Secret) (err error) {
		p, follows, err = s.WeChat.Follower(ctx, token, arrival.OpenID)
		return err
	})
	if err != nil || !follows {
		return false, err //nolint:wrapcheck // it names its call
	}
	return true, addProfile(arrival, p)
}
