package operator

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

type anomalyStory struct {
	Anomaly anomalyDocument  `json:"anomaly"`
	Order   orderDocument    `json:"order"`
	Payment paymentDocument  `json:"payment"`
	Refunds []refundDocument `json:"refunds"`
	Accept  anomalyChoice    `json:"accept"`
	Refund  anomalyChoice    `json:"refund"`
}

// anomalyChoice is what a decision would do if it were taken now.
type anomalyChoice struct {
	Possible    bool   `json:"possible"`
	OrderPaid   bool   `json:"order_paid"`
	OutRefundNo string `json:"out_refund_no,omitempty"`
	RefundFen   int64  `json:"refund_fen,omitempty"`
	Detail      string `json:"detail"`
}

func (a *API) anomaly(w http.ResponseWriter, c *call) error {
	which := c.namedAnomaly()
	which.kind, which.refundNo = c.query.anomalyKind(), c.query.number("out_refund_no")
	if err := c.query.done(); err != nil {
		return err
	}
	named, err := a.findAnomaly(w, c, which)
	if err != nil {
		return err
	}
	story, there, err := a.Books.Story(c.Context(), named.MchID, named.OutTradeNo)
	switch {
	case err != nil:
		return fmt.Errorf("read story: %w", err)
	case !there:
		return problem.New(problem.UnknownAnomaly, "the order was there a moment ago, and is not now")
	}
	return a.answerAnomaly(w, named, story)
}

// answerAnomaly shows the anomaly as the story has it, all of one moment.
func (a *API) answerAnomaly(w http.ResponseWriter, named pay.Anomaly, s pay.Story) error {
	document := anomalyStory{Order: orderOf(s.Order), Refunds: []refundDocument{}}
	for _, one := range s.Anomalies {
		if one.TransactionID == named.TransactionID && one.Kind == named.Kind && one.OutRefundNo == named.OutRefundNo {
			named = one
			document.Anomaly = anomalyOf(one)
		}
	}
	for _, p := range s.Payments {
		if p.TransactionID == named.TransactionID {
			document.Payment = paymentOf(p)
		}
	}
	if document.Anomaly.Kind == "" || document.Payment.TransactionID == "" {
		return problem.Wrap(problem.Internal, errors.New("the story of an anomaly has no payment of it"), "")
	}
	for _, r := range s.Refunds {
		if r.TransactionID == named.TransactionID {
			document.Refunds = append(document.Refunds, refundOf(r))
		}
	}
	document.Accept, document.Refund = a.choice(s, named, pay.DecideAccept), a.choice(s, named, pay.DecideRefund)
	return answer(w, document)
}

// choice tries a decision on a copy of the books: the rules themselves say what
// it would do.
func (a *API) choice(s pay.Story, of pay.Anomaly, d pay.Decision) anomalyChoice {
	change := s.Book().Apply(pay.Observation{
		Kind: pay.ObservedDecision, Source: pay.SourceOperator, ObservedAt: a.Now(), MchID: of.MchID, OutTradeNo: of.OutTradeNo,
		TransactionID: of.TransactionID, AnomalyKind: of.Kind, OutRefundNo: of.OutRefundNo, Decision: d,
	}, pay.Policies{})
	if change.Refusal != nil {
		return anomalyChoice{Detail: change.Refusal.Detail}
	}
	would := anomalyChoice{Possible: true}
	for _, e := range change.Events {
		would.OrderPaid = would.OrderPaid || e.Fact == pay.FactOrderPaid
	}
	r := change.NewRefund
	if r != nil {
		would.OutRefundNo, would.RefundFen = string(r.OutRefundNo), int64(r.Amount)
	}
	switch {
	case r != nil:
		would.Detail = fmt.Sprintf("%d fen go back to the buyer, by refund %s", r.Amount, r.OutRefundNo)
	case change.Refund != nil:
		would.Detail = fmt.Sprintf("nothing more: refund %s is %s", change.Refund.OutRefundNo, change.Refund.State)
	case !change.Touched:
		would.Detail = fmt.Sprintf("nothing more: it is %s", of.State)
	case would.OrderPaid:
		would.Detail = fmt.Sprintf("order %s becomes paid by it, and order.paid is told: deliver", of.OutTradeNo)
	case of.Kind == pay.AnomalyRefundOverrun:
		would.Detail = "the anomaly is closed; what went back is booked already"
	default:
		would.Detail = fmt.Sprintf("the anomaly is closed and the money kept; payment %s paid order %s, and nothing is delivered for this one", s.Order.TransactionID, of.OutTradeNo)
	}
	return would
}
