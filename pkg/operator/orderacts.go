package operator

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/request"
)

type orderCheck struct {
	Order   orderDocument `json:"order"`
	Certain bool          `json:"certain"`
}

func (a *API) routeOrderActs(r chi.Router) {
	a.route(r, http.MethodPost, "/operator/v1/orders/{out_trade_no}/check", a.checkOrder)
	a.route(r, http.MethodPost, "/operator/v1/orders/{out_trade_no}/close", a.closeOrder)
}

// checkOrder asks WeChat Pay about an order now. The audit is told before, because
// the question itself leaves no trace in the books.
func (a *API) checkOrder(w http.ResponseWriter, c *call) error {
	match, err := a.theOrder(w, c)
	if err != nil {
		return err
	}
	if err := readNothing(w, c.Request); err != nil {
		return err
	}
	if a.Worker == nil {
		return noNATS()
	}
	id, err := uuid.NewV7()
	if err != nil {
		return problem.Wrap(problem.Internal, fmt.Errorf("make an audit id: %w", err), "")
	}
	if err := a.Books.WriteAudit(c.Context(), pay.AuditEntry{ID: id.String(), MchID: match.MchID, Actor: c.actor(), Action: "order.check", Subject: string(match.OutTradeNo)}); err != nil {
		return fmt.Errorf("tell the audit: %w", err)
	}
	raw, err := a.request(c.Context(), subjectCheck, map[string]string{"mchid": string(match.MchID), "out_trade_no": string(match.OutTradeNo)},
		"Look at it with `fenflow order show`: an unresolved order is asked about by itself, too.")
	if err != nil {
		return err
	}
	if _, err := problem.ReadAnswer(raw); err != nil {
		return err //nolint:wrapcheck // the refusal is the worker's own
	}
	var said problem.Answer
	if err := json.Unmarshal(raw, &said); err != nil {
		return problem.Wrap(problem.Internal, fmt.Errorf("read answer: %w", err), "")
	}
	order, err := a.orderNow(c, match)
	if err != nil {
		return err
	}
	note(w, slog.Bool("certain", said.Status == http.StatusOK))
	return answer(w, orderCheck{orderOf(order), said.Status == http.StatusOK})
}

func (a *API) closeOrder(w http.ResponseWriter, c *call) error {
	match, err := a.theOrder(w, c)
	if err != nil {
		return err
	}
	reason, err := readReason(w, c.Request)
	if err != nil {
		return err
	}
	cmd, err := a.newCommand(match.MchID, pay.CommandOrderClose)
	if err != nil {
		return err
	}
	if cmd.Body, err = request.CloseBody(&pay.Act{Actor: c.actor(), Reason: reason}); err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	cmd.OutTradeNo, cmd.Digest = match.OutTradeNo, request.CloseDigest(match.MchID, match.OutTradeNo)
	said, err := a.submit(c.Context(), w, cmd, "Look at it with `fenflow order show`: closing goes on by itself, and may be asked for again.")
	if err != nil {
		return err
	}
	note(w, stateIn(said))
	order, err := a.orderNow(c, match)
	if err != nil {
		return err
	}
	return answer(w, orderOf(order))
}

// theOrder finds the one order that the request's address means.
func (a *API) theOrder(w http.ResponseWriter, c *call) (pay.Match, error) {
	number, mchid := pathValue(c.Request, "out_trade_no"), c.query.mchid()
	if _, err := pay.ParseOutTradeNo(number); err != nil {
		c.query.bad("out_trade_no", "is %s; it must be 6 to 32 of 0-9 A-Z a-z _ - | *", shown(number))
	}
	if err := c.query.done(); err != nil {
		return pay.Match{}, err
	}
	note(w, slog.String("out_trade_no", number))
	match, err := a.findOrder(c.Context(), number, mchid, pay.FoundByOutTradeNo)
	if err != nil {
		return pay.Match{}, err
	}
	note(w, slog.String("mchid", string(match.MchID)))
	return match, nil
}

func (a *API) orderNow(c *call, match pay.Match) (pay.Order, error) {
	order, found, err := a.Books.Order(c.Context(), match.MchID, match.OutTradeNo)
	switch {
	case err != nil:
		return order, fmt.Errorf("read order: %w", err)
	case !found:
		return order, problem.New(problem.UnknownNumber, "the order was there a moment ago, and is not now")
	}
	return order, nil
}

// stateIn is the state that a command's answer gives, for the log.
func stateIn(answer json.RawMessage) slog.Attr {
	var said struct {
		State string `json:"state"`
	}
	_ = json.Unmarshal(answer, &said) // a worker of another version may say it otherwise
	return slog.String("state", said.State)
}

// readNothing reads the body of an act that has nothing to say: none, or {}.
func readNothing(w http.ResponseWriter, r *http.Request) error {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxActBytes))
	if err != nil {
		return problem.Wrap(problem.Malformed, err, "the body did not arrive whole")
	}
	if strings.TrimSpace(string(raw)) == "" {
		return nil
	}
	f, err := request.Read(raw)
	if err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	return f.Done() //nolint:wrapcheck // it is a problem
}
