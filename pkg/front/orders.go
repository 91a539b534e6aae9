package front

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/request"
	"github.com/fenflow/fenflow/pkg/session"
)

// orderQuestion is about an order of whoever the session is of. The worker
// verifies the session itself; the edge's word for it is not asked.
type orderQuestion struct {
	Session     string `json:"session"`
	OutTradeNo  string `json:"out_trade_no"`
	RedirectURL string `json:"redirect_url,omitempty"`
}

func (h *Handler) readOrder(w http.ResponseWriter, r *http.Request) error {
	question, _, err := h.about(w, r)
	if err != nil {
		return err
	}
	return h.pass(w, r, subjectOrder, question)
}

// checkOrder: the buyer says "I have paid", and WeChat Pay is asked.
func (h *Handler) checkOrder(w http.ResponseWriter, r *http.Request) error {
	question, _, err := h.about(w, r)
	if err != nil {
		return err
	}
	if err := httpedge.ReadNothing(w, r); err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	return h.pass(w, r, subjectCheck, question)
}

// payOrder hands out what the buyer's client pays with.
func (h *Handler) payOrder(w http.ResponseWriter, r *http.Request) error {
	question, m, err := h.about(w, r)
	if err != nil {
		return err
	}
	if question.RedirectURL, err = readRedirectURL(w, r); err != nil {
		return err
	}
	if question.RedirectURL != "" && !mayReturnTo(m, question.RedirectURL) {
		return problem.New(problem.ReturnRefused, "redirect_url lies under no redirect_urls of the merchant's apps")
	}
	return h.pass(w, r, subjectPay, question)
}

// about says which order a buyer asks about, and of which merchant.
func (h *Handler) about(w http.ResponseWriter, r *http.Request) (orderQuestion, merchant.Merchant, error) {
	token, given := httpedge.Bearer(r)
	if !given {
		token = ""
	}
	claims, m, err := h.buyer(token)
	if err != nil {
		return orderQuestion{}, merchant.Merchant{}, err
	}
	httpedge.Note(w, slog.String("mchid", string(claims.MchID)), slog.String("account_id", string(claims.AccountID)))
	if err := h.keepPace(w, h.buyers, string(claims.MchID)+" "+string(claims.AccountID), "this buyer asks"); err != nil {
		return orderQuestion{}, merchant.Merchant{}, err
	}
	no, err := pay.ParseOutTradeNo(httpedge.PathValue(r, "out_trade_no"))
	if err != nil {
		return orderQuestion{}, merchant.Merchant{}, problem.New(problem.NotFound, err.Error())
	}
	httpedge.Note(w, slog.String("out_trade_no", string(no)))
	return orderQuestion{Session: token, OutTradeNo: string(no)}, m, nil
}

// buyer verifies a session. Where it was made must still be configured.
func (h *Handler) buyer(token string) (session.Claims, merchant.Merchant, error) {
	if token == "" {
		return session.Claims{}, merchant.Merchant{}, h.refuseSession("missing", nil)
	}
	claims, err := h.Sessions.Verify(token)
	if err != nil {
		var refusal *session.RefusedError
		if errors.As(err, &refusal) {
			return session.Claims{}, merchant.Merchant{}, h.refuseSession(string(refusal.Reason), err)
		}
		return session.Claims{}, merchant.Merchant{}, err //nolint:wrapcheck // it is a problem, such as that there are no keys
	}
	m, known := h.Current().Directory.ByMchID(claims.MchID)
	if !known || !m.HasApp(claims.AppID) {
		return session.Claims{}, merchant.Merchant{}, h.refuseSession("not_configured", nil)
	}
	return claims, m, nil
}

func (h *Handler) refuseSession(reason string, cause error) error {
	h.Metrics.refused.WithLabelValues(reason).Inc()
	return problem.Wrap(problem.SessionRejected, cause, "session refused: "+reason)
}

// readRedirectURL reads the body of a pay request: none, or where an H5 payment
// leads back to.
func readRedirectURL(w http.ResponseWriter, r *http.Request) (string, error) {
	raw, err := httpedge.ReadWhole(w, r, maxBodyBytes)
	if err != nil || len(raw) == 0 {
		return "", err //nolint:wrapcheck // it is a problem
	}
	if !httpedge.HasMediaType(r, "application/json") {
		return "", problem.New(problem.UnsupportedMedia, "this request has no body, or one of application/json")
	}
	f, err := request.Read(raw)
	if err != nil {
		return "", err //nolint:wrapcheck // it is a problem
	}
	address := f.Text("redirect_url", false, maxBodyBytes)
	return address, f.Done() //nolint:wrapcheck // it is a problem
}

func mayReturnTo(m merchant.Merchant, address string) bool {
	return slices.ContainsFunc(m.Apps, func(a merchant.App) bool { return a.MayReturnTo(address) == nil })
}
