package menu

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechat"
)

// Apps tell what is known of an app that belongs to one merchant.
type Apps interface {
	AppSecrets(id pay.AppID) (mchid pay.MchID, app merchant.App, secrets merchant.AppSecrets, found bool)
}

// WeChat keeps the menus; wechat.Client has it.
type WeChat interface {
	MenuGet(ctx context.Context, token merchant.Secret) (json.RawMessage, error)
	MenuSet(ctx context.Context, token merchant.Secret, menu json.RawMessage) error
	MenuRemove(ctx context.Context, token merchant.Secret) error
}

// Tokens lends an app's access token to a call; wechat.Authority has it.
type Tokens interface {
	Do(ctx context.Context, app wechat.App, call func(token merchant.Secret) error) error
}

// Audit is where acts are written down.
type Audit interface {
	WriteAudit(ctx context.Context, e pay.AuditEntry) error
}

// Options are what a Service works with.
type Options struct {
	Apps      Apps
	WeChat    WeChat
	Tokens    Tokens
	Audit     Audit
	Retryable func(error) bool // of Audit
	Log       *slog.Logger
}

// Service does what operators want done with menus.
type Service struct{ Options }

// New makes a Service.
func New(o Options) *Service { return &Service{o} }

// callsWithin bounds an act: a token may have to be fetched before, and again where
// WeChat refuses it. The console waits 18 s.
const callsWithin = 15 * time.Second

// What the console asks.
const (
	actGet    = "get"
	actSet    = "set"
	actCheck  = "check" // against the limits; WeChat is not asked
	actRemove = "rm"
)

type question struct {
	AppID pay.AppID       `json:"appid"`
	Act   string          `json:"act"`
	Menu  json.RawMessage `json:"menu"`
	Actor string          `json:"actor"`
	Why   string          `json:"why"`
}

type answer struct {
	Menu json.RawMessage `json:"menu,omitempty"` // absent: there is none
}

// Answer answers the console.
func (s *Service) Answer(ctx context.Context, raw []byte) ([]byte, error) {
	var q question
	if err := json.Unmarshal(raw, &q); err != nil {
		return problem.WriteRefusal(problem.Wrap(problem.Malformed, err, "")) //nolint:wrapcheck // it says what failed
	}
	ctx, cancel := context.WithTimeout(ctx, callsWithin)
	defer cancel()
	document, err := s.act(ctx, q)
	if err != nil {
		s.Log.WarnContext(ctx, "menu", "appid", q.AppID, "act", q.Act, "actor", q.Actor, "error", err)
		return problem.WriteRefusal(err) //nolint:wrapcheck // it says what failed
	}
	s.Log.InfoContext(ctx, "menu", "appid", q.AppID, "act", q.Act, "actor", q.Actor)
	return problem.WriteAnswer(http.StatusOK, document) //nolint:wrapcheck // it says what failed
}

func (s *Service) act(ctx context.Context, q question) (answer, error) {
	mchid, app, secrets, found := s.Apps.AppSecrets(q.AppID)
	switch {
	case !found:
		return answer{}, problem.Newf(problem.NoMenu, "no app %s is configured, or several merchants have it", q.AppID)
	case app.Kind != merchant.KindOfficialAccount:
		return answer{}, problem.Newf(problem.NoMenu, "app %s is of kind %s, and official accounts alone have menus", q.AppID, app.Kind)
	case secrets.Secret == "":
		return answer{}, problem.Newf(problem.NoMenu, "app %s has no secret_file", q.AppID)
	}
	switch q.Act {
	case actGet:
		return s.get(ctx, wechat.App{ID: q.AppID, Secret: secrets.Secret})
	case actCheck:
		return answer{Menu: q.Menu}, wechat.CheckMenu(q.Menu) //nolint:wrapcheck // it names the button and the limit
	}
	call, err := s.change(ctx, q)
	if err != nil {
		return answer{}, err
	}
	if err := s.writeDown(ctx, mchid, q); err != nil {
		return answer{}, err
	}
	return answer{Menu: q.Menu}, asProblem(s.Tokens.Do(ctx, wechat.App{ID: q.AppID, Secret: secrets.Secret}, call))
}

func (s *Service) get(ctx context.Context, app wechat.App) (answer, error) {
	var a answer
	err := s.Tokens.Do(ctx, app, func(token merchant.Secret) (err error) {
		a.Menu, err = s.WeChat.MenuGet(ctx, token)
		return err //nolint:wrapcheck // Do looks at its class
	})
	return a, asProblem(err)
}

// change is the call that an act makes, once it is known that it may be made.
func (s *Service) change(ctx context.Context, q question) (func(merchant.Secret) error, error) {
	switch {
	case q.Actor == "" || q.Why == "":
		return nil, problem.New(problem.Malformed, "it does not say who wants it, and why")
	case q.Act == actSet:
		if err := wechat.CheckMenu(q.Menu); err != nil {
			return nil, err //nolint:wrapcheck // it names the button and the limit
		}
		written, err := plain(q.Menu)
		if err != nil {
			return nil, problem.Wrap(problem.Malformed, err, "")
		}
		return func(token merchant.Secret) error { return s.WeChat.MenuSet(ctx, token, written) }, nil
	case q.Act == actRemove && len(q.Menu) == 0:
		return func(token merchant.Secret) error { return s.WeChat.MenuRemove(ctx, token) }, nil
	}
	return nil, problem.New(problem.Malformed, "this worker does not know what to do; compare the versions of console and worker")
}

// writeDown comes first: an entry about a menu that was not changed after all does
// no harm, a change without an entry does.
func (s *Service) writeDown(ctx context.Context, mchid pay.MchID, q question) error {
	detail := map[string]any{"reason": q.Why}
	if q.Act == actSet {
		written, err := plain(q.Menu) // as WeChat gets it
		if err != nil {
			return problem.Wrap(problem.Malformed, err, "")
		}
		detail["menu"] = string(written)
	}
	err := s.Audit.WriteAudit(ctx, pay.AuditEntry{MchID: mchid, Actor: q.Actor, Action: "menu." + q.Act, Subject: string(q.AppID), Detail: detail})
	switch {
	case err != nil && s.Retryable(err):
		return problem.Wrap(problem.DatabaseUnavailable, err, "")
	case err != nil:
		return problem.Wrap(problem.Internal, err, "")
	}
	return nil
}

// asProblem gives WeChat's word a kind. What WeChat says about a menu helps whoever
// wrote it, and holds no secret.
func asProblem(err error) error {
	var refused *wechat.APIError
	if err == nil {
		return nil
	}
	if errors.As(err, &refused) && refused.Class != wechat.ClassRetry && refused.Class != wechat.ClassTooOften && refused.Class != wechat.ClassToken {
		return problem.Wrap(problem.MenuRefused, err, refused.Error())
	}
	return wechat.Problem(err) //nolint:wrapcheck // it gives the kind
}
