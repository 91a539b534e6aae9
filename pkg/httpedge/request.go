package httpedge

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"
)

// AnyMethod lets methods that chi does not know reach the address that they
// name: it refuses them itself, and says what is allowed there.
func AnyMethod(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		default:
			chi.RouteContext(r.Context()).RouteMethod = http.MethodTrace // r.Method stays what it is
		}
		next.ServeHTTP(w, r)
	})
}

// Bearer takes the key or session out of the Authorization header.
func Bearer(r *http.Request) (string, bool) {
	given := r.Header.Values("Authorization")
	if len(given) != 1 {
		return "", false
	}
	scheme, key, found := strings.Cut(given[0], " ")
	return strings.TrimSpace(key), found && strings.EqualFold(scheme, "Bearer")
}

// PathValue is a parameter of the path, decoded once: numbers may hold "|", "*"
// and "@", which clients may or may not escape.
func PathValue(r *http.Request, name string) string {
	raw := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return raw
	}
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return ""
	}
	return decoded
}

// Clip shortens text from outside, so that nobody writes our log.
func Clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
