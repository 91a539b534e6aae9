package login_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/login"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

func TestWebLogin_ends_in_an_account_and_a_session(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.grants("silent", "open-1", "snsapi_base", nil)
	claims := s.onWeb(account, "silent")
	require.Equal(t, pay.OpenID("open-1"), claims.OpenID)
	require.Equal(t, account, claims.AppID)
	require.Equal(t, noon.Add(2*time.Hour), claims.ExpiresAt)
	require.Zero(t, s.called("/sns/userinfo"), "a silent login asks for no profile")
	require.Equal(t, pay.Account{
		MchID: shop, ID: claims.AccountID, Identities: []pay.Identity{{AppID: account, OpenID: "open-1", SeenAt: noon}}, CreatedAt: noon, UpdatedAt: noon,
	}, s.account(claims.AccountID))

	s.grants("consented", "open-1", "snsapi_userinfo", answer{"unionid": union})
	s.set(func(p *platform) {
		p.userinfo["AT-consented"] = answer{"openid": "open-1", "nickname": "茶客", "headimgurl": "https://thirdwx.qlogo.cn/1", "unionid": union}
	})
	require.Equal(t, claims.AccountID, s.onWeb(account, "consented").AccountID)
	a := s.account(claims.AccountID)
	require.Equal(t, "茶客", a.Nickname)
	require.Equal(t, "https://thirdwx.qlogo.cn/1", a.AvatarURL)
	require.Equal(t, pay.UnionID(union), a.UnionID)

	s.grants("qr", "open-on-site", "snsapi_login", answer{"unionid": union})
	require.Equal(t, claims.AccountID, s.onWeb(site, "qr").AccountID, "the same unionid is the same buyer; a profile that is not told stops nobody")
}

func TestWebLogin_does_not_wait_for_a_profile_until_the_edge_has_given_up(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.grants("consented", "open-1", "snsapi_userinfo", nil)
	s.set(func(p *platform) { p.silent = "/sns/userinfo" })
	within, cancel := context.WithTimeout(t.Context(), 4500*time.Millisecond) // a call of WeChat's may take 5 s
	defer cancel()
	raw, err := json.Marshal(answer{"appid": account, "code": "consented", "challenge": challenge})
	require.NoError(t, err)
	answered, err := s.service.Authorize(within, raw)
	require.NoError(t, err)
	_, err = problem.ReadAnswer(answered)
	require.NoError(t, err, "the code is spent: the login must not be lost for a name")
}

