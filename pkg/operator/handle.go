package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/fenflow/fenflow/pkg/problem"
)

// answerWithin bounds what one request may ask of the database; it is below the
// listener's own time for writing an answer.
const answerWithin = 20 * time.Second

// retryAfter is what a client is asked to wait for a part that is away.
const retryAfter = "2"

// handle answers errors as problems and writes one line for each request.
func (a *API) handle(route string, next func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := a.Now()
		ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
		defer cancel()
		w.Header().Set("Cache-Control", "no-store") // answers are of one moment and one token
		recorded := &recorder{ResponseWriter: w, status: http.StatusOK}
		err := next(recorded, r.WithContext(ctx))
		if err != nil {
			writeProblem(recorded, err, r.URL.EscapedPath())
		}
		took := a.Now().Sub(began)
		a.metrics.requested(route, recorded.status, took)
		a.log(r, route, recorded, took, err)
	}
}

func (a *API) log(r *http.Request, route string, answer *recorder, took time.Duration, err error) {
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
	a.Log.LogAttrs(r.Context(), level, "operator", line...)
}

// known gives every error of the books a kind.
func (a *API) known(err error) error {
	var already *problem.Error
	switch {
	case err == nil, errors.As(err, &already):
		return err
	case a.Retryable(err):
		return problem.Wrap(problem.DatabaseUnavailable, err, "")
	}
	return problem.Wrap(problem.Internal, err, "")
}

// recoverer turns a panic into a 500 whose body says nothing. The panic's value
// may hold bytes from outside, so only its type and the stack are logged.
func (a *API) recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			a.metrics.panics.WithLabelValues().Inc()
			a.Log.ErrorContext(r.Context(), "panic in a request", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			writeProblem(w, problem.New(problem.Internal, ""), "")
		}()
		next.ServeHTTP(w, r)
	})
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

// problemDocument is a problem with what only this API has to add.
type problemDocument struct {
	problem.Document

	Candidates []candidate `json:"candidates,omitempty"`
}

func writeProblem(w http.ResponseWriter, err error, instance string) {
	document := problemDocument{Document: problem.DocumentOf(err, instance)}
	var several *ambiguousError
	if errors.As(err, &several) {
		document.Candidates = several.candidates
	}
	switch document.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="fenflow operators"`)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	}
	raw, failed := json.Marshal(document)
	if failed != nil { // strings and numbers always marshal; the status decides all the same
		raw = []byte(`{}`)
	}
	writeBody(w, document.Status, problem.ContentType, raw)
}

// answer writes one document.
func answer(w http.ResponseWriter, document any) error {
	raw, err := json.Marshal(document)
	if err != nil {
		return problem.Wrap(problem.Internal, fmt.Errorf("write answer: %w", err), "")
	}
	writeBody(w, http.StatusOK, "application/json", raw)
	return nil
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away asks again
}

func clip(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
