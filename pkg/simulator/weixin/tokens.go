package weixin

import (
	"encoding/json"
	"net/http"
	"time"
)

// The rules of an app's own access_token (WeChat's documents on token and
// stable_token).
const (
	tokenLife    = 2 * time.Hour
	tokenOverlap = 5 * time.Minute
	forcedApart  = 30 * time.Second
	forcedADay   = 20
	tokenLength  = 136
)

// token is one access_token that was given out.
type token struct {
	text, appid string
	until       time.Time
	broken      int // an error code of a control; 0: none
}

// chainName: the tokens of token and of stable_token do not touch each other.
type chainName struct {
	appid  string
	stable bool
}

// chain are the tokens of one app from one path.
type chain struct {
	current  *token
	forcedAt time.Time
	forcedOn string // the day in Beijing of the count
	forced   int
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
}

// plainToken gives a new token each time; the one before lives five minutes more.
func (p *Platform) plainToken(c *call) (any, error) {
	q := c.URL.Query()
	if q.Get("grant_type") != "client_credential" {
		return nil, refuse(invalidGrantType)
	}
	app, refused := p.authorized(q.Get("appid"), q.Get("secret"))
	if refused != nil {
		return nil, refused
	}
	fresh, err := p.drawToken(app.Appid)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	chain := p.chain(app.Appid, false)
	if old := chain.current; old != nil {
		old.until = earlier(old.until, p.now().Add(tokenOverlap))
	}
	return p.give(chain, fresh), nil
}

// stableToken gives the same token until five minutes before its end, unless forced.
func (p *Platform) stableToken(c *call) (any, error) {
	var ask struct {
		GrantType    string `json:"grant_type"`
		Appid        string `json:"appid"`
		Secret       string `json:"secret"`
		ForceRefresh bool   `json:"force_refresh"`
	}
	if err := json.Unmarshal(c.body, &ask); err != nil {
		return nil, refuse(badFormat).because("the body must be JSON: %v", err)
	}
	if ask.GrantType != "client_credential" {
		return nil, refuse(invalidGrantType)
	}
	app, refused := p.authorized(ask.Appid, ask.Secret)
	if refused != nil {
		return nil, refused
	}
	fresh, err := p.drawToken(app.Appid)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	chain := p.chain(app.Appid, true)
	if ask.ForceRefresh {
		if refused := chain.mayForce(p.now()); refused != nil {
			return nil, refused
		}
		if chain.current != nil {
			chain.current.until, chain.current.broken = p.now(), invalidCredential
		}
		return p.give(chain, fresh), nil
	}
	if old := chain.current; old != nil && old.broken == 0 && old.until.Sub(p.now()) > tokenOverlap {
		return tokenAnswer{old.text, seconds(old.until.Sub(p.now()))}, nil
	}
	return p.give(chain, fresh), nil
}

// mayForce counts forced refreshes: 20 a day, 30 s apart.
func (c *chain) mayForce(now time.Time) *failure {
	day := now.UTC().Add(8 * time.Hour).Format(time.DateOnly)
	if c.forcedOn != day {
		c.forcedOn, c.forced = day, 0
	}
	switch {
	case c.forced >= forcedADay:
		return refuse(dailyQuota).because("force_refresh may be used 20 times a day")
	case now.Sub(c.forcedAt) < forcedApart:
		return refuse(minuteQuota).because("force_refresh wants 30 s between two uses")
	}
	c.forced, c.forcedAt = c.forced+1, now
	return nil
}

// chain finds the tokens of an app. The lock must be held.
func (p *Platform) chain(appid string, stable bool) *chain {
	name := chainName{appid, stable}
	if p.chains[name] == nil {
		p.chains[name] = &chain{}
	}
	return p.chains[name]
}

// give makes a token the current one. The lock must be held.
func (p *Platform) give(c *chain, fresh *token) tokenAnswer {
	c.current, p.tokens[fresh.text] = fresh, fresh
	return tokenAnswer{fresh.text, seconds(tokenLife)}
}

func (p *Platform) drawToken(appid string) (*token, error) {
	text, err := p.random.text(tokenLength, alphanumeric+"-_")
	return &token{text: text, appid: appid, until: p.now().Add(tokenLife)}, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// holder finds the app of the access_token in the query.
func (p *Platform) holder(c *call) (App, *failure) {
	text := c.URL.Query().Get("access_token")
	p.mu.Lock()
	defer p.mu.Unlock()
	t, known := p.tokens[text]
	switch {
	case text == "":
		return App{}, refuse(missingToken)
	case len(text) != tokenLength:
		return App{}, refuse(invalidToken).because("this was never an access_token")
	case !known:
		return App{}, refuse(invalidCredential)
	case t.broken != 0:
		return App{}, refuse(t.broken)
	case p.now().After(t.until):
		return App{}, refuse(tokenExpired)
	}
	app, _ := p.app(t.appid) // a token's app is known
	return app, nil
}

// controlExpire ends tokens early.
func (p *Platform) controlExpire(w http.ResponseWriter, r *http.Request) {
	ask := struct {
		Appid string `json:"appid"` // empty: all
		Kind  string `json:"kind"`  // access_token, ticket, oauth or refresh; empty: access_token
		As    int    `json:"as"`    // what an access_token is refused with
	}{As: tokenExpired, Kind: "access_token"}
	if !decode(w, r, &ask) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ended, now := 0, p.now().Add(-time.Second)
	mine := func(appid string) bool { return ask.Appid == "" || ask.Appid == appid }
	switch ask.Kind {
	case "access_token":
		for _, t := range p.tokens {
			if mine(t.appid) && t.broken == 0 {
				t.until, t.broken, ended = now, ask.As, ended+1
			}
		}
	case "ticket":
		for appid := range p.tickets {
			if mine(appid) {
				ended += len(p.tickets[appid])
				delete(p.tickets, appid)
			}
		}
	default:
		for _, g := range p.renews {
			if mine(g.appid) {
				g.until, ended = now, ended+1
				if ask.Kind == "refresh" {
					g.refreshUntil = now
				}
			}
		}
	}
	writeJSON(w, http.StatusOK, map[string]int{"expired": ended})
}
