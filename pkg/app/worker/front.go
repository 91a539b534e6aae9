package worker

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/jsconfig"
	"github.com/fenflow/fenflow/pkg/login"
	"github.com/fenflow/fenflow/pkg/menu"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/session"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/telemetry"
	"github.com/fenflow/fenflow/pkg/wechat"
)

// front is the worker's side of the front door: all that takes an app's secret or
// the key of sessions.
type front struct {
	authority *wechat.Authority
	login     *login.Service
	pages     *jsconfig.Service
	menus     *menu.Service
}

// newFront wires it; nil where no key of sessions is configured.
func newFront(env boot.Env, p parts, known *merchants, key ed25519.PrivateKey) (*front, error) {
	if key == nil {
		return nil, nil //nolint:nilnil // there is none, which is no fault
	}
	calls := telemetry.Counter(env.Registry, "wechat_calls", "Calls to WeChat's API (logins, tokens, menus), by API and class of the answer: ok, or of the refusal.", "api", "class")
	client, err := wechat.New(wechat.Options{
		BaseURL: env.Config.WeChat.BaseURL, HTTPClient: &http.Client{Transport: wayToWeChat()}, Now: time.Now, Logger: env.Logger,
		Called: func(api, class string) { calls.WithLabelValues(api, class).Inc() },
	})
	if err != nil {
		return nil, fmt.Errorf("make the client of WeChat: %w", err)
	}
	sealer, err := wechat.NewSealer(key)
	if err != nil {
		return nil, fmt.Errorf("make the sealer: %w", err)
	}
	f := &front{}
	f.authority, err = wechat.NewAuthority(wechat.AuthorityOptions{
		Client: client, Shelf: p.front, Sealer: sealer, Holder: env.ConnectionName("worker") + " " + rand.Text(), Now: time.Now, Logger: env.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("make the authority: %w", err)
	}
	f.login = login.New(login.Options{
		Apps: loginApps{known}, WeChat: client, Authority: f.authority, Books: p.front, Sealer: sealer,
		Signer: session.NewSigner(key, env.Config.Front.SessionLifetime, time.Now), Retryable: store.Retryable,
		Now: time.Now, Random: rand.Text, Registry: env.Registry, Log: env.Logger,
	})
	f.pages = jsconfig.New(jsconfig.Options{Apps: known, Tickets: f.authority, Now: time.Now, Nonce: rand.Text, Log: env.Logger})
	f.menus = menu.New(menu.Options{Apps: known, WeChat: client, Tokens: f.authority, Audit: p.plain, Retryable: store.Retryable, Log: env.Logger})
	return f, nil
}

// wayToWeChat keeps as many connections as logins are answered at the same time:
// the default is two, and each login more would shake hands anew.
func wayToWeChat() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 3 * time.Second}).DialContext, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
	}
}

// What is asked at the front door is answered before the edge gives up (8 s), and
// what shops and operators ask about buyers and menus before they do; so a worker
// that is told to stop (it has 25 s) waits for no call of WeChat's, and for no
// database, in vain.
const (
	frontWithin = 7 * time.Second
	actWithin   = 15 * time.Second
)

// within bounds what a handler may take.
func within(span time.Duration, handle bus.Handler) bus.Handler {
	return func(ctx context.Context, question []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, span)
		defer cancel()
		return handle(ctx, question)
	}
}

// frontDoor is what the edge asks for buyers and for WeChat, as one service of NATS.
func (w *worker) frontDoor() (bus.ServiceConfig, map[string]bus.Handler) {
	handlers := map[string]bus.Handler{bus.RequestWeChatMessage: w.messages.Answer}
	if w.front != nil {
		handlers[bus.RequestWeChatAuthorize] = w.front.login.Authorize
		handlers[bus.RequestWeChatLogin] = w.front.login.Login
		handlers[bus.RequestWeChatJSConfig] = w.front.pages.Answer
		handlers[bus.RequestWeChatOrder] = w.commands.WeChatOrder
		handlers[bus.RequestWeChatCheck] = w.commands.WeChatCheck
		handlers[bus.RequestWeChatPay] = w.commands.WeChatPay
	}
	for subject, handle := range handlers {
		handlers[subject] = within(frontWithin, handle)
	}
	return bus.ServiceConfig{Name: bus.ServiceWeChat, Version: w.env.Build.Version, Description: "Answers fenflow's front door: what takes an app's secrets."}, handlers
}

// answerFront begins once durability is proven: WeChat is told "success" for what is
// on disk. Buyers may log in while books are recovered; their orders wait.
func (w *worker) answerFront(begin func(string, func(context.Context) error)) {
	begin("answer the front door", w.after(func(ctx context.Context) error {
		service, handlers := w.frontDoor()
		return w.parts.bus.ServeService(ctx, service, handlers)
	}, w.proof.proven))
	if w.front == nil {
		return
	}
	begin("tokens of apps", w.front.keepTokens)
	begin("answer reads of accounts", w.after(w.serve(bus.RequestReadAccount, within(actWithin, w.front.login.ReadAccount)), w.proof.proven))
	begin("answer refreshed profiles", w.after(w.serve(bus.RequestActProfile, within(actWithin, w.front.login.RefreshProfile)), w.proof.proven))
	begin("answer operators about menus", w.after(w.serve(bus.RequestOperateMenu, w.front.menus.Answer), w.proof.proven))
}

// keepTokens lets fetches that are under way end when the role does.
func (f *front) keepTokens(ctx context.Context) error {
	<-ctx.Done()
	f.authority.Close()
	return nil
}

// buyers tells whose a session is: with the key that this worker signs with, and
// those of the configuration in force. While the key changes, one worker signs
// with the new one and the next still with the old one, and each takes both.
type buyers struct {
	own     ed25519.PublicKey // nil: no front door is served
	watcher *config.Watcher
}

func newBuyers(key ed25519.PrivateKey, watcher *config.Watcher) buyers {
	b := buyers{watcher: watcher}
	if key != nil {
		b.own, _ = key.Public().(ed25519.PublicKey)
	}
	return b
}

// Verify answers for package command.
func (b buyers) Verify(token string) (pay.Buyer, error) {
	keys := slices.Clone(b.watcher.Current().SessionKeys)
	if b.own != nil {
		keys = append(keys, b.own)
	}
	c, err := session.NewVerifier(keys, time.Now).Verify(token)
	if err != nil {
		return pay.Buyer{}, err //nolint:wrapcheck // it is the reason
	}
	return pay.Buyer{AccountID: c.AccountID, MchID: c.MchID, AppID: c.AppID, OpenID: c.OpenID}, nil
}

// loginApps finds apps as package login reads them.
type loginApps struct{ merchants *merchants }

// App finds an app with its secret.
func (a loginApps) App(id pay.AppID) (login.App, bool) {
	mchid, app, secrets, found := a.merchants.AppSecrets(id)
	return login.App{ID: id, MchID: mchid, Kind: app.Kind, Secret: secrets.Secret}, found
}
