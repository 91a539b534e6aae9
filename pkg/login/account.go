package login

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// accountWire is an account as its shop sees it.
type accountWire struct {
	AccountID  pay.AccountID  `json:"account_id"`
	UnionID    pay.UnionID    `json:"unionid,omitempty"`
	Nickname   string         `json:"nickname,omitempty"`
	AvatarURL  string         `json:"avatar_url,omitempty"`
	Phone      string         `json:"phone,omitempty"`
	Identities []identityWire `json:"identities"`
	CreatedAt  time.Time      `json:"created_at"`
	UpdatedAt  time.Time      `json:"updated_at"`
}

type identityWire struct {
	AppID  pay.AppID  `json:"appid"`
	OpenID pay.OpenID `json:"openid"`
	SeenAt time.Time  `json:"seen_at"`
}

// ReadAccount answers {"mchid","account_id"} with the account. The id of an account
// that was merged leads to the one that it was merged into.
func (s *Service) ReadAccount(ctx context.Context, question []byte) ([]byte, error) {
	var q struct {
		MchID     pay.MchID     `json:"mchid"`
		AccountID pay.AccountID `json:"account_id"`
	}
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	account, err := s.account(ctx, q.MchID, q.AccountID)
	return answer(wire(account), err)
}

func (s *Service) account(ctx context.Context, mchid pay.MchID, id pay.AccountID) (pay.Account, error) {
	account, found, err := s.Books.Account(ctx, mchid, id)
	switch {
	case err != nil:
		return pay.Account{}, s.fault(err)
	case !found:
		return pay.Account{}, &problem.Error{Kind: problem.NotFound, Detail: "the merchant has no such account", NextStep: "Take the account_id from a session (`POST /v1/sessions/introspect`). After a restore, a buyer who logs in again has a new one."}
	}
	return account, nil
}

func wire(a pay.Account) accountWire {
	w := accountWire{
		AccountID: a.ID, UnionID: a.UnionID, Nickname: a.Nickname, AvatarURL: a.AvatarURL, Phone: a.Phone,
		Identities: make([]identityWire, len(a.Identities)), CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
	}
	for i, one := range a.Identities {
		w.Identities[i] = identityWire(one)
	}
	return w
}
