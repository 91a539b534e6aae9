package login

import (
	"cmp"
	"context"
	"encoding/json"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechat"
)

func isMiniProgram(app App) bool { return app.Kind == merchant.KindMiniProgram }

// miniProgram spends the code of wx.login and reads what came with it. The session
// key that opens it is known in here, and nowhere else. Anything wrong refuses the
// login, and nothing is stored.
func (s *Service) miniProgram(ctx context.Context, app App, q Question) (pay.Buyer, error) {
	mini, err := s.WeChat.CodeToSession(ctx, app.wechat(), q.Code)
	if err != nil {
		return pay.Buyer{}, s.refused(app, err)
	}
	arrival := pay.Arrival{OpenID: mini.OpenID, UnionID: mini.UnionID}
	if q.RawData != "" {
		if err := addRawData(&arrival, q, mini.SessionKey); err != nil {
			return pay.Buyer{}, err
		}
	}
	if q.EncryptedData != "" {
		if err := s.addUserData(&arrival, app, q, mini.SessionKey); err != nil {
			return pay.Buyer{}, err
		}
	}
	if q.PhoneCode != "" {
		if err := s.addPhone(ctx, &arrival, app, q.PhoneCode); err != nil {
			return pay.Buyer{}, err
		}
	}
	return s.arrive(ctx, app, arrival)
}

// addRawData takes the profile that WeChat signed with the session key.
func addRawData(arrival *pay.Arrival, q Question, key merchant.Secret) error {
	if err := wechat.CheckRawData(q.RawData, q.Signature, key); err != nil {
		return wechat.Problem(err) //nolint:wrapcheck // it gives the kind
	}
	var told struct {
		Nickname  string `json:"nickName"`
		AvatarURL string `json:"avatarUrl"`
	}
	if err := json.Unmarshal([]byte(q.RawData), &told); err != nil {
		return problem.New(problem.NotFromWeChat, "raw_data is no JSON object")
	}
	arrival.Nickname, arrival.AvatarURL = told.Nickname, told.AvatarURL
	return nil
}

// addUserData takes what WeChat encrypted for this session, if it is about whom the
// code was. Who holds the session can forge such data (package wechat), so it never
// says which account it is: a unionid comes with the code, or not at all.
func (s *Service) addUserData(arrival *pay.Arrival, app App, q Question, key merchant.Secret) error {
	data, err := wechat.OpenUserData(key, app.ID, q.EncryptedData, q.IV, s.Now())
	if err != nil {
		return wechat.Problem(err) //nolint:wrapcheck // it gives the kind
	}
	switch {
	case data.OpenID != "" && data.OpenID != arrival.OpenID:
		return problem.New(problem.NotFromWeChat, "the encrypted data is about another person than the code")
	case data.UnionID != "" && arrival.UnionID != "" && data.UnionID != arrival.UnionID:
		return problem.New(problem.NotFromWeChat, "the encrypted data has another unionid than the code")
	}
	arrival.Nickname = cmp.Or(data.Nickname, arrival.Nickname)
	arrival.AvatarURL = cmp.Or(data.AvatarURL, arrival.AvatarURL)
	arrival.Phone = data.Phone.Number
	return nil
}

// addPhone spends the code of getPhoneNumber with the app's own token.
func (s *Service) addPhone(ctx context.Context, arrival *pay.Arrival, app App, code string) error {
	var phone wechat.Phone
	err := s.Authority.Do(ctx, app.wechat(), func(token merchant.Secret) (err error) {
		phone, err = s.WeChat.PhoneNumber(ctx, app.ID, token, code)
		return err
	})
	if err != nil {
		return s.refused(app, err)
	}
	arrival.Phone = phone.Number
	return nil
}
