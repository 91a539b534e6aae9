package login

import (
	"encoding/json"
	"fmt"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechat"
)

// sealedGrant is what is in the sealed bytes, and nowhere else.
type sealedGrant struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

// grantKind binds sealed bytes to the buyer: another's grant does not open here.
func grantKind(openid pay.OpenID) string { return "grant|" + string(openid) }

func (s *Service) seal(app App, g wechat.OAuthGrant) (pay.Grant, error) {
	plain, err := json.Marshal(sealedGrant{AccessToken: g.AccessToken.Reveal(), RefreshToken: g.RefreshToken.Reveal()})
	if err != nil {
		return pay.Grant{}, fmt.Errorf("seal grant: %w", err)
	}
	return pay.Grant{Sealed: s.Sealer.Seal(app.ID, grantKind(g.OpenID), plain), Scope: g.Scope, ExpiresAt: g.ExpiresAt}, nil
}

// open gives the tokens of a grant; false: there is none, or it was sealed with a
// key that was changed since, which is as good as none.
func (s *Service) open(app App, g pay.GrantedIdentity) (access, refresh merchant.Secret, ok bool) {
	plain, ok := s.Sealer.Open(app.ID, grantKind(g.OpenID), g.Grant.Sealed)
	var tokens sealedGrant
	if !ok || json.Unmarshal(plain, &tokens) != nil {
		return "", "", false
	}
	return merchant.Secret(tokens.AccessToken), merchant.Secret(tokens.RefreshToken), true
}
