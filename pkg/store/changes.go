package store

import (
	"github.com/fenflow/fenflow/pkg/pay"
)

// historyColumns are the lines of history that a batch wrote.
type historyColumns struct {
	mchid, outTradeNo, what, source, from, to, transactionID, deliveryID, keyID, detail texts
	outRefundNo, refundFrom, refundTo                                                   texts
	sequence                                                                            integers
	at                                                                                  instants
}

// add takes the id under which the delivery is archived; empty: there is none.
func (c *historyColumns) add(h pay.HistoryEntry, deliveryID string) {
	c.mchid = append(c.mchid, string(h.MchID))
	c.outTradeNo = append(c.outTradeNo, string(h.OutTradeNo))
	c.sequence = append(c.sequence, h.Sequence)
	c.what = append(c.what, h.What)
	c.source = append(c.source, string(h.Source))
	c.from = append(c.from, string(h.From))
	c.to = append(c.to, string(h.To))
	c.transactionID = append(c.transactionID, string(h.TransactionID))
	c.deliveryID = append(c.deliveryID, deliveryID)
	c.keyID = append(c.keyID, h.KeyID)
	c.detail = append(c.detail, legible(h.Detail))
	c.at = append(c.at, h.At)
	c.outRefundNo = append(c.outRefundNo, string(h.OutRefundNo))
	c.refundFrom = append(c.refundFrom, string(h.RefundFrom))
	c.refundTo = append(c.refundTo, string(h.RefundTo))
}

func (c *historyColumns) args() []any {
	return []any{
		c.mchid, c.outTradeNo, c.sequence, c.what, c.source, c.from, c.to, c.transactionID, c.deliveryID, c.keyID, c.detail, c.at,
		c.outRefundNo, c.refundFrom, c.refundTo,
	}
}

// outboxColumns are the events that a batch caused.
type outboxColumns struct {
	eventID                          uuids
	mchid, outTradeNo, fact, payload texts
}

func (c *outboxColumns) add(e pay.Outgoing) {
	c.eventID = append(c.eventID, e.EventID)
	c.mchid = append(c.mchid, string(e.MchID))
	c.outTradeNo = append(c.outTradeNo, string(e.OutTradeNo))
	c.fact = append(c.fact, string(e.Fact))
	c.payload = append(c.payload, string(e.Payload))
}

func (c *outboxColumns) args() []any {
	return []any{c.eventID, c.mchid, c.outTradeNo, c.fact, c.payload}
}

// anomalyColumns are the anomalies that a batch found.
type anomalyColumns struct {
	mchid, transactionID, kind, outRefundNo, outTradeNo, policy, state texts
	expected, actual                                                   integers
	observedAt                                                         instants
}

func (c *anomalyColumns) add(a *pay.Anomaly) {
	c.mchid = append(c.mchid, string(a.MchID))
	c.transactionID = append(c.transactionID, string(a.TransactionID))
	c.kind = append(c.kind, string(a.Kind))
	c.outRefundNo = append(c.outRefundNo, string(a.OutRefundNo))
	c.outTradeNo = append(c.outTradeNo, string(a.OutTradeNo))
	c.policy = append(c.policy, string(a.Policy))
	c.state = append(c.state, string(a.State))
	c.expected = append(c.expected, int64(a.ExpectedFen))
	c.actual = append(c.actual, int64(a.ActualFen))
	c.observedAt = append(c.observedAt, a.ObservedAt)
}

func (c *anomalyColumns) args() []any {
	return []any{
		c.mchid, c.transactionID, c.kind, c.outTradeNo, c.policy, c.state, c.expected, c.actual, c.observedAt, c.outRefundNo,
	}
}
