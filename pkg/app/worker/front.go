package worker

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/bus"
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
		BaseURL: env.Config.WeChat.BaseURL, HTTPClient: &http.Client{Transport: http.DefaultTransport}, Now: time.Now, Logger: env.Logger,
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
		Client: client, Shelf: p.plain, Sealer: sealer, Holder: env.ConnectionName("worker") + " " + rand.Text(), Now: time.Now, Logger: env.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("make the authority: %w", err)
	}
	f.login = login.New(login.Options{
		Apps: loginApps{known}, WeChat: client, Authority: f.authority, Books: p.plain, Sealer: sealer,
		Signer: session.NewSigner(key, env.Config.Front.SessionLifetime, time.Now), Retryable: store.Retryable,
		Now: time.Now, Random: rand.Text, Registry: env.Registry, Log: env.Logger,
	})
	f.pages = jsconfig.New(jsconfig.Options{Apps: known, Tickets: f.authority, Now: time.Now, Nonce: rand.Text, Log: env.Logger})
	f.menus = menu.New(menu.Options{Apps: known, WeChat: client, Tokens: f.authority, Audit: p.plain, Retryable: store.Retryable, Log: env.Logger})
	return f, nil
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
	return bus.ServiceConfig{Name: bus.ServiceWeChat, Version: w.env.Build.Version, Description: "Answers fenflow's front door: what takes an app's secrets."}, handlers
}

// answerFront begins once durability is proven: WeChat is told "success" for what is
// on disk. Buyers may log in while books are recovered; their orders wait.
func (w *worker) answerFront(begin func(string, func(context.Context) error)) {
	begin("answer the front door", w.after(func(ctx context.Context) error {
		config, handlers := w.frontDoor()
		return w.parts.bus.ServeService(ctx, config, handlers)
	}, w.proof.proven))
	if w.front == nil {
		return
	}
	begin("tokens of apps", w.front.keepTokens)
	begin("answer reads of accounts", w.after(w.serve(bus.RequestReadAccount, w.front.login.ReadAccount), w.proof.proven))
	begin("answer refreshed profiles", w.after(w.serve(bus.RequestActProfile, w.front.login.RefreshProfile), w.proof.proven))
	begin("answer operators about menus", w.after(w.serve(bus.RequestOperateMenu, w.front.menus.Answer), w.proof.proven))
}

// keepTokens lets fetches that are under way end when the role does.
func (f *front) keepTokens(ctx context.Context) error {
	<-ctx.Done()
	f.authority.Close()
	return nil
}

// sessionKeys reads the key that signs, and the halves that sessions are verified
// with: its own, and those of keys before it.
func sessionKeys(env boot.Env) (ed25519.PrivateKey, []ed25519.PublicKey, error) {
	key, err := env.Config.Front.SessionKey()
	if key == nil || err != nil {
		return nil, nil, err //nolint:wrapcheck // it names the file
	}
	verify, err := env.Config.Front.SessionPublicKeys()
	own, is := key.Public().(ed25519.PublicKey)
	if !is {
		return nil, nil, errors.New("the session key has no Ed25519 public half")
	}
	return key, append([]ed25519.PublicKey{own}, verify...), err //nolint:wrapcheck // it names the file
}

// buyers tells whose a session is.
type buyers struct{ verifier *session.Verifier }

// Verify answers for package command.
func (b buyers) Verify(token string) (pay.Buyer, error) {
	c, err := b.verifier.Verify(token)
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
