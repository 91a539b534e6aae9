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
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/message"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/session"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/wechat"
)

// serviceName is what the broker's tools show the worker's side of the front door as.
const serviceName = "fenflow-wechat"

// front is the worker's side of the front door: all that takes an app's secret or
// the key of sessions.
type front struct {
	authority *wechat.Authority
	login     *login.Service
	pages     *jsconfig.Service
	messages  *message.Service
	menus     *menu.Service
}

// newFront wires it; nil where no key of sessions is configured.
func newFront(env boot.Env, p parts, known *merchants, key ed25519.PrivateKey) (*front, error) {
	if key == nil {
		return nil, nil //nolint:nilnil // there is none, which is no fault
	}
	client, err := wechat.New(wechat.Options{BaseURL: env.Config.WeChat.BaseURL, HTTPClient: &http.Client{Transport: http.DefaultTransport}, Now: time.Now, Logger: env.Logger})
	if err != nil {
		return nil, fmt.Errorf("make the client of WeChat: %w", err)
	}
	sealer, err := wechat.NewSealer(key)
	if err != nil {
		return nil, fmt.Errorf("make the sealer: %w", err)
	}
	f := &front{}
	f.authority, err = wechat.NewAuthority(wechat.AuthorityOptions{
		Client: client, Shelf: p.commands, Sealer: sealer, Holder: env.ConnectionName("worker") + " " + rand.Text(), Now: time.Now, Logger: env.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("make the authority: %w", err)
	}
	apps := apps{known}
	f.login = login.New(login.Options{
		Apps: loginApps{apps}, WeChat: client, Authority: f.authority, Books: p.commands, Sealer: sealer,
		Signer: session.NewSigner(key, env.Config.Front.SessionLifetime, time.Now), Retryable: store.Retryable,
		Now: time.Now, Random: rand.Text, Registry: env.Registry, Log: env.Logger,
	})
	f.pages = jsconfig.New(jsconfig.Options{Apps: apps, Tickets: f.authority, Now: time.Now, Nonce: rand.Text, Log: env.Logger})
	f.messages = message.New(message.Options{Apps: apps, Bus: p.bus, Memory: p.commands, Now: time.Now, Random: rand.Reader, Log: env.Logger, Registry: env.Registry})
	f.menus = menu.New(menu.Options{Apps: apps, WeChat: client, Tokens: f.authority, Audit: p.commands, Retryable: store.Retryable, Log: env.Logger})
	return f, nil
}

// serveFront answers the edge, and operators about menus. Nothing of it begins
// before the books are known to be whole: a login writes into them.
func (w *worker) serveFront(ctx context.Context) error {
	if w.front == nil {
		return nil
	}
	defer w.front.authority.Close()
	return w.parts.bus.ServeService(ctx, bus.ServiceConfig{
		Name: serviceName, Version: w.env.Build.Version, Description: "The front door of fenflow: logins, pages, server messages, and what buyers pay with.",
	}, map[string]bus.Handler{
		bus.RequestWeChatAuthorize: w.front.login.Authorize,
		bus.RequestWeChatLogin:     w.front.login.Login,
		bus.RequestWeChatJSConfig:  w.front.pages.Answer,
		bus.RequestWeChatMessage:   w.front.messages.Answer,
		bus.RequestWeChatOrder:     w.commands.WeChatOrder,
		bus.RequestWeChatCheck:     w.commands.WeChatCheck,
		bus.RequestWeChatPay:       w.commands.WeChatPay,
	})
}

// answerFront serves what shops and operators ask about buyers and menus.
func (w *worker) answerFront(begin func(string, func(context.Context) error)) {
	if w.front == nil {
		return
	}
	begin("front door", w.afterProof(w.serveFront))
	begin("answer reads of accounts", w.afterProof(w.serve(bus.RequestReadAccount, w.front.login.ReadAccount)))
	begin("answer refreshed profiles", w.afterProof(w.serve(bus.RequestActProfile, w.front.login.RefreshProfile)))
	begin("answer operators about menus", w.afterProof(w.serve(bus.RequestOperateMenu, w.front.menus.Answer)))
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

// apps finds apps among the merchants as they are configured now.
type apps struct{ merchants *merchants }

// App finds an app that belongs to one merchant.
func (a apps) App(id pay.AppID) (pay.MchID, merchant.App, merchant.AppSecrets, bool) {
	directory := a.merchants.watcher.Current().Directory
	m, app, found := directory.ByAppID(id)
	if !found {
		return "", merchant.App{}, merchant.AppSecrets{}, false
	}
	credentials, known := a.merchants.Credentials(m.MchID)
	if !known {
		return "", merchant.App{}, merchant.AppSecrets{}, false
	}
	return m.MchID, app, credentials.Apps[id], true
}

// loginApps is the same, as package login reads it.
type loginApps struct{ apps }

// App finds an app with its secret.
func (a loginApps) App(id pay.AppID) (login.App, bool) {
	mchid, app, secrets, found := a.apps.App(id)
	return login.App{ID: id, MchID: mchid, Kind: app.Kind, Secret: secrets.Secret}, found
}
