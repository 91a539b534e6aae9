package login

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/session"
	"github.com/fenflow/fenflow/pkg/wechat"
)

// Codes are what a login begins with.
type Codes interface {
	ExchangeCode(ctx context.Context, app wechat.App, code string) (wechat.OAuthGrant, error)
	CodeToSession(ctx context.Context, app wechat.App, code string) (wechat.MiniSession, error)
}

// Grants ask WeChat about a buyer with what the buyer granted.
type Grants interface {
	CheckGrant(ctx context.Context, accessToken merchant.Secret, openID pay.OpenID) (bool, error)
	RefreshGrant(ctx context.Context, app wechat.App, refreshToken merchant.Secret) (wechat.OAuthGrant, error)
	UserInfo(ctx context.Context, accessToken merchant.Secret, openID pay.OpenID) (wechat.Profile, error)
}

// People are asked about with an app's own token.
type People interface {
	Follower(ctx context.Context, accessToken merchant.Secret, openID pay.OpenID) (wechat.Profile, bool, error)
	PhoneNumber(ctx context.Context, appid pay.AppID, accessToken merchant.Secret, code string) (wechat.Phone, error)
}

// WeChat is all of these; *wechat.Client is one.
type WeChat interface {
	Codes
	Grants
	People
}

// Authority lends an app's own token to a call, and replaces one that WeChat
// does not take any more; *wechat.Authority is one.
type Authority interface {
	Do(ctx context.Context, app wechat.App, call func(token merchant.Secret) error) error
}

// Accounts keep who has logged in.
type Accounts interface {
	Arrive(ctx context.Context, a pay.Arrival) (pay.AccountID, error)
	Account(ctx context.Context, mchid pay.MchID, id pay.AccountID) (pay.Account, bool, error)
	GrantedIdentity(ctx context.Context, mchid pay.MchID, id pay.AccountID, appid pay.AppID) (pay.GrantedIdentity, bool, error)
}

// Tickets keep logins between WeChat's page and the shop's.
type Tickets interface {
	KeepTicket(ctx context.Context, t pay.LoginTicket) error
	SpendTicket(ctx context.Context, sum [32]byte, appid pay.AppID, challenge string, now time.Time) (pay.Buyer, pay.TicketOutcome, error)
}

// Books are both; *store.Store is one.
type Books interface {
	Accounts
	Tickets
}

// Signer makes sessions; *session.Signer is one.
type Signer interface {
	Sign(c session.Claims) (token string, expiresAt time.Time, err error)
}

// Sealer makes grants unreadable to whoever reads the database; *wechat.Sealer is one.
type Sealer interface {
	Seal(appid pay.AppID, kind string, plain []byte) []byte
	Open(appid pay.AppID, kind string, sealed []byte) ([]byte, bool)
}

// App is an app as it is configured now, with its merchant and its AppSecret.
type App struct {
	ID     pay.AppID
	MchID  pay.MchID
	Kind   merchant.AppKind
	Secret merchant.Secret // empty: none is configured
}

// Apps are the apps as they are configured now.
type Apps interface {
	// App finds an app that belongs to one merchant.
	App(id pay.AppID) (App, bool)
}

// Options are what a Service works with.
type Options struct {
	Apps      Apps
	WeChat    WeChat
	Authority Authority
	Books     Books
	Signer    Signer
	Sealer    Sealer
	Retryable func(error) bool // of errors of Books
	Now       func() time.Time
	Random    func() string // 128 random bits or more, as letters and digits
	Registry  prometheus.Registerer
	Log       *slog.Logger
}

// Service logs buyers in.
type Service struct {
	Options

	logins *prometheus.CounterVec
}

// New makes a Service.
func New(o Options) *Service { return &Service{Options: o, logins: newMetrics(o.Registry)} }

func (a App) wechat() wechat.App { return wechat.App{ID: a.ID, Secret: a.Secret} }
