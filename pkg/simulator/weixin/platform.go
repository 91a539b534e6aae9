package weixin

import (
	"crypto/rand"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options of a Platform. Only Apps is needed for the API.
type Options struct {
	Apps []App
	// ShopURL is what the page "inside WeChat" opens unless told otherwise.
	ShopURL string
	// FrontURL is where fenflow's front door is: messages without an address go there.
	FrontURL string
	// Cashier is the pay side. Nil: nobody can pay.
	Cashier Cashier
	Now     func() time.Time
	Rand    io.Reader
	Logger  *slog.Logger
	// Speed divides the five seconds between attempts to deliver a message.
	Speed float64
	// HTTPClient delivers messages. Nil: a client of the platform's own.
	HTTPClient *http.Client
	// QR draws a text as an SVG; the label is for readers of the page.
	QR func(text, label string) (template.HTML, error)
}

// Platform is WeChat for a handful of appids and made-up people.
type Platform struct {
	apps     []App
	shopURL  string
	frontURL string
	cashier  Cashier
	now      func() time.Time
	random   random
	log      *slog.Logger
	speed    float64
	client   *http.Client
	qr       func(text, label string) (template.HTML, error)
	pages    *template.Template

	mu      sync.Mutex
	people  []Person
	openids map[string]identity
	codes   map[string]*code
	next    nextCode
	grants  map[string]*grant // by access_token
	renews  map[string]*grant // by refresh_token
	tokens  map[string]*token
	chains  map[chainName]*chain
	tickets map[string][]*ticket // by appid; the last is current
	menus   map[string]any
	faults  []*Fault
	calls   map[string]map[string]int
}

// New builds a platform with its first people.
func New(o Options) (*Platform, error) {
	pages, err := parsePages()
	if err != nil {
		return nil, err
	}
	p := &Platform{
		apps: slices.Clone(o.Apps), shopURL: o.ShopURL, frontURL: o.FrontURL, cashier: o.Cashier, now: o.Now, random: random{o.Rand}, log: o.Logger,
		speed: o.Speed, client: o.HTTPClient, qr: o.QR, pages: pages,
		openids: map[string]identity{}, codes: map[string]*code{}, grants: map[string]*grant{}, renews: map[string]*grant{},
		tokens: map[string]*token{}, chains: map[chainName]*chain{}, tickets: map[string][]*ticket{}, menus: map[string]any{},
		calls: map[string]map[string]int{},
	}
	p.setDefaults()
	for _, who := range everybody() {
		p.meet(who)
	}
	return p, nil
}

func (p *Platform) setDefaults() {
	if p.now == nil {
		p.now = time.Now
	}
	if p.random.source == nil {
		p.random.source = rand.Reader
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.speed == 0 {
		p.speed = 1
	}
	if p.client == nil {
		p.client = &http.Client{}
	}
	if p.qr == nil {
		p.qr = func(text, _ string) (template.HTML, error) {
			return template.HTML(template.HTMLEscapeString(text)), nil
		}
	}
}

// app finds an appid.
func (p *Platform) app(appid string) (App, bool) {
	i := slices.IndexFunc(p.apps, func(a App) bool { return a.Appid == appid })
	if i < 0 {
		return App{}, false
	}
	return p.apps[i], true
}

// firstOf finds the appid of a kind.
func (p *Platform) firstOf(kind Kind) App {
	for _, a := range p.apps {
		if a.Kind == kind {
			return a
		}
	}
	return App{}
}
