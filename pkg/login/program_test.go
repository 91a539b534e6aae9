package login_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/login"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// brokenBooks is a database that is away.
type brokenBooks struct {
	login.Books

	err error
}

func (b brokenBooks) Arrive(context.Context, pay.Arrival) (pay.AccountID, error) { return "", b.err }

func (b brokenBooks) SpendTicket(context.Context, [32]byte, pay.AppID, string, time.Time) (pay.Buyer, pay.TicketOutcome, error) {
	return pay.Buyer{}, "", b.err
}

func TestProgramLogin_ends_in_an_account_with_what_came_along(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.programs("plain", "open-m", nil)
	id := s.comes(answer{"appid": mini, "code": "plain"}).AccountID
	require.Empty(t, s.account(id).UnionID)

	s.programs("rich", "open-m", answer{"unionid": union})
	s.set(func(p *platform) { p.phones["phone"] = phoneOf("+86 13800000000", mini) })
	data, iv := encrypted(sessionKey, answer{"openId": "open-m", "nickName": "茶客", "avatarUrl": "https://wx.qlogo.cn/1", "unionId": union}, string(mini), noon)
	raw := `{"nickName":"茶","avatarUrl":""}`
	claims := s.comes(answer{
		"appid": mini, "code": "rich", "phone_code": "phone", "encrypted_data": data, "iv": iv, "raw_data": raw, "signature": signed(raw, sessionKey),
	})
	require.Equal(t, id, claims.AccountID)
	a := s.account(id)
	require.Equal(t, []any{"茶客", "https://wx.qlogo.cn/1", "+86 13800000000", pay.UnionID(union)}, []any{a.Nickname, a.AvatarURL, a.Phone, a.UnionID})
	require.Equal(t, 1, s.called("/cgi-bin/stable_token"))

	s.grants("app", "open-a", "snsapi_userinfo", answer{"unionid": union})
	s.set(func(p *platform) {
		p.userinfo["AT-app"] = answer{"openid": "open-a", "nickname": "茶", "unionid": union}
	})
	require.Equal(t, id, s.comes(answer{"appid": phoneApp, "code": "app"}).AccountID, "the unionid leads to the same buyer")
}

func phoneOf(number string, appid pay.AppID) answer {
	return answer{"errcode": 0, "errmsg": "ok", "phone_info": answer{
		"phoneNumber": number, "purePhoneNumber": "13800000000", "countryCode": "86", "watermark": answer{"timestamp": noon.Unix(), "appid": appid},
	}}
}

func TestProgramLogin_refuses_whole_where_any_part_is_not_right(t *testing.T) {
	t.Parallel()
	s := setup(t)
	otherKey := base64.StdEncoding.EncodeToString([]byte("fedcba9876543210"))
	about := answer{"openId": "open-m", "nickName": "茶客", "unionId": union}
	seal := func(key string, about answer, appid pay.AppID, at time.Time) answer {
		data, iv := encrypted(key, about, string(appid), at)
		return answer{"encrypted_data": data, "iv": iv}
	}
	tampered := seal(sessionKey, about, mini, noon)
	tampered["encrypted_data"] = "AAAA" + tampered["encrypted_data"].(string)[4:]
	s.set(func(p *platform) { p.phones["foreign"] = phoneOf("13800000000", account) })
	for name, c := range map[string]struct {
		extra answer
		kind  problem.Kind
	}{
		"of another session":        {seal(otherKey, about, mini, noon), problem.NotFromWeChat},
		"of another app":            {seal(sessionKey, about, account, noon), problem.NotFromWeChat},
		"too old":                   {seal(sessionKey, about, mini, noon.Add(-11*time.Minute)), problem.NotFromWeChat},
		"from the future":           {seal(sessionKey, about, mini, noon.Add(6*time.Minute)), problem.NotFromWeChat},
		"about another person":      {seal(sessionKey, answer{"openId": "open-x", "unionId": union}, mini, noon), problem.NotFromWeChat},
		"of another unionid":        {seal(sessionKey, answer{"openId": "open-m", "unionId": "another"}, mini, noon), problem.NotFromWeChat},
		"tampered with":             {tampered, problem.NotFromWeChat},
		"no base64":                 {answer{"encrypted_data": "%%%", "iv": "%%%"}, problem.NotFromWeChat},
		"raw data signed otherwise": {answer{"raw_data": `{"nickName":"x"}`, "signature": signed(`{"nickName":"y"}`, sessionKey)}, problem.NotFromWeChat},
		"raw data that is no JSON":  {answer{"raw_data": `x`, "signature": signed(`x`, sessionKey)}, problem.NotFromWeChat},
		"an unknown phone code":     {answer{"phone_code": "unknown"}, problem.LoginCodeRefused},
		"another app's phone":       {answer{"phone_code": "foreign"}, problem.AppRefused},
	} {
		code := fmt.Sprintf("code-%d", s.called("/sns/jscode2session"))
		more := answer{}
		if name == "of another unionid" {
			more["unionid"] = union
		}
		s.programs(code, "open-m", more)
		question := answer{"appid": mini, "code": code}
		for k, v := range c.extra {
			question[k] = v
		}
		_, err := s.login(question)
		require.Equal(t, c.kind, problem.KindOf(err), "%s: %v", name, err)
	}
	s.programs("blocked", "open-m", nil)
	s.set(func(p *platform) { p.broken["/sns/jscode2session"] = refusal(40226, "code blocked") })
	_, err := s.login(answer{"appid": mini, "code": "blocked"})
	requireKind(t, problem.BuyerRefused, err)
	s.nobodyIsKnown("open-m")
}

