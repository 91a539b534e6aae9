package ingest

import (
	"net/http"
	"net/url"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/request"
)

// maxRefundBytes: a refund has at most ~250 characters of content.
const maxRefundBytes = 8 << 10

const repeatRefund = "Repeat the same request with the same out_refund_no: the same number with the same body is the same refund, so the money cannot go back twice. Never take a new number for it."

// createRefund checks a refund, hands it on and waits until it is on disk.
// WeChat Pay hears of it after that; how it ends is an event. The command has
// no deadline: a refund that was asked for is recorded, however late.
func (h *APIHandler) createRefund(w http.ResponseWriter, r *http.Request, from shop) error {
	raw, err := httpedge.ReadJSON(w, r, maxRefundBytes, "a refund")
	if err != nil {
		return err
	}
	refund, err := request.ParseRefund(raw)
	if err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	c, err := h.newCommand(r, from, pay.CommandRefundCreate)
	if err != nil {
		return err
	}
	if c.Body, err = refund.Body(nil); err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	c.OutRefundNo, c.OutTradeNo, c.Digest = refund.OutRefundNo, refund.OutTradeNo, refund.Digest(from.MchID)
	return h.submit(w, r, errand{command: c, made: "/v1/refunds/" + url.PathEscape(string(c.OutRefundNo)), repeat: repeatRefund})
}
