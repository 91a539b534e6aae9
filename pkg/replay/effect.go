package replay

import (
	"github.com/fenflow/fenflow/pkg/pay"
)

func effectOf(e *pay.Effect) effect {
	d := effect{
		DeliveryID: e.Delivery, MchID: e.MchID, Kind: e.Kind, Outcome: e.Outcome, Order: orderOf(e.Order),
		Wakes: e.Wakes, AsksOrder: e.AsksOrder, AsksRefund: e.AsksRefund,
	}
	if e.Cause != nil {
		d.Reason, d.Detail = string(e.Cause.Reason), e.Cause.Detail
	}
	if e.Letter != nil {
		d.Letter = &letter{e.Letter.StateWas, e.Letter.StateIsNow}
	}
	for _, h := range e.History {
		d.History = append(d.History, line{h.Sequence, h.What, h.From, h.To, h.TransactionID, h.OutRefundNo, h.RefundFrom, h.RefundTo, h.Detail})
	}
	for _, p := range e.Payments {
		d.Payments = append(d.Payments, payment{p.New, p.TransactionID, p.Amount, p.Refunded, p.Reserved, p.Overrun, p.PaidAt})
	}
	for _, a := range e.Anomalies {
		d.Anomalies = append(d.Anomalies, anomaly{a.New, a.Kind, a.TransactionID, a.OutRefundNo, a.Policy, a.State, a.ExpectedFen, a.ActualFen})
	}
	for _, r := range e.Refunds {
		d.Refunds = append(d.Refunds, refund{r.StateWas == "", r.OutRefundNo, r.TransactionID, r.Amount, r.Origin, r.StateWas, r.State})
	}
	for _, v := range e.Events {
		d.Events = append(d.Events, event{v.EventID, v.Fact, v.Sequence})
	}
	return d
}

func orderOf(o *pay.OrderEffect) *order {
	if o == nil {
		return nil
	}
	d := &order{MchID: o.MchID, OutTradeNo: o.OutTradeNo}
	if o.Known {
		d.Sequence, d.SequenceAfter = &o.SequenceWas, &o.SequenceIsNow
		d.State, d.StateAfter = o.StateWas, o.StateIsNow
	}
	return d
}
