package operator

import (
	"context"
	"crypto/sha256"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Tokens knows the live tokens by their sums.
type Tokens interface {
	TokenBySum(ctx context.Context, sum [sha256.Size]byte) (pay.Token, bool, error)
}

// authorize finds out whose request this is. A text that cannot be a token costs
// as much as one that is not known: its sum is looked up, too.
func (a *API) authorize(w http.ResponseWriter, r *http.Request) (pay.Token, error) {
	text, given := bearer(r)
	if !tokenShape.MatchString(text) {
		text = ""
	}
	who := trust{httpedge.PlaceOf(r.RemoteAddr), sha256.Sum256([]byte(text))}
	if wait := a.lockout.wait(who.place); wait > 0 && !a.trusted.has(who) {
		return pay.Token{}, a.slowDown(w, refusedLockedOut, wait, "this address sent too many unknown tokens")
	}
	if !given {
		a.metrics.refused.WithLabelValues(refusedNoToken).Inc()
		return pay.Token{}, problem.New(problem.TokenRejected, "")
	}
	token, known, err := a.Tokens.TokenBySum(r.Context(), who.sum)
	switch {
	case err != nil:
		return pay.Token{}, a.known(err)
	case !known || text == "":
		a.trusted.drop(who)
		a.lockout.failed(who.place)
		a.metrics.refused.WithLabelValues(refusedUnknownToken).Inc()
		return pay.Token{}, problem.New(problem.TokenRejected, "")
	}
	a.trusted.add(who)
	if !a.pace.allow(token.ID) {
		return pay.Token{}, a.slowDown(w, refusedTooFast, time.Second, "token "+strconv.Quote(token.Name)+" is used more than "+strconv.Itoa(requestsPerSecond)+" times a second")
	}
	return token, nil
}

func (a *API) slowDown(w http.ResponseWriter, why string, wait time.Duration, detail string) error {
	a.metrics.refused.WithLabelValues(why).Inc()
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return problem.New(problem.TooManyRequests, detail)
}

// bearer takes the token out of the Authorization header.
func bearer(r *http.Request) (string, bool) {
	given := r.Header.Values("Authorization")
	if len(given) != 1 {
		return "", false
	}
	scheme, token, found := strings.Cut(given[0], " ")
	return strings.TrimSpace(token), found && strings.EqualFold(scheme, "Bearer")
}
