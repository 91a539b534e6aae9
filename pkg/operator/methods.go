package operator

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// handler answers one method at one address.
type handler = func(w http.ResponseWriter, c *call) error

// routeMethods takes these methods at a path and refuses all others by name. Whatever
// is no GET changes something, and needs a token that may.
func (a *API) routeMethods(r chi.Router, path string, methods map[string]handler) {
	allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
	r.HandleFunc(path, a.handle(path, func(w http.ResponseWriter, r *http.Request) error {
		token, err := a.authorize(w, r)
		if err != nil {
			return err
		}
		note(w, slog.String("token", token.Name))
		next, takes := methods[r.Method]
		if !takes {
			w.Header().Set("Allow", allowed)
			return problem.Newf(problem.MethodNotAllowed, "use %s", allowed)
		}
		if r.Method != http.MethodGet && token.Role != pay.TokenOperate {
			return problem.Newf(problem.Forbidden, "token %q has role %s", token.Name, token.Role)
		}
		q, err := readQuery(r.URL)
		if err != nil {
			return err
		}
		return a.known(next(w, &call{Request: r, token: token, query: q}))
	}))
}
