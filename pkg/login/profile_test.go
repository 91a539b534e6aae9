package login_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// told is an account as a shop sees it.
type told struct {
	AccountID  pay.AccountID `json:"account_id"`
	UnionID    string        `json:"unionid"`
	Nickname   string        `json:"nickname"`
	AvatarURL  string        `json:"avatar_url"`
	Phone      string        `json:"phone"`
	Identities []struct {
		AppID  pay.AppID  `json:"appid"`
		OpenID string     `json:"openid"`
		SeenAt *time.Time `json:"seen_at"`
	} `json:"identities"`
}

func (s *stage) refresh(id pay.AccountID, appid pay.AppID) (told, error) {
	s.t.Helper()
	var a told
	err := s.ask(s.service.RefreshProfile, answer{"mchid": shop, "account_id": id, "appid": appid}, &a)
	return a, err
}

func TestReadAccount_tells_a_shop_of_its_own_buyers(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.programs("c", "open-m", answer{"unionid": union})
	id := s.comes(answer{"appid": mini, "code": "c"}).AccountID
	var a told
	require.NoError(t, s.ask(s.service.ReadAccount, answer{"mchid": shop, "account_id": id}, &a))
	require.Equal(t, id, a.AccountID)
	require.Equal(t, union, a.UnionID)
	require.Len(t, a.Identities, 1)
	require.Equal(t, "open-m", a.Identities[0].OpenID)
	requireKind(t, problem.NotFound, s.ask(s.service.ReadAccount, answer{"mchid": "1900000110", "account_id": id}, &a))
	requireKind(t, problem.NotFound, s.ask(s.service.ReadAccount, answer{"mchid": shop, "account_id": "0199c0de-7a11-7000-8000-000000000001"}, &a))
	requireKind(t, problem.NotFound, s.ask(s.service.ReadAccount, answer{"mchid": shop, "account_id": "no id"}, &a))
}

func TestRefreshProfile_asks_with_the_buyers_grant_and_renews_it(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.grants("c", "open-1", "snsapi_userinfo", nil)
	s.set(func(p *platform) { p.userinfo["AT-c"] = answer{"openid": "open-1", "nickname": "before"} })
	id := s.onWeb(account, "c").AccountID
	require.Equal(t, "before", s.account(id).Nickname)

	s.set(func(p *platform) { p.userinfo["AT-c"] = answer{"openid": "open-1", "nickname": "after"} })
	a, err := s.refresh(id, account)
	require.NoError(t, err)
	require.Equal(t, "after", a.Nickname)
	require.Equal(t, 1, s.called("/sns/auth"))
	require.Zero(t, s.called("/sns/oauth2/refresh_token"), "a grant that is valid is not renewed")

	s.clock.Advance(3 * time.Hour)
	s.set(func(p *platform) {
		p.valid["AT-c"] = false
		delete(p.userinfo, "AT-c")
		p.refreshes["RT-c"] = answer{"access_token": "AT-new", "expires_in": 7200, "refresh_token": "RT-c", "openid": "open-1", "scope": "snsapi_userinfo"}
		p.userinfo["AT-new"] = answer{"openid": "open-1", "nickname": "renewed", "unionid": union}
		p.valid["AT-new"] = true
	})
	for range 2 {
		a, err = s.refresh(id, account)
		require.NoError(t, err)
		require.Equal(t, "renewed", a.Nickname)
		require.Equal(t, union, a.UnionID)
	}
	require.Equal(t, 1, s.called("/sns/oauth2/refresh_token"), "the renewed grant is kept")
	require.Equal(t, noon, *a.Identities[0].SeenAt, "the buyer did not come")
}

func TestRefreshProfile_asks_about_followers_with_the_accounts_own_token(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.grants("c", "open-1", "snsapi_base", nil)
	id := s.onWeb(account, "c").AccountID
	_, err := s.refresh(id, account)
	requireKind(t, problem.NoProfile, err)
	s.set(func(p *platform) {
		p.followers["open-1"] = answer{"subscribe": 1, "openid": "open-1", "nickname": "", "unionid": union}
	})
	a, err := s.refresh(id, account)
	require.NoError(t, err)
	require.Equal(t, union, a.UnionID)
	require.Zero(t, s.called("/sns/userinfo"))
	require.Equal(t, 1, s.called("/cgi-bin/stable_token"))
}

func TestRefreshProfile_says_clearly_when_nothing_is_to_be_had(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.grants("c", "open-1", "snsapi_userinfo", nil)
	id := s.onWeb(account, "c").AccountID
	s.set(func(p *platform) { p.valid["AT-c"] = false })
	_, err := s.refresh(id, account)
	requireKind(t, problem.NoProfile, err)
	require.Contains(t, problem.DocumentOf(err, "").NextStep, "snsapi_userinfo")
	_, err = s.refresh(id, site)
	requireKind(t, problem.NoProfile, err)
	_, err = s.refresh("0199c0de-7a11-7000-8000-000000000001", account)
	requireKind(t, problem.NotFound, err)
	err = s.ask(s.service.RefreshProfile, answer{"mchid": "1900000110", "account_id": id, "appid": account}, nil)
	requireKind(t, problem.NotFound, err)

	s.set(func(p *platform) { p.broken["/sns/auth"] = refusal(-1, "system error") })
	_, err = s.refresh(id, account)
	requireKind(t, problem.WeChatUnavailable, err)

	s.programs("m", "open-m", nil)
	id = s.comes(answer{"appid": mini, "code": "m"}).AccountID
	_, err = s.refresh(id, mini)
	requireKind(t, problem.NoProfile, err)
}

func TestRefreshProfile_merges_accounts_when_it_learns_the_unionid(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.grants("c", "open-1", "snsapi_base", nil)
	before := s.onWeb(account, "c")
	s.programs("m", "open-m", answer{"unionid": union})
	kept := s.comes(answer{"appid": mini, "code": "m"})
	require.NotEqual(t, kept.AccountID, before.AccountID)
	s.set(func(p *platform) {
		p.followers["open-1"] = answer{"subscribe": 1, "openid": "open-1", "unionid": union}
	})
	a, err := s.refresh(before.AccountID, account)
	require.NoError(t, err)
	require.Equal(t, kept.AccountID, a.AccountID)
	require.Len(t, a.Identities, 2)
	a, err = s.refresh(before.AccountID, account)
	require.NoError(t, err)
	require.Equal(t, kept.AccountID, a.AccountID, "the old id leads to the account")
}
