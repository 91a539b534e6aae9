package front

import (
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// handle takes a route's methods, refuses all others by name, answers errors,
// and writes one line for each request.
func (h *Handler) handle(one route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := h.Now()
		secure(w.Header())
		recorded := httpedge.Record(w)
		err := h.take(recorded, r, one)
		if err != nil {
			h.refuse(recorded, r, err, one.html)
		}
		took := h.Now().Sub(began)
		h.Metrics.requested(one.path, recorded.Status, took)
		recorded.Tell(h.Logger, "front", r, one.path, took, err)
	}
}

// secure: answers are of one moment and one buyer, are what they say they are,
// and addresses hold codes and tickets, which no other site needs to see.
func secure(header http.Header) {
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
}

func (h *Handler) take(w http.ResponseWriter, r *http.Request, one route) error {
	if one.methods != nil && !slices.Contains(one.methods, r.Method) {
		w.Header().Set("Allow", strings.Join(append(slices.Clone(one.methods), http.MethodOptions), ", "))
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		return problem.Newf(problem.MethodNotAllowed, "use %s", strings.Join(one.methods, " or "))
	}
	if one.pace != nil {
		if place, known := clientOf(r); known {
			if err := h.keepPace(w, one.pace, place.String(), "this address asks"); err != nil {
				return err
			}
		}
	}
	return one.next(w, r)
}

// keepPace refuses who is too fast, and says when to come back.
func (h *Handler) keepPace(w http.ResponseWriter, pace *buckets, who, subject string) error {
	wait := pace.take(who)
	if wait <= 0 {
		return nil
	}
	h.Metrics.slowed.WithLabelValues().Inc()
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return &problem.Error{Kind: problem.TooManyRequests, Detail: subject + " too often", NextStep: "Wait as long as `Retry-After` says, then go on more slowly."}
}

// refuse answers an error: to a program as a problem, to a person as a page.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error, html bool) {
	if html && !wantsJSON(r) {
		h.page.write(w, err)
		return
	}
	httpedge.WriteProblem(w, err, r.URL.EscapedPath())
}

// app finds the app that an address names, and whose it is.
func (h *Handler) app(w http.ResponseWriter, r *http.Request) (merchant.App, error) {
	id, err := pay.ParseAppID(chi.URLParam(r, "appid"))
	if err != nil {
		return merchant.App{}, problem.New(problem.UnknownApp, err.Error())
	}
	m, app, known := h.Current().Directory.ByAppID(id)
	if !known {
		return merchant.App{}, problem.Newf(problem.UnknownApp, "no merchant, or more than one, has app %s", id)
	}
	httpedge.Note(w, slog.String("appid", string(id)), slog.String("mchid", string(m.MchID)))
	return app, nil
}
