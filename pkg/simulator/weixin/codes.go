package weixin

import (
	"net/http"
	"time"
)

// codeKind says what a code is good for.
type codeKind string

// What people hand out: a login in a browser, in a mini program, in an app, and the
// right to see their phone number.
const (
	codeOAuth codeKind = "oauth"
	codeMini  codeKind = "mini"
	codePhone codeKind = "phone"
	codeApp   codeKind = "app"
)

// Lives of codes: ten minutes from a QR login, five else (WeChat's login documents).
const (
	codeLife   = 5 * time.Minute
	qrCodeLife = 10 * time.Minute
)

// The scopes of logins.
const (
	scopeBase     = "snsapi_base"
	scopeUserinfo = "snsapi_userinfo"
	scopeLogin    = "snsapi_login"
)

// code is a right to ask once about a person.
type code struct {
	text, appid, user, scope string
	kind                     codeKind
	until                    time.Time
	used                     bool
	sessionKey               string // mini programs only
	nextCode
}

// nextCode is what shall be unusual about a code.
type nextCode struct {
	// Snapshot makes the person one of a snapshot page: openid and name are not real.
	Snapshot bool `json:"is_snapshotuser"`
	// NoUnionid leaves the unionid away, as for an appid that no open platform
	// account holds.
	NoUnionid bool `json:"without_unionid"`
}

// issue gives a code out.
func (p *Platform) issue(c code) (*code, error) {
	text, err := p.random.text(32, alphanumeric)
	if err != nil {
		return nil, err
	}
	c.text = "0" + text[1:]
	if c.until.IsZero() {
		c.until = p.now().Add(codeLife)
	}
	if c.kind == codeMini {
		if c.sessionKey, err = p.drawSessionKey(); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next != (nextCode{}) && c.nextCode == (nextCode{}) && c.kind != codePhone {
		c.nextCode, p.next = p.next, nextCode{}
	}
	p.codes[c.text] = &c
	return &c, nil
}

// spend takes a code, once, for the appid that it was made for.
func (p *Platform) spend(text, appid string, kinds ...codeKind) (code, *failure) {
	if text == "" {
		return code{}, refuse(missingCode)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c, known := p.codes[text]
	switch {
	case !known:
		return code{}, refuse(invalidCode).because("no such code was given out")
	case c.appid != appid:
		return code{}, refuse(invalidCode).because("the code belongs to %s", c.appid)
	case !isOne(c.kind, kinds):
		return code{}, refuse(invalidCode).because("the code is for another purpose: %s", c.kind)
	case c.used:
		return code{}, refuse(codeUsed)
	case p.now().After(c.until):
		return code{}, refuse(codeExpired).because("the code was good until %s", c.until.UTC().Format(time.RFC3339))
	}
	c.used = true
	return *c, nil
}

func isOne(kind codeKind, kinds []codeKind) bool {
	for _, k := range kinds {
		if k == kind {
			return true
		}
	}
	return false
}

// controlCodes gives out a code without a phone in anybody's hand.
func (p *Platform) controlCodes(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		nextCode

		Appid     string   `json:"appid"`
		User      string   `json:"user"`
		Kind      codeKind `json:"kind"`
		Scope     string   `json:"scope"`
		Watermark *mark    `json:"watermark"`
	}
	if !decode(w, r, &ask) {
		return
	}
	app, who, err := p.parties(ask.Appid, ask.User)
	if err == nil {
		err = checkCodeKind(app, ask.Kind)
	}
	if err != nil {
		writeProblem(w, http.StatusBadRequest, err)
		return
	}
	if ask.Scope == "" {
		ask.Scope = defaultScope(app.Kind)
	}
	made, err := p.issue(code{appid: app.Appid, user: who.User, kind: ask.Kind, scope: ask.Scope, nextCode: ask.nextCode})
	if err != nil {
		writeProblem(w, http.StatusInternalServerError, err)
		return
	}
	answer := map[string]string{"code": made.text, "openid": OpenidOf(app.Appid, who.User)}
	if ask.Kind == codeMini {
		if err := p.addUserInfo(answer, r, *made, who, ask.Watermark); err != nil {
			writeProblem(w, http.StatusInternalServerError, err)
			return
		}
	}
	writeJSON(w, http.StatusOK, answer)
}

func defaultScope(kind Kind) string {
	if kind == KindWebsite {
		return scopeLogin
	}
	return scopeUserinfo
}

func (p *Platform) controlNext(w http.ResponseWriter, r *http.Request) {
	var next nextCode
	if !decode(w, r, &next) {
		return
	}
	p.mu.Lock()
	p.next = next
	p.mu.Unlock()
	writeJSON(w, http.StatusOK, next)
}
