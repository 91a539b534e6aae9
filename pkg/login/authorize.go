package login

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechat"
)

const (
	// ticketLife is ample for one redirect and one request.
	ticketLife = 60 * time.Second
	// profileWithin is little of the 8 s that the edge waits: by then the code is
	// spent, and a login without a name is better than none.
	profileWithin = 2 * time.Second
)

// challengeShape: SHA-256 in base64url without padding (RFC 7636, S256).
var challengeShape = regexp.MustCompile(`^[0-9A-Za-z_-]{43}$`)

// Authorize answers {"appid","code","challenge"}, what WeChat's page came back with,
// with {"ticket"}:
//
//  1. the code is spent;
//  2. a preview's made-up buyer is refused;
//  3. the profile is read where the buyer consented to it;
//  4. account, identity and sealed grant are written;
//  5. a ticket is kept for the page that began.
func (s *Service) Authorize(ctx context.Context, question []byte) ([]byte, error) {
	var q struct {
		AppID     pay.AppID `json:"appid"`
		Code      string    `json:"code"`
		Challenge string    `json:"challenge"`
	}
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	d := done{step: stepAuthorize, began: s.Now()}
	ticket, err := s.authorize(ctx, &d, q.AppID, q.Code, q.Challenge)
	s.tell(ctx, d, err)
	return answer(struct {
		Ticket string `json:"ticket"`
	}{ticket}, err)
}

func (s *Service) authorize(ctx context.Context, d *done, appid pay.AppID, code, challenge string) (string, error) {
	app, err := s.app(appid)
	d.app = app
	switch {
	case err != nil:
		return "", err
	case !byTicket(app.Kind):
		return "", invalid("appid", fmt.Sprintf("a %s has no page of WeChat's to log in on: post its code to /wx/login/%s", app.Kind, app.ID))
	case !challengeShape.MatchString(challenge):
		return "", invalid("challenge", "it must be the SHA-256 of the verifier in base64url without padding: 43 characters")
	}
	buyer, err := s.byCode(ctx, app, code)
	d.account = buyer.AccountID
	if err != nil {
		return "", err
	}
	ticket := s.Random()
	kept := pay.LoginTicket{Sum: sha256.Sum256([]byte(ticket)), Buyer: buyer, Challenge: challenge, ExpiresAt: s.Now().Add(ticketLife)}
	if err := s.Books.KeepTicket(ctx, kept); err != nil {
		return "", s.fault(err)
	}
	return ticket, nil
}

// byCode spends a code of OAuth and records who came.
func (s *Service) byCode(ctx context.Context, app App, code string) (pay.Buyer, error) {
	grant, err := s.WeChat.ExchangeCode(ctx, app.wechat(), code)
	if err != nil {
		return pay.Buyer{}, s.refused(app, err)
	}
	if grant.Snapshot {
		return pay.Buyer{}, problem.New(problem.SnapshotUser, "WeChat made this buyer up, for a preview of the page")
	}
	arrival := pay.Arrival{OpenID: grant.OpenID, UnionID: grant.UnionID}
	if arrival.Grant, err = s.seal(app, grant); err != nil {
		return pay.Buyer{}, err
	}
	if mayAskProfile(grant.Scope) {
		s.addProfile(ctx, app, grant, &arrival)
	}
	return s.arrive(ctx, app, arrival)
}

// addProfile does without, should WeChat not answer: the code is spent, and a
// profile can be fetched later.
func (s *Service) addProfile(ctx context.Context, app App, grant wechat.OAuthGrant, arrival *pay.Arrival) {
	within, cancel := context.WithTimeout(ctx, profileWithin)
	defer cancel()
	p, err := s.WeChat.UserInfo(within, grant.AccessToken, grant.OpenID)
	if err == nil {
		err = addProfile(arrival, p)
	}
	if err != nil {
		s.operatorOnly(ctx, app, "a buyer logs in without a profile: WeChat did not tell it", err)
	}
}

// addProfile adds what WeChat told, if it is about the same person.
func addProfile(arrival *pay.Arrival, p wechat.Profile) error {
	if p.OpenID != arrival.OpenID {
		return problem.New(problem.WeChatUnavailable, "WeChat told of another person than the one that was asked about")
	}
	arrival.Nickname, arrival.AvatarURL = p.Nickname, p.AvatarURL
	if arrival.UnionID == "" {
		arrival.UnionID = p.UnionID
	}
	return nil
}

// arrive records who came, and says whose session it is to be.
func (s *Service) arrive(ctx context.Context, app App, a pay.Arrival) (pay.Buyer, error) {
	a.MchID, a.AppID, a.At, a.LoggedIn = app.MchID, app.ID, s.Now(), true
	id, err := s.Books.Arrive(ctx, a)
	if err != nil {
		return pay.Buyer{}, s.fault(err)
	}
	return pay.Buyer{AccountID: id, MchID: app.MchID, AppID: app.ID, OpenID: a.OpenID}, nil
}

// mayAskProfile: scopes come alone or separated by commas.
func mayAskProfile(scope string) bool {
	return slices.ContainsFunc(strings.Split(scope, ","), func(one string) bool { return one == "snsapi_userinfo" || one == "snsapi_login" })
}

// challengeOf is what a page shows of its verifier (RFC 7636, S256).
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
