package front

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// ticketParameter is where the page finds its ticket.
const ticketParameter = "ticket"

var (
	// codeShape is wider than any code that WeChat gives out.
	codeShape   = regexp.MustCompile(`^[0-9A-Za-z_-]{1,512}$`)
	ticketShape = regexp.MustCompile(`^[0-9A-Za-z_-]{16,256}$`)
)

// callback takes the buyer back from WeChat: the code becomes a ticket, with
// which the page, and nobody else, fetches the session.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request) error {
	app, err := h.app(w, r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	login, ours := recall(r, app.AppID, query.Get("state"))
	if !ours || len(query["state"]) != 1 || len(query["code"]) > 1 {
		return problem.New(problem.LoginStateLost, "")
	}
	h.forget(w, login.State)
	// Asked again: the cookie is the browser's, and the configuration may have changed.
	if err := app.MayReturnTo(login.ReturnTo); err != nil {
		return problem.Newf(problem.ReturnRefused, "return_to: %v", err)
	}
	ticket, err := h.authorize(r, app.AppID, query.Get("code"), login.Challenge)
	if err != nil {
		return &returning{err: err, to: login.ReturnTo}
	}
	w.Header().Set("Location", withTicket(login.ReturnTo, ticket))
	w.WriteHeader(http.StatusFound)
	httpedge.Note(w, slog.Bool("ticket", true))
	return nil
}

// authorizeQuestion has a worker exchange a code.
type authorizeQuestion struct {
	AppID     string `json:"appid"`
	Code      string `json:"code"`
	Challenge string `json:"challenge"`
}

func (h *Handler) authorize(r *http.Request, app pay.AppID, code, challenge string) (string, error) {
	if code == "" { // WeChat sends a buyer back without one who did not agree
		return "", problem.New(problem.LoginDeclined, "")
	}
	if !codeShape.MatchString(code) {
		return "", problem.InvalidFields(problem.Field{Field: "code", Message: "is none of WeChat's"})
	}
	var answer struct{ Ticket string }
	question := authorizeQuestion{AppID: string(app), Code: code, Challenge: challenge}
	if err := h.into(r.Context(), subjectAuthorize, question, workerWait, &answer); err != nil {
		return "", err
	}
	if !ticketShape.MatchString(answer.Ticket) {
		return "", problem.Wrap(problem.Internal, errors.New("a worker answered with no ticket"), "")
	}
	return answer.Ticket, nil
}

// withTicket adds the ticket to the page's address, in the place of an old one,
// and leaves the rest of it as it is.
func withTicket(address, ticket string) string {
	base, query, _ := strings.Cut(address, "?")
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); part != "" && (err != nil || plain != ticketParameter) {
			kept = append(kept, part)
		}
	}
	return base + "?" + strings.Join(append(kept, ticketParameter+"="+ticket), "&")
}

// returning is a refusal after which the buyer can go back to the shop's page.
type returning struct {
	err error
	to  string
}

func (r *returning) Error() string { return r.err.Error() }

// Unwrap lets the problem be found.
func (r *returning) Unwrap() error { return r.err }
