package ingest

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/request"
	"github.com/fenflow/fenflow/pkg/session"
)

const (
	subjectReadAccount = "fenflow.read.account"
	subjectProfile     = "fenflow.act.profile"
	// maxSessionBytes leaves room for the longest session there is, and white space.
	maxSessionBytes = 4 << 10
	maxRefreshBytes = 1 << 10
)

// What a session is refused for besides what package session finds.
const (
	reasonOtherMerchant = "other_merchant"
	reasonNotConfigured = "not_configured" // its app is gone from the configuration
)

// introspection is what a shop is told of a session (as in RFC 7662).
type introspection struct {
	Active    bool          `json:"active"`
	Reason    string        `json:"reason,omitempty"`
	AccountID pay.AccountID `json:"account_id,omitempty"`
	AppID     pay.AppID     `json:"appid,omitempty"`
	OpenID    pay.OpenID    `json:"openid,omitempty"`
	ExpiresAt *time.Time    `json:"expires_at,omitempty"`
}

// introspect tells a shop's back end who is buying: its page has a session, and
// what the page says otherwise counts for nothing.
func (h *APIHandler) introspect(w http.ResponseWriter, r *http.Request, from shop) error {
	raw, err := httpedge.ReadJSON(w, r, maxSessionBytes, "this request")
	if err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	f, err := request.ReadSecret(raw)
	if err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	token := f.Text("session", true, maxSessionBytes)
	if err := f.Done(); err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	found, err := h.whose(token, from)
	if err != nil {
		return err
	}
	httpedge.Note(w, slog.Bool("active", found.Active), slog.String("reason", found.Reason), slog.String("account_id", string(found.AccountID)))
	answer, err := json.Marshal(found)
	if err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	return httpedge.WriteResult(w, http.StatusOK, answer) //nolint:wrapcheck // it is a problem
}

// whose says whose session it is, to the merchant that it is with and no other.
func (h *APIHandler) whose(token string, from shop) (introspection, error) {
	claims, err := h.Sessions.Verify(token)
	var refusal *session.RefusedError
	switch {
	case errors.As(err, &refusal):
		return introspection{Reason: string(refusal.Reason)}, nil
	case err != nil:
		return introspection{}, err //nolint:wrapcheck // it is a problem, such as that there are no keys
	case claims.MchID != from.MchID:
		return introspection{Reason: reasonOtherMerchant}, nil
	case !from.HasApp(claims.AppID):
		return introspection{Reason: reasonNotConfigured}, nil
	}
	return introspection{Active: true, AccountID: claims.AccountID, AppID: claims.AppID, OpenID: claims.OpenID, ExpiresAt: &claims.ExpiresAt}, nil
}

// readAccount tells a shop what is known of one of its buyers.
func (h *APIHandler) readAccount(w http.ResponseWriter, r *http.Request, from shop) error {
	id, err := pathAccountID(r)
	if err != nil {
		return err
	}
	httpedge.Note(w, slog.String("account_id", string(id)))
	return h.read(w, r, subjectReadAccount, map[string]string{"mchid": string(from.MchID), "account_id": string(id)})
}

// refreshAccount has a buyer's name and picture fetched again from WeChat.
func (h *APIHandler) refreshAccount(w http.ResponseWriter, r *http.Request, from shop) error {
	id, err := pathAccountID(r)
	if err != nil {
		return err
	}
	raw, err := httpedge.ReadJSON(w, r, maxRefreshBytes, "this request")
	if err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	f, err := request.Read(raw)
	if err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	app := pay.AppID(f.Text("appid", true, request.MaxShort))
	if app != "" && !from.HasApp(app) {
		f.Bad("appid", "is none of merchant %s", from.MchID)
	}
	if err := f.Done(); err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	httpedge.Note(w, slog.String("account_id", string(id)), slog.String("appid", string(app)))
	return h.act(w, r, subjectProfile, map[string]string{"mchid": string(from.MchID), "account_id": string(id), "appid": string(app)},
		"Read the account (`GET /v1/accounts/{account_id}`): its `updated_at` says whether it came about. Or send the same request again.")
}

func pathAccountID(r *http.Request) (pay.AccountID, error) {
	id, err := pay.ParseAccountID(httpedge.PathValue(r, "account_id"))
	if err != nil {
		return "", problem.New(problem.NotFound, err.Error())
	}
	return id, nil
}
