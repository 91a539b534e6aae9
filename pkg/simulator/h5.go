package simulator

import (
	"net/http"
	"net/url"
	"time"
)

// h5Life is how long an h5_url leads anywhere (WeChat Pay doc 4012791834),
// whatever Speed: whoever holds one counts the minutes by the clock on the wall.
const h5Life = 5 * time.Minute

// h5Path is the real one, so that an h5_url looks as integrators know it.
const h5Path = "/cgi-bin/mmpayweb-bin/checkmweb"

// h5Link is one h5_url that was handed out.
type h5Link struct {
	outTradeNo string
	madeAt     time.Time
}

// h5Rule is scene_info.h5_info of the H5 prepay.
func h5Rule() rule {
	return rule{name: "h5_info", kind: object, must: true, inner: []rule{
		{name: "type", kind: text, must: true, min: 1, max: 32, issue: oneOf("Wap", "iOS", "Android")},
		{name: "app_name", kind: text, max: 64},
		{name: "app_url", kind: text, max: 128},
		{name: "bundle_id", kind: text, max: 128},
		{name: "package_name", kind: text, max: 128},
	}}
}

// h5URL leads to the order's page here, under the address that the merchant's system
// dialled: what it can reach, its tester's browser can, too.
func (s *Simulator) h5URL(r *http.Request) (string, error) {
	id, err := s.random.prepayID(s.now())
	if err != nil {
		return "", err
	}
	page, err := s.random.text(10, decimal)
	u := url.URL{Scheme: "http", Host: r.Host, Path: h5Path, RawQuery: url.Values{"prepay_id": {id}, "package": {page}}.Encode()}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	return u.String(), err
}

// noteH5 remembers where an h5_url leads. The lock must be held.
func (b *books) noteH5(o *Order) {
	if o.TradeType != tradeH5 {
		return
	}
	if u, err := url.Parse(o.Credential); err == nil {
		b.h5[u.Query().Get("prepay_id")] = h5Link{o.OutTradeNo, o.CredentialAt}
	}
}

func (b *books) h5Link(prepayID string) (h5Link, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	link, known := b.h5[prepayID]
	return link, known
}

// pageH5 is where an h5_url leads: on to the order's page, for five minutes.
func (s *Simulator) pageH5(w http.ResponseWriter, r *http.Request) {
	link, known := s.books.h5Link(r.URL.Query().Get("prepay_id"))
	switch {
	case !known:
		http.Error(w, "This h5_url was not made here. Ask for a fresh one: call POST /v3/pay/transactions/h5 with the same parameters.", http.StatusNotFound)
	case s.now().Sub(link.madeAt) > h5Life:
		http.Error(w, "This h5_url is older than five minutes. Ask for a fresh one: call POST /v3/pay/transactions/h5 with the same parameters.", http.StatusGone)
	default:
		http.Redirect(w, r, orderPath(link.outTradeNo)+backQuery(backOf(r)), http.StatusSeeOther)
	}
}

// backOf is redirect_url: where the buyer goes after the cashier, paid or not.
func backOf(r *http.Request) string {
	back := r.URL.Query().Get("redirect_url")
	if u, err := url.Parse(back); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return back
}

func backQuery(back string) string {
	if back == "" {
		return ""
	}
	return "?redirect_url=" + url.QueryEscape(back)
}
