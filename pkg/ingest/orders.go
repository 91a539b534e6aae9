package ingest

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	// maxOrderBytes: an order has at most ~600 characters of content.
	maxOrderBytes = 16 << 10
	// commandLifetime: past it a command is recorded as expired and WeChat Pay
	// is not called; the shop has long given up by then.
	commandLifetime = 60 * time.Second
)

// createOrder checks an order, hands it on and waits for its outcome.
func (h *APIHandler) createOrder(w http.ResponseWriter, r *http.Request, m merchant.Merchant) error {
	order, err := h.readNewOrder(w, r, m)
	if err != nil {
		return err
	}
	c, err := h.orderCommand(r, m, order)
	if err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	note(w, slog.String("out_trade_no", string(c.OutTradeNo)), slog.String("command_id", string(c.ID)), slog.String("traceparent", c.TraceParent))
	wait, applied := preferredWait(r.Header)
	result, replied, err := h.Commands.SubmitCommand(r.Context(), c, wait)
	if err != nil {
		return &problem.Error{Kind: problem.BrokerUnavailable, Detail: "the order could not be handed on: the broker is away, full or slow", NextStep: repeatIt, Cause: err}
	}
	if applied != "" {
		w.Header().Set("Preference-Applied", applied)
	}
	if !replied {
		return h.accepted(w, c)
	}
	if result.Status == http.StatusCreated {
		w.Header().Set("Location", "/v1/orders/"+url.PathEscape(string(c.OutTradeNo)))
	}
	return writeResult(w, result.Status, result.Body)
}

// repeatIt is what a shop does when it cannot know what became of its order.
const repeatIt = "Repeat the same request with the same out_trade_no: the same number with the same body is the same order, so nothing can happen twice."

func (h *APIHandler) readNewOrder(w http.ResponseWriter, r *http.Request, m merchant.Merchant) (newOrder, error) {
	if !hasMediaType(r, "application/json") {
		return newOrder{}, problem.New(problem.UnsupportedMedia, "an order is application/json")
	}
	raw, err := readBody(w, r, maxOrderBytes)
	switch {
	case errors.Is(err, errTooLarge):
		return newOrder{}, problem.Newf(problem.TooLarge, "the body is larger than %d bytes", maxOrderBytes)
	case err != nil:
		return newOrder{}, problem.Wrap(problem.Malformed, err, "the body did not arrive whole")
	}
	return parseOrder(raw, m, h.Now())
}

func (h *APIHandler) orderCommand(r *http.Request, m merchant.Merchant, o newOrder) (pay.Command, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return pay.Command{}, err
	}
	received := h.Now().UTC()
	body, err := o.body(received)
	if err != nil {
		return pay.Command{}, err
	}
	return pay.Command{
		ID: pay.CommandID(id.String()), MchID: m.MchID, Kind: pay.CommandOrderCreate, OutTradeNo: o.OutTradeNo,
		Digest: o.digest(m.MchID), Body: body, ReceivedAt: received, Deadline: received.Add(commandLifetime), TraceParent: traceParent(r),
	}, nil
}

// pending is what a shop is told whose command has no outcome yet.
type pending struct {
	CommandID  pay.CommandID  `json:"command_id"`
	MchID      pay.MchID      `json:"mchid"`
	OutTradeNo pay.OutTradeNo `json:"out_trade_no"`
	Outcome    string         `json:"outcome"`
	Digest     string         `json:"digest"`
}

func (h *APIHandler) accepted(w http.ResponseWriter, c pay.Command) error {
	raw, err := json.Marshal(pending{CommandID: c.ID, MchID: c.MchID, OutTradeNo: c.OutTradeNo, Outcome: "pending", Digest: c.Digest})
	if err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	w.Header().Set("Location", "/v1/commands/"+string(c.ID))
	w.Header().Set("Retry-After", "1")
	writeBody(w, http.StatusAccepted, "application/json", raw)
	return nil
}
