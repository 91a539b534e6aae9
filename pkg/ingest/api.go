package ingest

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/session"
)

// Commands hands a command to a worker and waits for its result. The error is
// nil once the command is on disk; replied says whether the result came within
// the wait. An error means that its fate is unknown: the shop repeats it.
type Commands interface {
	SubmitCommand(ctx context.Context, c pay.Command, wait time.Duration) (result pay.CommandResult, replied bool, err error)
}

// Sessions says whose session a token is.
type Sessions interface {
	Verify(token string) (session.Claims, error)
}

// APIConfig is what an APIHandler works with.
type APIConfig struct {
	Merchants Merchants
	Gate      *Gate
	Commands  Commands
	Worker    Requester
	Sessions  Sessions
	Metrics   *Metrics
	Logger    *slog.Logger
	Now       func() time.Time
}

// APIHandler is the private listener: it takes the requests of shops.
type APIHandler struct {
	APIConfig

	router http.Handler
}

// NewAPI makes the private listener's handler.
func NewAPI(c APIConfig) *APIHandler {
	h := &APIHandler{APIConfig: c}
	r := chi.NewRouter()
	r.Use(httpedge.Recoverer(c.Metrics.panicked, c.Logger, func(w http.ResponseWriter) { httpedge.WriteProblem(w, problem.New(problem.Internal, ""), "") }), httpedge.AnyMethod)
	r.NotFound(h.handle("none", func(http.ResponseWriter, *http.Request) error {
		return problem.New(problem.NotFound, "there is nothing at this address")
	}))
	r.MethodNotAllowed(h.handle("none", func(http.ResponseWriter, *http.Request) error { return problem.New(problem.MethodNotAllowed, "") }))
	h.route(r, "/v1/orders", http.MethodPost, h.createOrder)
	h.route(r, "/v1/orders/{out_trade_no}", http.MethodGet, h.readOrder)
	h.route(r, "/v1/orders/{out_trade_no}/check", http.MethodPost, h.checkOrder)
	h.route(r, "/v1/orders/{out_trade_no}/close", http.MethodPost, h.closeOrder)
	h.route(r, "/v1/orders/{out_trade_no}/history", http.MethodGet, h.readHistory)
	h.route(r, "/v1/orders/{out_trade_no}/qr.svg", http.MethodGet, h.readSVG)
	h.route(r, "/v1/orders/{out_trade_no}/qr.png", http.MethodGet, h.readPNG)
	h.route(r, "/v1/refunds", http.MethodPost, h.createRefund)
	h.route(r, "/v1/refunds/{out_refund_no}", http.MethodGet, h.readRefund)
	h.route(r, "/v1/refunds/{out_refund_no}/abnormal", http.MethodPost, h.driveOn)
	h.route(r, "/v1/commands/{command_id}", http.MethodGet, h.readCommand)
	h.route(r, "/v1/sessions/introspect", http.MethodPost, h.introspect)
	h.route(r, "/v1/accounts/{account_id}", http.MethodGet, h.readAccount)
	h.route(r, "/v1/accounts/{account_id}/refresh", http.MethodPost, h.refreshAccount)
	h.router = r
	return h
}

// ServeHTTP answers one request of a shop.
func (h *APIHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.router.ServeHTTP(w, r) }

// shop is whose request it is: the merchant of an API key, and the key's name.
type shop struct {
	merchant.Merchant

	key string
}

// authorized is a handler that knows whose request it answers.
type authorized func(w http.ResponseWriter, r *http.Request, from shop) error

// route takes one method at a path and refuses all others by name.
func (h *APIHandler) route(r chi.Router, path, method string, next authorized) {
	r.HandleFunc(path, h.handle(path, func(w http.ResponseWriter, r *http.Request) error {
		m, keyName, err := h.authorize(r)
		if err != nil {
			return err
		}
		httpedge.Note(w, slog.String("mchid", string(m.MchID)), slog.String("api_key", keyName))
		if r.Method != method {
			w.Header().Set("Allow", method)
			return problem.Newf(problem.MethodNotAllowed, "use %s", method)
		}
		if err := h.Gate.Open(); err != nil {
			return problem.Wrap(problem.NotDurable, nil, err.Error())
		}
		return next(w, r, shop{m, keyName})
	}))
}

// handle answers errors as problems and writes one line for each request.
func (h *APIHandler) handle(route string, next func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := h.Now()
		w.Header().Set("Cache-Control", "no-store") // answers are of one moment and one key
		recorded := httpedge.Record(w)
		err := next(recorded, r)
		if err != nil {
			httpedge.WriteProblem(recorded, err, r.URL.EscapedPath())
		}
		took := h.Now().Sub(began)
		h.Metrics.requested(route, recorded.Status, took)
		recorded.Tell(h.Logger, "api", r, route, took, err)
	}
}
