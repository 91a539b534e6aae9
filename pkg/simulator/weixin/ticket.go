package weixin

import (
	"crypto/sha1" // what the JS-SDK signs with
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ticketLife of a jsapi_ticket (JS-SDK document, appendix 1).
const ticketLife = 2 * time.Hour

// ticket is one jsapi_ticket; older ones stay good until their end.
type ticket struct {
	text  string
	until time.Time
}

func (p *Platform) getTicket(c *call) (any, error) {
	app, refused := p.holder(c)
	if refused != nil {
		return nil, refused
	}
	if c.URL.Query().Get("type") != "jsapi" {
		return nil, refuse(invalidParameter).because("type must be jsapi")
	}
	if app.Kind != KindOfficialAccount {
		return nil, refuse(unauthorized).because("only official accounts have a jsapi_ticket")
	}
	text, err := p.random.text(86, alphanumeric+"-_")
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tickets[app.Appid] = append(p.tickets[app.Appid], &ticket{text, p.now().Add(ticketLife)})
	return map[string]any{"errcode": 0, "errmsg": "ok", "ticket": text, "expires_in": seconds(ticketLife)}, nil
}

// jsconfig is what wx.config asks the phone to check: whether this page may speak
// to WeChat.
func (p *Platform) jsconfig(w http.ResponseWriter, r *http.Request) {
	allowOrigin(w, r)
	q := r.URL.Query()
	app, known := p.app(q.Get("appid"))
	page, err := url.Parse(q.Get("url"))
	message := "config:ok"
	switch {
	case !known || app.Kind != KindOfficialAccount:
		message = "config:fail, invalid appid"
	case err != nil || !slices.Contains(app.JSDomains, page.Hostname()):
		message = "config:invalid url domain"
	case !p.configured(app, q):
		message = "config:invalid signature"
	}
	if message != "config:ok" {
		p.log.Warn("wx.config refused", "appid", q.Get("appid"), "url", q.Get("url"), "errMsg", message,
			"expected_string_to_sign", configText("<the current jsapi_ticket>", q))
	}
	writeJSON(w, http.StatusOK, map[string]string{"errMsg": message})
}

// configured holds a signature against each ticket that is still good.
func (p *Platform) configured(app App, q url.Values) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.tickets[app.Appid], func(t *ticket) bool {
		return p.now().Before(t.until) && sha1Hex(configText(t.text, q)) == q.Get("signature")
	})
}

func configText(ticket string, q url.Values) string {
	page, _, _ := strings.Cut(q.Get("url"), "#")
	return "jsapi_ticket=" + ticket + "&noncestr=" + q.Get("nonceStr") + "&timestamp=" + q.Get("timestamp") + "&url=" + page
}

func sha1Hex(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}
