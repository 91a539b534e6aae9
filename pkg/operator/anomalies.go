package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Anomalies lists money that does not fit its order.
type Anomalies interface {
	ListAnomalies(ctx context.Context, f pay.AnomalyFilter) ([]pay.Anomaly, error)
	FindAnomalies(ctx context.Context, id pay.TransactionID, mchid pay.MchID) ([]pay.Anomaly, error)
}

func (a *API) routeAnomalies(r chi.Router) {
	a.route(r, http.MethodGet, "/operator/v1/anomalies", a.listAnomalies)
	a.route(r, http.MethodGet, "/operator/v1/anomalies/{transaction_id}", a.anomaly)
	a.route(r, http.MethodPost, "/operator/v1/anomalies/{transaction_id}/accept", a.decideAnomaly(pay.CommandAnomalyAccept))
	a.route(r, http.MethodPost, "/operator/v1/anomalies/{transaction_id}/refund", a.decideAnomaly(pay.CommandAnomalyRefund))
}

type anomalyPage struct {
	Anomalies  []anomalyDocument `json:"anomalies"`
	NextCursor string            `json:"next_cursor,omitempty"`
}

func (a *API) listAnomalies(w http.ResponseWriter, c *call) error {
	q := c.query
	after := q.cursor("anomalies", func(c cursor) bool {
		_, badMchID := pay.ParseMchID(c.MchID)
		return badMchID == nil && isNumber(c.No) && (c.ID == "" || isNumber(c.ID)) && slices.Contains(pay.AnomalyKinds(), pay.AnomalyKind(c.Kind))
	})
	f := pay.AnomalyFilter{
		MchID: q.mchid(), Kind: q.anomalyKind(), State: word(q, "state", pay.AnomalyOpen, pay.AnomalyAccepted, pay.AnomalyRefunded), Since: q.since(),
		After: pay.Anomaly{
			ObservedAt: after.At, MchID: pay.MchID(after.MchID), TransactionID: pay.TransactionID(after.No), Kind: pay.AnomalyKind(after.Kind), OutRefundNo: pay.OutRefundNo(after.ID),
		},
	}
	limit := q.limit()
	f.Limit = limit + 1 // the one more says whether there is another page
	if err := q.done(); err != nil {
		return err
	}
	anomalies, err := a.Books.ListAnomalies(c.Context(), f)
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	anomalies, next := page(anomalies, limit, func(l pay.Anomaly) cursor {
		return cursor{Of: "anomalies", At: l.ObservedAt, MchID: string(l.MchID), No: string(l.TransactionID), Kind: string(l.Kind), ID: string(l.OutRefundNo)}
	})
	return answer(w, anomalyPage{each(anomalies, anomalyOf), next})
}

func (q *query) anomalyKind() pay.AnomalyKind { return word(q, "kind", pay.AnomalyKinds()...) }

// number is a parameter that holds a number of WeChat Pay's or ours.
func (q *query) number(name string) string {
	no := q.text(name)
	if no != "" && !isNumber(no) {
		q.bad(name, "must be 1 to %d visible ASCII characters", maxNumber)
	}
	return no
}

// decisionBody is the body of the command; package command reads it.
type decisionBody struct {
	TransactionID string `json:"transaction_id"`
	Kind          string `json:"kind"`
	OutRefundNo   string `json:"out_refund_no,omitempty"`
	Actor         string `json:"actor"`
	Reason        string `json:"reason"`
}

