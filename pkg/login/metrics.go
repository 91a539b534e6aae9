package login

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechat"
)

func newMetrics(registry prometheus.Registerer) *prometheus.CounterVec {
	return promauto.With(registry).NewCounterVec(prometheus.CounterOpts{
		Name: "fenflow_logins_total", Help: "Steps of logins by step, kind of app and outcome: ok, or the code of the refusal.",
	}, []string{"step", "kind", "outcome"})
}

// The steps of a login.
const (
	stepAuthorize = "authorize"
	stepLogin     = "login"
	stepProfile   = "profile"
)

// done is how one step went.
type done struct {
	step    string
	began   time.Time
	app     App
	account pay.AccountID
}

// tell writes the one wide line of a step. It names the account and no openid. An
// error of WeChat's or the database's is for the operator: it goes no further.
func (s *Service) tell(ctx context.Context, d done, err error) {
	outcome, level := "ok", slog.LevelInfo
	args := []any{"step", d.step, "mchid", d.app.MchID, "appid", d.app.ID, "kind", d.app.Kind, "account_id", d.account, "milliseconds", s.Now().Sub(d.began).Milliseconds()}
	if err != nil {
		outcome, level = problem.EntryOf(err).Code, levelOf(err)
		args = append(args, "error", err)
	}
	kind := d.app.Kind
	if kind == "" {
		kind = merchant.AppKind("unknown")
	}
	s.logins.WithLabelValues(d.step, string(kind), outcome).Inc()
	s.Log.Log(ctx, level, "a buyer's login", append(args, "outcome", outcome)...)
}

// levelOf: what only an operator can mend is an error, what passes a warning, and
// what buyers do is none.
func levelOf(err error) slog.Level {
	var p *problem.Error
	switch {
	case !errors.As(err, &p), p.Kind == problem.AppNotReady, p.Kind == problem.AppRefused, p.Kind == problem.Internal:
		return slog.LevelError
	case p.Kind == problem.WeChatUnavailable, p.Kind == problem.DatabaseUnavailable, wechat.ClassOf(err) == wechat.ClassTooOften:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
