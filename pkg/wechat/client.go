package wechat

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// callTimeout bounds one call. A buyer waits for most of them, and WeChat's own
// limit for an answer to a message is 5 s.
const callTimeout = 5 * time.Second

// App is an official account, website, app or mini program, with the secret
// that proves to WeChat who calls.
type App struct {
	ID     pay.AppID
	Secret merchant.Secret
}

// Options are what a Client needs.
type Options struct {
	BaseURL    string           // https://api.weixin.qq.com
	HTTPClient *http.Client     // connections; it follows no redirects here
	Now        func() time.Time // for the expiry of what WeChat gives
	Logger     *slog.Logger     // one debug line a call; may be nil
	// Called is told of each call that was made, by its name and the class of its
	// refusal, "ok" where there was none; may be nil.
	Called func(api, class string)
}

// Client calls WeChat for any number of apps.
type Client struct {
	base   *url.URL
	http   *http.Client
	now    func() time.Time
	logger *slog.Logger
	called func(api, class string)
}

// New makes a client. It makes no call.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.BaseURL)
	if err != nil || (base.Scheme != "https" && base.Scheme != "http") || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("base URL %q of WeChat's API must be https://host, without user, query and fragment", o.BaseURL)
	}
	if o.HTTPClient == nil || o.Now == nil {
		return nil, errors.New("a WeChat client needs an HTTP client and a clock")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Called == nil {
		o.Called = func(string, string) {}
	}
	own := *o.HTTPClient
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // a redirect would carry the secret elsewhere
	routeLibrary()
	return &Client{base: base, http: &own, now: o.Now, logger: o.Logger, called: o.Called}, nil
}
