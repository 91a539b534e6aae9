package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/request"
)

// What a worker is asked to do at once. It is no command: a question that goes
// astray is asked again, and nothing of it may lie in a stream (a bank account).
const (
	subjectCheck    = "fenflow.act.check"
	subjectAbnormal = "fenflow.act.abnormal"
	// leastWait: a question that nobody waits for is not answered, so whoever
	// prefers not to wait waits this long.
	leastWait = time.Second
	// maxAbnormalBytes: a card and its holder have at most ~150 characters.
	maxAbnormalBytes = 4 << 10
)

// abnormalQuestion is what the worker is asked; Actor is the API key's name,
// for the audit.
type abnormalQuestion struct {
	MchID       string `json:"mchid"`
	OutRefundNo string `json:"out_refund_no"`
	Actor       string `json:"actor"`

	request.Abnormal
}

// checkOrder asks WeChat Pay about an order now: the buyer's page says "I have paid".
func (h *APIHandler) checkOrder(w http.ResponseWriter, r *http.Request, from shop) error {
	no, err := pathOutTradeNo(r)
	if err != nil {
		return err
	}
	if err := httpedge.ReadNothing(w, r); err != nil {
		return err
	}
	httpedge.Note(w, slog.String("out_trade_no", string(no)))
	return h.act(w, r, subjectCheck, map[string]string{"mchid": string(from.MchID), "out_trade_no": string(no)},
		"Read the order in a moment (`GET /v1/orders/{out_trade_no}`), or send the same request again: an unresolved order is asked about by itself, too.")
}

// driveOn sends an abnormal refund on its way again.
func (h *APIHandler) driveOn(w http.ResponseWriter, r *http.Request, from shop) error {
	no, err := pathOutRefundNo(r)
	if err != nil {
		return err
	}
	raw, err := httpedge.ReadJSON(w, r, maxAbnormalBytes, "this request")
	if err != nil {
		return err
	}
	wish, err := request.ParseAbnormal(raw)
	if err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	httpedge.Note(w, slog.String("out_refund_no", string(no)), slog.String("type", wish.Type))
	return h.act(w, r, subjectAbnormal, abnormalQuestion{MchID: string(from.MchID), OutRefundNo: string(no), Actor: from.key, Abnormal: wish},
		"Read the refund (`GET /v1/refunds/{out_refund_no}`); if it is still abnormal after a minute, send the same request again.")
}

// act has a worker do something and passes its answer on.
func (h *APIHandler) act(w http.ResponseWriter, r *http.Request, subject string, question any, unknown string) error {
	raw, err := json.Marshal(question)
	if err != nil {
		return problem.Wrap(problem.Internal, errors.New("write a question"), "") // the cause may quote the question
	}
	wait, applied := preferredWait(r.Header)
	if wait < leastWait {
		wait, applied = leastWait, "wait="+strconv.Itoa(int(leastWait/time.Second))
	}
	if applied != "" {
		w.Header().Set("Preference-Applied", applied)
	}
	answer, err := h.Worker.Request(r.Context(), subject, raw, wait)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &problem.Error{Kind: problem.Unavailable, Detail: "no answer came within " + wait.String(), NextStep: unknown, Cause: err}
	case err != nil:
		return problem.Wrap(problem.NoWorker, err, "")
	}
	return httpedge.PassOn(w, answer)
}
