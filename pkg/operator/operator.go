package operator

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Books are what operators read and act on.
type Books interface {
	Overviews
	Presences
	Orders
	Stories
	Accounts
	Letters
	Replayables
	Archive
	Anomalies
	Audits
	Subscribers
	Refunds
}

// Options are what an API works with.
type Options struct {
	Books     Books
	Worker    Worker   // nil: no NATS is configured, and what takes a worker is refused
	Commands  Commands // nil as Worker
	Tokens    Tokens
	Merchants []pay.MchID      // configured; the status names them before their notifications were judged
	Retryable func(error) bool // whether a call of the books that failed may work later
	// Quarantine is how long a call of unknown outcome keeps a refund from being taken up.
	Quarantine time.Duration
	Now        func() time.Time
	Log        *slog.Logger
	Registry   prometheus.Registerer
}

// API is the operators' API.
type API struct {
	Options

	lockout *lockout
	trusted *trusted
	pace    *pace
	metrics *metrics
	router  http.Handler
}

// New makes the API.
func New(o Options) *API {
	a := &API{Options: o, lockout: newLockout(o.Now), trusted: newTrusted(o.Now), pace: newPace(o.Now), metrics: newMetrics(o.Registry)}
	r := chi.NewRouter()
	r.Use(a.recoverer, routeAnyMethod)
	r.NotFound(a.handle("none", func(w http.ResponseWriter, r *http.Request) error {
		if _, err := a.authorize(w, r); err != nil { // strangers learn of no address
			return err
		}
		e := problem.New(problem.NotFound, "there is nothing at this address")
		e.NextStep = "Look at the path; schema/openapi.yaml lists all there are."
		return e
	}))
	r.MethodNotAllowed(a.handle("none", func(w http.ResponseWriter, r *http.Request) error {
		if _, err := a.authorize(w, r); err != nil {
			return err
		}
		return problem.New(problem.MethodNotAllowed, "")
	}))
	a.route(r, http.MethodGet, "/operator/v1/status", a.status)
	a.route(r, http.MethodGet, "/operator/v1/orders", a.listOrders)
	a.route(r, http.MethodGet, "/operator/v1/stories/{number}", a.story)
	a.route(r, http.MethodGet, "/operator/v1/accounts/{id}", a.account)
	a.route(r, http.MethodGet, "/operator/v1/dead-letters", a.listLetters)
	a.route(r, http.MethodGet, "/operator/v1/dead-letter-groups", a.groupLetters)
	a.route(r, http.MethodGet, "/operator/v1/dead-letters/{delivery_id}", a.letter)
	a.route(r, http.MethodPost, "/operator/v1/dead-letters/{delivery_id}/discard", a.discardLetter)
	a.route(r, http.MethodPost, "/operator/v1/dead-letters/{delivery_id}/replay", a.replayLetter)
	a.route(r, http.MethodPost, "/operator/v1/dead-letter-replays", a.replayLetters)
	a.route(r, http.MethodGet, "/operator/v1/audit", a.listAudit)
	// The other nouns list their own routes beside their handlers.
	a.routeEvents(r)
	a.routeReplays(r)
	a.routeAnomalies(r)
	a.routeSubscribers(r)
	a.routeMerchants(r)
	a.routeNotifications(r)
	a.routeRejected(r)
	a.routeRefunds(r)
	a.routeOrderActs(r)
	a.routeRecoveries(r)
	a.routeMenus(r)
	a.router = r
	return a
}

// Handler answers operators.
func (a *API) Handler() http.Handler { return a.router }

// call is one request whose bearer is known.
type call struct {
	*http.Request

	token pay.Token
	query *query
}

// actor is how the audit log names the bearer.
func (c *call) actor() string { return "token:" + c.token.Name }

// route takes one method at a path and refuses all others by name.
func (a *API) route(r chi.Router, method, path string, next handler) {
	a.routeMethods(r, path, map[string]handler{method: next})
}

// routeAnyMethod lets methods that the router does not know reach the address that
// they name: it refuses them itself, and says what is allowed there.
func routeAnyMethod(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		default:
			chi.RouteContext(r.Context()).RouteMethod = http.MethodTrace // r.Method stays what it is
		}
		next.ServeHTTP(w, r)
	})
}
