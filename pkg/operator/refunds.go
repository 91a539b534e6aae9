package operator

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Refunds lists and reads refunds, and brings one that waits forward.
type Refunds interface {
	ListRefunds(ctx context.Context, f pay.RefundFilter) ([]pay.Refund, error)
	FindRefunds(ctx context.Context, number string, mchid pay.MchID) ([]pay.RefundMatch, error)
	RefundMoment(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo) (pay.RefundMoment, bool, error)
	RetryRefund(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo, quarantine time.Duration, actor, reason string) (retried bool, why string, err error)
	WriteAudit(ctx context.Context, e pay.AuditEntry) error
}

func (a *API) routeRefunds(r chi.Router) {
	a.routeMethods(r, "/operator/v1/refunds", map[string]handler{http.MethodGet: a.listRefunds, http.MethodPost: a.requestRefund})
	a.route(r, http.MethodGet, "/operator/v1/refunds/{number}", a.refund)
	a.route(r, http.MethodPost, "/operator/v1/refunds/{number}/retry", a.retryRefund)
	a.route(r, http.MethodPost, "/operator/v1/refunds/{number}/abnormal", a.driveRefundOn)
	a.route(r, http.MethodPost, "/operator/v1/refunds/{number}/give-up", a.giveUpRefund)
}

// partResolved is the part of the list of refunds that comes after the unresolved ones.
const partResolved = "resolved"

func (a *API) listRefunds(w http.ResponseWriter, c *call) error {
	q := c.query
	after := q.cursor("refunds", func(c cursor) bool {
		_, badMchID := pay.ParseMchID(c.MchID)
		_, badNo := pay.ParseOutRefundNo(c.No)
		return badMchID == nil && badNo == nil && (c.Part == "" || c.Part == partResolved)
	})
	f := pay.RefundFilter{
		MchID: q.mchid(), State: word(q, "state", pay.RefundRequested, pay.RefundProcessing, pay.RefundSucceeded, pay.RefundClosed, pay.RefundAbnormal, pay.RefundFailed),
		Since: q.since(), AfterAt: after.At, AfterMchID: pay.MchID(after.MchID), AfterNo: pay.OutRefundNo(after.No), AfterResolved: after.Part == partResolved,
	}
	limit := q.limit()
	f.Limit = limit + 1 // the one more says whether there is another page
	if err := q.done(); err != nil {
		return err
	}
	refunds, err := a.Books.ListRefunds(c.Context(), f)
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	refunds, next := page(refunds, limit, func(r pay.Refund) cursor {
		last := cursor{Of: "refunds", At: r.CreatedAt, MchID: string(r.MchID), No: string(r.OutRefundNo)}
		if !r.State.Unresolved() {
			last.Part = partResolved
		}
		return last
	})
	return answer(w, refundPage{each(refunds, refundRowOf), next})
}

func (a *API) refund(w http.ResponseWriter, c *call) error {
	match, err := a.theRefund(w, c)
	if err != nil {
		return err
	}
	return a.answerRefund(w, c, match)
}

// theRefund finds the one refund that the request's address means.
func (a *API) theRefund(w http.ResponseWriter, c *call) (pay.RefundMatch, error) {
	number, mchid := pathValue(c.Request, "number"), c.query.mchid()
	if !isNumber(number) {
		c.query.bad("number", "must be 1 to %d visible ASCII characters", maxNumber)
	}
	if err := c.query.done(); err != nil {
		return pay.RefundMatch{}, err
	}
	note(w, slog.String("number", number))
	matches, err := a.Books.FindRefunds(c.Context(), number, mchid)
	if err != nil {
		return pay.RefundMatch{}, fmt.Errorf("find refunds: %w", err)
	}
	match, err := chooseRefund(matches, mchid)
	if err != nil {
		return pay.RefundMatch{}, err
	}
	note(w, slog.String("mchid", string(match.MchID)), slog.String("out_refund_no", string(match.OutRefundNo)))
	return match, nil
}

// chooseRefund picks the one refund that a number means. Within a merchant, the
// refund of that out_refund_no comes first, so that each can be named somehow.
func chooseRefund(matches []pay.RefundMatch, mchid pay.MchID) (pay.RefundMatch, error) {
	switch {
	case len(matches) == 0:
		return pay.RefundMatch{}, problem.New(problem.UnknownRefund, "")
	case len(matches) == 1, mchid != "" && matches[0].FoundBy == pay.FoundByOutRefundNo: // the books name those first
		return matches[0], nil
	}
	return pay.RefundMatch{}, &ambiguousError{problem.Newf(problem.AmbiguousRefund, "%d refunds have it", len(matches)), each(matches, func(m pay.RefundMatch) candidate {
		return candidate{MchID: string(m.MchID), OutTradeNo: string(m.OutTradeNo), OutRefundNo: string(m.OutRefundNo), FoundBy: m.FoundBy}
	})}
}

// answerRefund tells everything about a refund as it is now.
func (a *API) answerRefund(w http.ResponseWriter, c *call, match pay.RefundMatch) error {
	refund, found, err := a.Books.RefundMoment(c.Context(), match.MchID, match.OutRefundNo)
	switch {
	case err != nil:
		return fmt.Errorf("read refund: %w", err)
	case !found:
		return problem.New(problem.UnknownRefund, "the refund was there a moment ago, and is not now")
	}
	story, found, err := a.Books.Story(c.Context(), refund.MchID, refund.OutTradeNo)
	if err != nil || !found {
		return fmt.Errorf("read story of %s: %w", refund.OutTradeNo, err)
	}
	timeline, err := a.Books.Timeline(c.Context(), refund.MchID, refund.OutTradeNo)
	if err != nil {
		return fmt.Errorf("read timeline: %w", err)
	}
	return answer(w, refundStoryOf(match.FoundBy, refund, story, timeline))
}
