package httpedge

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
)

// Recoverer turns a panic into what answer writes, which says nothing of it.
// The panic's value may hold bytes from outside, so only its type and the stack
// are logged. counted is called once for each.
func Recoverer(counted func(), l *slog.Logger, answer func(http.ResponseWriter)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				p := recover()
				if p == nil {
					return
				}
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				counted()
				l.ErrorContext(r.Context(), "panic in a request", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
				answer(w)
			}()
			next.ServeHTTP(w, r)
		})
	}
}
