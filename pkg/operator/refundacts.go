package operator

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/request"
)

// What an operator does who cannot know what became of an act.
const (
	lookAtRefund = "Look at it with `fenflow refund show`; the same request may be sent again, because every number pays once."
	whyMissing   = "say why, for the audit log"
)

// requestRefund hands in the command that a shop's request makes, so that the
// same number with the same content is the same refund from whichever side.
func (a *API) requestRefund(w http.ResponseWriter, c *call) error {
	refund, given, act, err := readRefund(w, c)
	if err != nil {
		return err
	}
	mchid, err := a.merchantOf(c.Context(), refund, given)
	if err != nil {
		return err
	}
	cmd, err := a.newCommand(mchid, pay.CommandRefundCreate)
	if err != nil {
		return err
	}
	if cmd.Body, err = refund.Body(&act); err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	cmd.OutRefundNo, cmd.OutTradeNo, cmd.Digest = refund.OutRefundNo, refund.OutTradeNo, refund.Digest(mchid)
	note(w, slog.String("mchid", string(mchid)), slog.String("out_refund_no", string(refund.OutRefundNo)), slog.Int64("amount_fen", int64(refund.Amount)))
	said, err := a.submit(c.Context(), w, cmd, lookAtRefund)
	if err != nil {
		return err
	}
	note(w, stateIn(said))
	return a.answerRefund(w, c, pay.RefundMatch{MchID: mchid, OutRefundNo: refund.OutRefundNo, FoundBy: pay.FoundByOutRefundNo})
}

func readRefund(w http.ResponseWriter, c *call) (r request.Refund, mchid pay.MchID, act pay.Act, err error) {
	if err := c.query.done(); err != nil {
		return r, "", act, err
	}
	raw, err := readBody(w, c.Request)
	if err != nil {
		return r, "", act, err
	}
	f, err := request.Read(raw)
	if err != nil {
		return r, "", act, err //nolint:wrapcheck // it is a problem
	}
	r = request.RefundOf(f, "buyer_reason")
	act = pay.Act{Actor: c.actor(), Reason: f.Prose("reason", whyMissing, reasonRule)}
	if text := f.Text("mchid", false, request.MaxShort); text != "" {
		if mchid, err = pay.ParseMchID(text); err != nil {
			f.Bad("mchid", "is %s; it must be 8 to 32 digits", shown(text))
		}
	}
	return r, mchid, act, f.Done() //nolint:wrapcheck // it is a problem
}

// merchantOf finds whose money is to go back. A merchant that has no such order
// may be one that no worker listens for.
func (a *API) merchantOf(ctx context.Context, r request.Refund, given pay.MchID) (pay.MchID, error) {
	number, by := string(r.OutTradeNo), pay.FoundByOutTradeNo
	if number == "" {
		number, by = string(r.TransactionID), pay.FoundByTransactionID
	}
	match, err := a.findOrder(ctx, number, given, by)
	return match.MchID, err
}

// findOrder finds the one order that has a number as what it is said to be.
func (a *API) findOrder(ctx context.Context, number string, mchid pay.MchID, by string) (pay.Match, error) {
	matches, err := a.Books.FindOrders(ctx, number, mchid)
	if err != nil {
		return pay.Match{}, fmt.Errorf("find orders: %w", err)
	}
	var orders []pay.Match
	for _, m := range matches {
		if m.FoundBy == by {
			orders = append(orders, m)
		}
	}
	switch len(orders) {
	case 0:
		return pay.Match{}, problem.Newf(problem.UnknownNumber, "no order has the %s %s", by, shown(number))
	case 1:
		return orders[0], nil
	}
	return pay.Match{}, severalOrders(orders)
}

func (a *API) retryRefund(w http.ResponseWriter, c *call) error {
	match, err := a.theRefund(w, c)
	if err != nil {
		return err
	}
	reason, err := readReason(w, c.Request)
	if err != nil {
		return err
	}
	retried, why, err := a.Books.RetryRefund(c.Context(), match.MchID, match.OutRefundNo, a.Quarantine, c.actor(), reason)
	switch {
	case err != nil:
		return fmt.Errorf("retry refund: %w", err)
	case why != "":
		return problem.New(problem.RetryRefused, why)
	}
	note(w, slog.Bool("retried", retried))
	return a.answerRefund(w, c, match)
}

// abnormalQuestion is what the worker is asked.
type abnormalQuestion struct {
	MchID       string `json:"mchid"`
	OutRefundNo string `json:"out_refund_no"`
	Actor       string `json:"actor"`
	Reason      string `json:"reason"`

	request.Abnormal
}

// driveRefundOn repeats no value of its body: account and name are in it.
func (a *API) driveRefundOn(w http.ResponseWriter, c *call) error {
	match, err := a.theRefund(w, c)
	if err != nil {
		return err
	}
	raw, err := readBody(w, c.Request)
	if err != nil {
		return err
	}
	f, err := request.ReadSecret(raw)
	if err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	wish, reason := request.AbnormalOf(f), f.Prose("reason", whyMissing, reasonRule)
	if err := f.Done(); err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	note(w, slog.String("type", wish.Type))
	question := abnormalQuestion{MchID: string(match.MchID), OutRefundNo: string(match.OutRefundNo), Actor: c.actor(), Reason: reason, Abnormal: wish}
	if _, err := a.ask(c.Context(), subjectAbnormal, question, "Look at it with `fenflow refund show`; if it is still abnormal after a minute, send the same request again."); err != nil {
		return err
	}
	return a.answerRefund(w, c, match)
}

func (a *API) giveUpRefund(w http.ResponseWriter, c *call) error {
	match, err := a.theRefund(w, c)
	if err != nil {
		return err
	}
	reason, err := readReason(w, c.Request)
	if err != nil {
		return err
	}
	cmd, err := a.newCommand(match.MchID, pay.CommandRefundGiveUp)
	if err != nil {
		return err
	}
	if cmd.Body, err = request.GiveUpBody(match.OutRefundNo, pay.Act{Actor: c.actor(), Reason: reason}); err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	cmd.OutRefundNo, cmd.OutTradeNo, cmd.Digest = match.OutRefundNo, match.OutTradeNo, request.GiveUpDigest(match.MchID, match.OutRefundNo)
	said, err := a.submit(c.Context(), w, cmd, "Look at it with `fenflow refund show`; the same request may be sent again.")
	if err != nil {
		return err
	}
	note(w, stateIn(said))
	return a.answerRefund(w, c, match)
}
