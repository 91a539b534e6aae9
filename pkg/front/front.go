package front

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/session"
)

// Requester asks a worker and returns its answer.
type Requester interface {
	Request(ctx context.Context, subject string, question []byte, timeout time.Duration) ([]byte, error)
}

// Verifier says whose session a token is.
type Verifier interface {
	Verify(token string) (session.Claims, error)
}

// Settings are what the configuration says now.
type Settings struct {
	Directory   *merchant.Directory
	VerifyFiles []string // MP_verify_….txt
}

// Config is what a Handler works with.
type Config struct {
	URL      string // where buyers reach the front door, without a slash at its end
	OpenURL  string // where they are sent to log in
	Current  func() Settings
	Sessions Verifier
	Worker   Requester
	Metrics  *Metrics
	Logger   *slog.Logger
	Now      func() time.Time
	NewState func() string // 20 letters and digits or more that nobody guesses
}

// Handler is the front listener.
type Handler struct {
	Config

	router   http.Handler
	compiled atomic.Pointer[compiled]
	page     *page
	logins   *buckets // by address
	messages *buckets // by address
	buyers   *buckets // by account
}

// New makes the front listener's handler.
func New(c Config) *Handler {
	h := &Handler{
		Config: c, page: newPage(),
		logins:   newBuckets(loginsPerSecond, loginBurst, c.Now),
		messages: newBuckets(messagesPerSecond, messageBurst, c.Now),
		buyers:   newBuckets(requestsPerBuyer, buyerBurst, c.Now),
	}
	r := chi.NewRouter()
	r.Use(httpedge.Recoverer(c.Metrics.panicked, c.Logger, func(w http.ResponseWriter) { httpedge.WriteProblem(w, problem.New(problem.Internal, ""), "") }), httpedge.AnyMethod)
	nothing := h.handle(route{path: "none", next: func(http.ResponseWriter, *http.Request) error {
		return problem.New(problem.NotFound, "there is nothing at this address")
	}})
	r.NotFound(nothing)
	r.MethodNotAllowed(nothing)
	shared := h.crossOrigin()
	for _, one := range h.routes() {
		var handler http.Handler = h.handle(one)
		if one.pages {
			handler = shared(handler)
		}
		r.Handle(one.path, handler)
	}
	h.router = r
	return h
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.router.ServeHTTP(w, r) }

// route is one address.
type route struct {
	path    string
	methods []string // which it takes; empty: all
	pages   bool     // pages of other origins call it, if they are a shop's
	html    bool     // people see its refusals
	pace    *buckets // nil: whoever it is, as often as they like
	next    func(w http.ResponseWriter, r *http.Request) error
}

func (h *Handler) routes() []route {
	read, post := []string{http.MethodGet, http.MethodHead}, []string{http.MethodPost}
	return []route{
		{path: "/wx/oauth/{appid}/start", methods: read, html: true, pace: h.logins, next: h.start},
		// No HEAD: whoever looks ahead must not spend the code.
		{path: "/wx/oauth/{appid}/callback", methods: []string{http.MethodGet}, html: true, pace: h.logins, next: h.callback},
		{path: "/wx/login/{appid}", methods: post, pages: true, pace: h.logins, next: h.login},
		{path: "/wx/jsconfig/{appid}", methods: read, pages: true, pace: h.logins, next: h.jsConfig},
		{path: "/wx/orders/{out_trade_no}", methods: read, pages: true, next: h.readOrder},
		{path: "/wx/orders/{out_trade_no}/check", methods: post, pages: true, next: h.checkOrder},
		{path: "/wx/orders/{out_trade_no}/pay", methods: post, pages: true, next: h.payOrder},
		{path: "/wx/message/{appid}", methods: []string{http.MethodGet, http.MethodPost}, pace: h.messages, next: h.message},
		{path: verifyPath, methods: read, next: h.verifyFile},
	}
}
