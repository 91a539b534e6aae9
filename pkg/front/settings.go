package front

import (
	"net/http"
	"strings"

	"github.com/go-chi/cors"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// preflightAge is for how many seconds a browser need not ask again; a changed
// configuration is in force after it.
const preflightAge = 600

// compiled is what is worked out once of each configuration.
type compiled struct {
	from    *merchant.Directory
	origins map[string]bool
}

// origins are where a shop's pages may come from, in the configuration in force.
func (h *Handler) origins() map[string]bool {
	directory := h.Current().Directory
	if have := h.compiled.Load(); have != nil && have.from == directory {
		return have.origins
	}
	next := &compiled{from: directory, origins: map[string]bool{}}
	plain := strings.HasPrefix(h.URL, "http://")
	for _, m := range directory.All() {
		for _, app := range m.Apps {
			for _, origin := range app.Origins(plain) {
				next.origins[origin] = true
			}
		}
	}
	h.compiled.Store(next)
	return next.origins
}

// crossOrigin lets the shops' pages read answers. No cookie goes along: what a
// page may, its session says.
func (h *Handler) crossOrigin() func(http.Handler) http.Handler {
	return cors.Handler(cors.Options{
		AllowOriginFunc: func(_ *http.Request, origin string) bool { return h.origins()[strings.ToLower(origin)] },
		AllowedMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders:  []string{"Authorization", "Content-Type"},
		ExposedHeaders:  []string{"Retry-After"},
		MaxAge:          preflightAge,
	})
}
