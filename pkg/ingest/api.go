package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Commands hands a command to a worker and waits for its result. The error is
// nil once the command is on disk; replied says whether the result came within
// the wait. An error means that its fate is unknown: the shop repeats it.
type Commands interface {
	SubmitCommand(ctx context.Context, c pay.Command, wait time.Duration) (result pay.CommandResult, replied bool, err error)
}

// APIConfig is what an APIHandler works with.
type APIConfig struct {
	Merchants Merchants
	Gate      *Gate
	Commands  Commands
	Worker    Requester
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
	r.Use(recoverer(c.Metrics, c.Logger, func(w http.ResponseWriter) { writeProblem(w, problem.New(problem.Internal, ""), "") }), routeAnyMethod)
	r.NotFound(h.handle("none", func(http.ResponseWriter, *http.Request) error {
		return problem.New(problem.NotFound, "there is nothing at this address")
	}))
	r.MethodNotAllowed(h.handle("none", func(http.ResponseWriter, *http.Request) error { return problem.New(problem.MethodNotAllowed, "") }))
	h.route(r, "/v1/orders", http.MethodPost, h.createOrder)
	h.route(r, "/v1/orders/{out_trade_no}", http.MethodGet, h.readOrder)
	h.route(r, "/v1/orders/{out_trade_no}/check", http.MethodPost, h.checkOrder)
	h.route(r, "/v1/orders/{out_trade_no}/close", http.MethodPost, h.closeOrder)
	h.route(r, "/v1/orders/{out_trade_no}/history", http.MethodGet, h.readHistory)
	h.route(r, "/v1/refunds", http.MethodPost, h.createRefund)
	h.route(r, "/v1/refunds/{out_refund_no}", http.MethodGet, h.readRefund)
	h.route(r, "/v1/refunds/{out_refund_no}/abnormal", http.MethodPost, h.driveOn)
	h.route(r, "/v1/commands/{command_id}", http.MethodGet, h.readCommand)
	h.router = r
	return h
}

// routeAnyMethod lets methods that chi does not know reach the address that they
// name: it refuses them itself, and says what is allowed there.
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
		note(w, slog.String("mchid", string(m.MchID)), slog.String("api_key", keyName))
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
		recorded := &recorder{ResponseWriter: w, status: http.StatusOK}
		err := next(recorded, r)
		if err != nil {
			writeProblem(recorded, err, r.URL.EscapedPath())
		}
		took := h.Now().Sub(began)
		h.Metrics.requested(route, recorded.status, took)
		h.log(r, route, recorded, took, err)
	}
}

func (h *APIHandler) log(r *http.Request, route string, answer *recorder, took time.Duration, err error) {
	level := slog.LevelInfo
	if answer.status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	line := append([]slog.Attr{
		slog.String("route", route), slog.String("method", clip(r.Method, 16)), slog.Int("status", answer.status),
		slog.Duration("took", took), slog.String("remote", r.RemoteAddr),
	}, answer.notes...)
	if err != nil {
		line = append(line, slog.String("error", err.Error()))
	}
	h.Logger.LogAttrs(r.Context(), level, "api", line...)
}

// recorder remembers the status for log and metrics, and what a handler notes
// for the line about its request.
type recorder struct {
	http.ResponseWriter

	status int
	notes  []slog.Attr
}

// note adds to the one line that is written about a request.
func note(w http.ResponseWriter, attrs ...slog.Attr) {
	if r, ok := w.(*recorder); ok {
		r.notes = append(r.notes, attrs...)
	}
}

// WriteHeader notes the status on its way.
func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController and MaxBytesReader through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// retryAfter is what a shop is asked to wait before it repeats what could not
// be done now: long enough for a restart of a part.
const retryAfter = "2"

func writeProblem(w http.ResponseWriter, err error, instance string) {
	document := problem.DocumentOf(err, instance)
	switch document.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="fenflow"`)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	}
	raw, failed := json.Marshal(document)
	if failed != nil { // strings and numbers always marshal; the status decides all the same
		raw = []byte(`{}`)
	}
	writeBody(w, document.Status, problem.ContentType, raw)
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a shop that went away asks again
}

// retryPending is when a shop may look again for what is under way.
const retryPending = "1"

// writeResult passes on a worker's answer: what was asked for, or a problem.
func writeResult(w http.ResponseWriter, status int, body []byte) error {
	if status < http.StatusOK || status > 599 || !json.Valid(body) {
		return problem.Wrap(problem.Internal, fmt.Errorf("a worker answered with status %d and %d bytes of no JSON", status, len(body)), "")
	}
	contentType := "application/json"
	if status >= http.StatusBadRequest {
		contentType = problem.ContentType
	}
	switch status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	case http.StatusAccepted:
		w.Header().Set("Retry-After", retryPending)
	}
	writeBody(w, status, contentType, body)
	return nil
}
