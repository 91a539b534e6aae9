package login

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/session"
)

// verifierShape is RFC 7636's code_verifier.
var verifierShape = regexp.MustCompile(`^[0-9A-Za-z._~-]{43,128}$`)

// Question is what a buyer's client posts: ticket and verifier, or a code and, from
// a mini program, what comes with it.
type Question struct {
	AppID         pay.AppID `json:"appid"`
	Ticket        string    `json:"ticket"`
	Verifier      string    `json:"verifier"`
	Code          string    `json:"code"`
	PhoneCode     string    `json:"phone_code"`
	EncryptedData string    `json:"encrypted_data"`
	IV            string    `json:"iv"`
	RawData       string    `json:"raw_data"`
	Signature     string    `json:"signature"`
}

// welcome is the answer to a login.
type welcome struct {
	Session   string        `json:"session"`
	TokenType string        `json:"token_type"`
	ExpiresAt time.Time     `json:"expires_at"`
	AccountID pay.AccountID `json:"account_id"`
}

// Login answers a Question with {"session","token_type","expires_at","account_id"}.
// The kind of the app says which way it goes: a ticket for official accounts and
// websites, a code for mini programs and apps.
func (s *Service) Login(ctx context.Context, question []byte) ([]byte, error) {
	var q Question
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	d := done{step: stepLogin, began: s.Now()}
	w, err := s.login(ctx, &d, q)
	s.tell(ctx, d, err)
	return answer(w, err)
}

func (s *Service) login(ctx context.Context, d *done, q Question) (welcome, error) {
	app, err := s.app(q.AppID)
	d.app = app
	if err != nil {
		return welcome{}, err
	}
	if err := q.check(app); err != nil {
		return welcome{}, err
	}
	buyer, err := s.buyer(ctx, app, q)
	d.account = buyer.AccountID
	if err != nil {
		return welcome{}, err
	}
	token, expiresAt, err := s.Signer.Sign(session.Claims{AccountID: buyer.AccountID, MchID: buyer.MchID, AppID: buyer.AppID, OpenID: buyer.OpenID})
	if err != nil {
		return welcome{}, problem.Wrap(problem.Internal, err, "")
	}
	return welcome{Session: token, TokenType: "Bearer", ExpiresAt: expiresAt, AccountID: buyer.AccountID}, nil
}

func (s *Service) buyer(ctx context.Context, app App, q Question) (pay.Buyer, error) {
	switch {
	case byTicket(app.Kind):
		return s.spend(ctx, app, q)
	case isMiniProgram(app):
		return s.miniProgram(ctx, app, q)
	default:
		return s.byCode(ctx, app, q.Code)
	}
}

func (s *Service) spend(ctx context.Context, app App, q Question) (pay.Buyer, error) {
	buyer, outcome, err := s.Books.SpendTicket(ctx, sha256.Sum256([]byte(q.Ticket)), app.ID, challengeOf(q.Verifier), s.Now())
	switch {
	case err != nil:
		return pay.Buyer{}, s.fault(err)
	case outcome == pay.TicketForeign:
		return pay.Buyer{}, problem.New(problem.VerifierWrong, "the ticket is of a login that another page began")
	case outcome != pay.TicketSpent, buyer.MchID != app.MchID:
		return pay.Buyer{}, problem.New(problem.TicketGone, "the ticket was used, is older than a minute, or was never given")
	}
	return buyer, nil
}

// check refuses what does not go with the app's kind before anything is spent.
func (q Question) check(app App) error {
	var wrong []problem.Field
	say := func(field, message string) { wrong = append(wrong, problem.Field{Field: field, Message: message}) }
	if byTicket(app.Kind) {
		q.checkTicket(app, say)
	} else {
		q.checkCode(app, say)
	}
	q.checkExtras(app, say)
	if len(wrong) > 0 {
		return problem.InvalidFields(wrong...)
	}
	return nil
}

func (q Question) checkTicket(app App, say func(field, message string)) {
	if q.Code != "" {
		say("code", fmt.Sprintf("a %s logs in at /wx/oauth/%s/start; post the ticket that comes back", app.Kind, app.ID))
	}
	if q.Ticket == "" {
		say("ticket", "it is missing")
	}
	if !verifierShape.MatchString(q.Verifier) {
		say("verifier", "it must have 43 to 128 of 0-9 A-Z a-z . _ ~ -")
	}
}

func (q Question) checkCode(app App, say func(field, message string)) {
	if q.Ticket != "" || q.Verifier != "" {
		say("ticket", fmt.Sprintf("a %s logs in with a code", app.Kind))
	}
	if q.Code == "" {
		say("code", "it is missing: wx.login in a mini program, SendAuth in an app gives one")
	}
}

// checkExtras: what comes in two parts comes whole, and from mini programs alone.
func (q Question) checkExtras(app App, say func(field, message string)) {
	if (q.EncryptedData == "") != (q.IV == "") {
		say("iv", "encrypted_data and iv go together")
	}
	if (q.RawData == "") != (q.Signature == "") {
		say("signature", "raw_data and signature go together")
	}
	if isMiniProgram(app) {
		return
	}
	for _, extra := range []struct{ field, value string }{{"phone_code", q.PhoneCode}, {"encrypted_data", q.EncryptedData}, {"raw_data", q.RawData}} {
		if extra.value != "" {
			say(extra.field, "only a mini program has it")
		}
	}
}
