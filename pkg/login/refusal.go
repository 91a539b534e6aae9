package login

import (
	"context"
	"errors"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechat"
)

// app finds an app that a login may go through.
func (s *Service) app(id pay.AppID) (App, error) {
	app, known := s.Apps.App(id)
	switch {
	case !known:
		return App{}, &problem.Error{Kind: problem.NotFound, Detail: "there is no such app, or several merchants have it", NextStep: "Compare the appid in the address with `apps` in fenflow.yaml."}
	case app.Secret == "":
		return app, problem.Newf(problem.AppNotReady, "app %s has no `secret_file`", app.ID)
	}
	return app, nil
}

// refused gives an error of a call to WeChat its kind. What an operator has to mend
// in the configuration is told as such, and WeChat's own words stay in the log.
func (s *Service) refused(app App, err error) error {
	if class := wechat.ClassOf(err); class == wechat.ClassSecret || class == wechat.ClassAddress {
		return problem.Wrap(problem.AppNotReady, err, "WeChat takes no calls for "+string(app.ID)+" with our AppSecret, or from our address")
	}
	err = wechat.Problem(err)
	var known *problem.Error
	if errors.As(err, &known) {
		return err //nolint:wrapcheck // it has its kind
	}
	return s.fault(err) // the shelf of the app's tokens
}

// fault gives an error of the database its kind.
func (s *Service) fault(err error) error {
	if s.Retryable(err) {
		return problem.Wrap(problem.DatabaseUnavailable, err, "logins cannot be recorded at the moment")
	}
	return problem.Wrap(problem.Internal, err, "")
}

func invalid(field, message string) error {
	return problem.InvalidFields(problem.Field{Field: field, Message: message})
}

// answer writes what was found, or why not.
func answer(document any, err error) ([]byte, error) {
	if err != nil {
		return problem.WriteRefusal(err) //nolint:wrapcheck // it has one step
	}
	return problem.WriteAnswer(200, document) //nolint:wrapcheck // it has one step
}

// byTicket says whether buyers come to an app through a page of WeChat's, and so
// by a ticket.
func byTicket(kind merchant.AppKind) bool {
	return kind == merchant.KindOfficialAccount || kind == merchant.KindWebsite
}

// operatorOnly logs what concerns nobody who logs in, and goes on.
func (s *Service) operatorOnly(ctx context.Context, app App, what string, err error) {
	s.Log.WarnContext(ctx, what, "mchid", app.MchID, "appid", app.ID, "error", err)
}