func TestLogin_ten_at_once_of_one_buyer_make_one_account(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ids := make([]pay.AccountID, 10)
	var group errgroup.Group
	for i := range ids {
		code := fmt.Sprintf("code-%d", i)
		question := answer{"appid": mini, "code": code}
		if i%2 == 0 {
			s.programs(code, "open-m", answer{"unionid": union})
		} else {
			question["appid"] = phoneApp
			s.grants(code, "open-a", "snsapi_userinfo", answer{"unionid": union})
		}
		group.Go(func() error {
			w, err := s.login(question)
			ids[i] = w.AccountID
			return err
		})
	}
	require.NoError(t, group.Wait())
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	require.Len(t, s.account(ids[0]).Identities, 2)
}

// What is secret or personal is in no log and no answer, however the login ends.
func TestLogin_tells_nobody_what_is_secret_or_personal(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.programs("CODE-mini", "open-secret", answer{"unionid": union})
	s.grants("CODE-web", "open-secret", "snsapi_userinfo", nil)
	data, iv := encrypted(sessionKey, answer{"openId": "open-secret"}, string(mini), noon)
	answers := ""
	put := func(method func(context.Context, []byte) ([]byte, error), q answer) {
		raw, err := json.Marshal(q)
		require.NoError(t, err)
		said, err := method(t.Context(), raw)
		require.NoError(t, err)
		answers += string(said)
	}
	for range 2 { // once right, once with a code that is used
		put(s.service.Login, answer{"appid": mini, "code": "CODE-mini", "encrypted_data": data, "iv": iv})
		put(s.service.Authorize, answer{"appid": account, "code": "CODE-web", "challenge": challenge})
	}
	s.set(func(p *platform) {
		p.broken["/sns/oauth2/access_token"] = refusal(40125, "invalid appsecret "+appSecret)
	})
	put(s.service.Authorize, answer{"appid": account, "code": "CODE-last", "challenge": challenge})
	for _, secret := range []string{appSecret, sessionKey, "CODE-mini", "CODE-web", "CODE-last", "AT-CODE-web", "RT-CODE-web", "APP-TOKEN", data} {
		for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
			require.NotContains(t, s.log.String(), form)
			require.NotContains(t, answers, form)
		}
	}
	require.NotContains(t, s.log.String(), "open-secret")
	require.NotContains(t, s.log.String(), union)
	require.Equal(t, 5, strings.Count(s.log.String(), `"msg":"a buyer's login"`), "one line a step")
	require.Contains(t, s.log.String(), `"account_id":"01`)
}