// decideAnomaly hands an operator's decision on as a command: it outlives this
// console, the worker and a restore, and a repeat of it changes nothing.
func (a *API) decideAnomaly(kind pay.CommandKind) func(http.ResponseWriter, *call) error {
	return func(w http.ResponseWriter, c *call) error {
		which := c.namedAnomaly()
		if err := c.query.done(); err != nil {
			return err
		}
		f, err := readFields(w, c.Request)
		if err != nil {
			return err
		}
		which.kind, which.refundNo = f.anomalyKind(), f.number("out_refund_no")
		reason := f.reason()
		if err := f.done(); err != nil {
			return err
		}
		named, err := a.findAnomaly(w, c, which)
		if err != nil {
			return err
		}
		command, err := a.newCommand(named.MchID, kind)
		if err != nil {
			return err
		}
		command.OutTradeNo, command.Digest = named.OutTradeNo, string(kind)
		command.Body, err = json.Marshal(decisionBody{string(named.TransactionID), string(named.Kind), string(named.OutRefundNo), c.actor(), reason})
		if err != nil {
			return problem.Wrap(problem.Internal, fmt.Errorf("write a decision: %w", err), "")
		}
		document, err := a.submit(c.Context(), w, command, "The decision is stored and will be carried out. `fenflow anomaly show "+string(named.TransactionID)+"` tells what became of it; it is safe to repeat it.")
		if err != nil {
			return err
		}
		return answer(w, document)
	}
}

// anomalyName is what a request says about which anomaly it means.
type anomalyName struct {
	transaction string
	mchid       pay.MchID
	kind        pay.AnomalyKind
	refundNo    string
}

// namedAnomaly reads the part of the name that is in the address.
func (c *call) namedAnomaly() anomalyName {
	name := anomalyName{transaction: pathValue(c.Request, "transaction_id"), mchid: c.query.mchid()}
	if !isNumber(name.transaction) {
		c.query.bad("transaction_id", "must be 1 to %d visible ASCII characters", maxNumber)
	}
	return name
}

// findAnomaly finds the one anomaly that a name means.
func (a *API) findAnomaly(w http.ResponseWriter, c *call, name anomalyName) (pay.Anomaly, error) {
	note(w, slog.String("transaction_id", name.transaction))
	all, err := a.Books.FindAnomalies(c.Context(), pay.TransactionID(name.transaction), name.mchid)
	if err != nil {
		return pay.Anomaly{}, fmt.Errorf("find anomalies: %w", err)
	}
	var meant []pay.Anomaly
	for _, one := range all {
		if (name.kind == "" || one.Kind == name.kind) && (name.refundNo == "" || string(one.OutRefundNo) == name.refundNo) {
			meant = append(meant, one)
		}
	}
	switch {
	case len(meant) == 1:
		note(w, slog.String("mchid", string(meant[0].MchID)), slog.String("out_trade_no", string(meant[0].OutTradeNo)))
		return meant[0], nil
	case len(meant) > 1:
		return pay.Anomaly{}, problem.Newf(problem.AmbiguousAnomaly, "it may be %s", listed(meant))
	case len(all) > 0:
		return pay.Anomaly{}, problem.Newf(problem.UnknownAnomaly, "payment %s has %s", name.transaction, listed(all))
	}
	return pay.Anomaly{}, problem.New(problem.UnknownAnomaly, "")
}

// maxListed bounds what a detail lists.
const maxListed = 10

func listed(anomalies []pay.Anomaly) string {
	var names []string
	for _, a := range anomalies[:min(len(anomalies), maxListed)] {
		name := string(a.Kind) + " of merchant " + string(a.MchID)
		if a.OutRefundNo != "" {
			name += " by refund " + string(a.OutRefundNo)
		}
		names = append(names, name)
	}
	if more := len(anomalies) - maxListed; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

func (f *fields) anomalyKind() pay.AnomalyKind {
	var kind pay.AnomalyKind
	if f.take("kind", "a string", &kind) && !slices.Contains(pay.AnomalyKinds(), kind) {
		f.bad("kind", "is %s; it must be one of %s", shown(string(kind)), joined(pay.AnomalyKinds()))
	}
	return kind
}

// number is a field that holds a number of WeChat Pay's or ours.
func (f *fields) number(name string) string {
	var no string
	if f.take(name, "a string", &no) && !isNumber(no) {
		f.bad(name, "must be 1 to %d visible ASCII characters", maxNumber)
	}
	return no
}
