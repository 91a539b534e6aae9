package ingest

import (
	"net/http"
	"net/url"
	"time"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/request"
)

const (
	// maxOrderBytes: an order has at most ~600 characters of content.
	maxOrderBytes = 16 << 10
	// commandLifetime: past it a command is recorded as expired and WeChat Pay
	// is not called; the shop has long given up by then.
	commandLifetime = 60 * time.Second
)

// What a shop does when it cannot know what became of its request.
const (
	repeatOrder = "Repeat the same request with the same out_trade_no: the same number with the same body is the same order, so nothing can happen twice."
	repeatClose = "Repeat the same request: an order is closed once, however often it is asked for."
)

// createOrder checks an order, hands it on and waits for its outcome.
func (h *APIHandler) createOrder(w http.ResponseWriter, r *http.Request, from shop) error {
	raw, err := httpedge.ReadJSON(w, r, maxOrderBytes, "an order")
	if err != nil {
		return err
	}
	order, err := parseOrder(raw, from.Merchant, h.Now())
	if err != nil {
		return err
	}
	c, err := h.newCommand(r, from, pay.CommandOrderCreate)
	if err != nil {
		return err
	}
	if c.Body, err = order.body(c.ReceivedAt); err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	c.OutTradeNo, c.Digest, c.Deadline = order.OutTradeNo, order.digest(from.MchID), c.ReceivedAt.Add(commandLifetime)
	return h.submit(w, r, errand{command: c, made: "/v1/orders/" + url.PathEscape(string(c.OutTradeNo)), repeat: repeatOrder})
}

// closeOrder asks for an order's end before it runs out. The command has no
// deadline: an order that nobody is to pay any more is closed, however late.
func (h *APIHandler) closeOrder(w http.ResponseWriter, r *http.Request, from shop) error {
	no, err := pathOutTradeNo(r)
	if err != nil {
		return err
	}
	if err := httpedge.ReadNothing(w, r); err != nil {
		return err
	}
	c, err := h.newCommand(r, from, pay.CommandOrderClose)
	if err != nil {
		return err
	}
	if c.Body, err = request.CloseBody(nil); err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	c.OutTradeNo, c.Digest = no, request.CloseDigest(from.MchID, no)
	return h.submit(w, r, errand{command: c, repeat: repeatClose})
}