func TestWebLogin_spends_a_ticket_once_within_its_minute_for_its_own_page(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, code := range []string{"c1", "c2", "c3"} {
		s.grants(code, "open-1", "snsapi_base", nil)
	}
	ticket, err := s.authorize(account, "c1")
	require.NoError(t, err)
	_, err = s.login(answer{"appid": account, "ticket": ticket, "verifier": strings.Repeat("x", 43)})
	requireKind(t, problem.VerifierWrong, err)
	_, err = s.login(answer{"appid": site, "ticket": ticket, "verifier": verifier})
	requireKind(t, problem.TicketGone, err)
	s.comes(answer{"appid": account, "ticket": ticket, "verifier": verifier})
	_, err = s.login(answer{"appid": account, "ticket": ticket, "verifier": verifier})
	requireKind(t, problem.TicketGone, err)
	_, err = s.login(answer{"appid": account, "ticket": "never given", "verifier": verifier})
	requireKind(t, problem.TicketGone, err)

	late, err := s.authorize(account, "c2")
	require.NoError(t, err)
	s.clock.Advance(time.Minute)
	_, err = s.login(answer{"appid": account, "ticket": late, "verifier": verifier})
	requireKind(t, problem.TicketGone, err)

	raced, err := s.authorize(account, "c3")
	require.NoError(t, err)
	in := make([]bool, 10)
	var group errgroup.Group
	for i := range in {
		group.Go(func() error {
			_, err := s.login(answer{"appid": account, "ticket": raced, "verifier": verifier})
			in[i] = err == nil
			if err != nil && problem.KindOf(err) != problem.TicketGone {
				return err
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	won := 0
	for _, one := range in {
		if one {
			won++
		}
	}
	require.Equal(t, 1, won)
}

func TestWebLogin_refuses_codes_and_buyers_that_are_not_right(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.grants("once", "open-1", "snsapi_base", nil)
	s.onWeb(account, "once")
	_, err := s.authorize(account, "once")
	requireKind(t, problem.LoginCodeRefused, err)
	require.ErrorContains(t, err, "used before")
	_, err = s.authorize(account, "unknown")
	requireKind(t, problem.LoginCodeRefused, err)
	_, err = s.authorize(account, "a&secret=b")
	requireKind(t, problem.LoginCodeRefused, err)

	s.grants("preview", "virtual-1", "snsapi_userinfo", answer{"is_snapshotuser": 1, "unionid": "virtual"})
	_, err = s.authorize(account, "preview")
	requireKind(t, problem.SnapshotUser, err)
	s.nobodyIsKnown("virtual-1")

	for path, said := range map[string]struct {
		answer answer
		kind   problem.Kind
	}{
		"busy":   {refusal(-1, "system error"), problem.WeChatUnavailable},
		"limit":  {refusal(45011, "api minute-quota reach limit"), problem.WeChatUnavailable},
		"risk":   {refusal(40226, "code blocked"), problem.BuyerRefused},
		"secret": {refusal(40125, "invalid appsecret"), problem.AppNotReady},
		"ip":     {refusal(40164, "invalid ip 10.0.0.1"), problem.AppNotReady},
	} {
		s.set(func(p *platform) { p.broken["/sns/oauth2/access_token"] = said.answer })
		_, err = s.authorize(account, "any")
		requireKind(t, said.kind, err)
		require.NotEmpty(t, problem.DocumentOf(err, "").NextStep, path)
	}
	require.Contains(t, s.log.String(), `"level":"ERROR"`, "an operator is told of a wrong secret")
}

func TestLogin_goes_the_way_of_the_apps_kind(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for name, q := range map[string]answer{
		"a code for an official account": {"appid": account, "code": "c"},
		"a ticket for a mini program":    {"appid": mini, "ticket": "t", "verifier": verifier},
		"both":                           {"appid": mini, "code": "c", "ticket": "t"},
		"neither":                        {"appid": phoneApp},
		"a short verifier":               {"appid": account, "ticket": "t", "verifier": "short"},
		"user data without iv":           {"appid": mini, "code": "c", "encrypted_data": "x"},
		"raw data without signature":     {"appid": mini, "code": "c", "raw_data": "{}"},
		"a phone code of an app":         {"appid": phoneApp, "code": "c", "phone_code": "p"},
	} {
		_, err := s.login(q)
		require.Equal(t, problem.Invalid, problem.KindOf(err), name)
	}
	_, err := s.authorize(mini, "c")
	requireKind(t, problem.Invalid, err)
	err = s.ask(s.service.Authorize, answer{"appid": account, "code": "c", "challenge": "plain"}, nil)
	requireKind(t, problem.Invalid, err)
	_, err = s.login(answer{"appid": "wx0000000000000000", "code": "c"})
	requireKind(t, problem.NotFound, err)
	_, err = s.login(answer{"appid": poor, "code": "c"})
	requireKind(t, problem.AppNotReady, err)
	require.Zero(t, s.called("/sns/jscode2session")+s.called("/sns/oauth2/access_token"), "nothing was spent")

	for _, method := range []func() error{
		func() error { _, err := s.service.Login(t.Context(), []byte("no JSON")); return err },
		func() error { _, err := s.service.Authorize(t.Context(), nil); return err },
		func() error { _, err := s.service.ReadAccount(t.Context(), []byte("[")); return err },
		func() error { _, err := s.service.RefreshProfile(t.Context(), []byte("1")); return err },
	} {
		require.Error(t, method())
	}
}

func TestLogin_says_that_the_database_is_away(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.programs("c1", "open-1", nil)
	away := errors.New("connection refused")
	options := s.service.Options
	options.Books = brokenBooks{Books: s.books, err: away}
	options.Registry = nil
	s.service = login.New(options)
	_, err := s.login(answer{"appid": mini, "code": "c1"})
	requireKind(t, problem.DatabaseUnavailable, err)
	_, err = s.login(answer{"appid": account, "ticket": "t", "verifier": verifier})
	requireKind(t, problem.DatabaseUnavailable, err)
}
