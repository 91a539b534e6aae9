package jsconfig

import (
	"context"
	"encoding/json"
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

// Tickets gives an app's jsapi_ticket; wechat.Authority has it.
type Tickets interface {
	Ticket(ctx context.Context, app wechat.App) (merchant.Secret, error)
}

// Options are what a Service works with.
type Options struct {
	Apps    Apps
	Tickets Tickets
	Now     func() time.Time
	Nonce   func() string
	Log     *slog.Logger
}

// Service signs for pages.
type Service struct{ Options }

// New makes a Service.
func New(o Options) *Service { return &Service{o} }

// answerWithin: a page waits; the edge gives up after 8 s.
const answerWithin = 7 * time.Second

// Answer answers {"appid","url"} with what the page at url calls wx.config with.
func (s *Service) Answer(ctx context.Context, raw []byte) ([]byte, error) {
	var q struct {
		AppID pay.AppID `json:"appid"`
		URL   string    `json:"url"`
	}
	if err := json.Unmarshal(raw, &q); err != nil {
		return problem.WriteRefusal(problem.Wrap(problem.Malformed, err, "")) //nolint:wrapcheck // it says what failed
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	signed, err := s.sign(ctx, q.AppID, q.URL)
	if err != nil {
		s.Log.WarnContext(ctx, "wx.config", "appid", q.AppID, "error", err)
		return problem.WriteRefusal(err) //nolint:wrapcheck // it says what failed
	}
	return problem.WriteAnswer(http.StatusOK, signed) //nolint:wrapcheck // it says what failed
}

// wire is what a page is told, in the JS-SDK's own spelling.
type wire struct {
	AppID     pay.AppID `json:"appId"`
	Timestamp int64     `json:"timestamp"`
	NonceStr  string    `json:"nonceStr"`
	Signature string    `json:"signature"`
}

func (s *Service) sign(ctx context.Context, id pay.AppID, page string) (wire, error) {
	_, app, secrets, found := s.Apps.AppSecrets(id)
	switch {
	case !found:
		return wire{}, problem.Newf(problem.UnknownApp, "no app %s is configured, or several merchants have it", id)
	case secrets.Secret == "":
		return wire{}, problem.Newf(problem.AppNotReady, "app %s has no secret_file", id)
	}
	if err := app.MayConfigure(page); err != nil {
		return wire{}, problem.New(problem.PageRefused, "the page is refused: "+err.Error())
	}
	ticket, err := s.Tickets.Ticket(ctx, wechat.App{ID: id, Secret: secrets.Secret})
	if err != nil {
		return wire{}, wechat.Problem(err) //nolint:wrapcheck // it says what failed
	}
	return wire(wechat.JSConfig(id, ticket, page, s.Now(), s.Nonce())), nil
}
