package pay

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// applyDecision takes an operator's word about money that does not fit. The
// first word stands: a repeat of it changes nothing, and the opposite is refused
// with who said what and when.
func (b *Book) applyDecision(obs Observation) Change {
	a := b.anomalyNamed(obs)
	switch {
	case a == nil:
		return refuse(RefusedUnknownAnomaly, "payment %s of order %s has no anomaly %s", obs.TransactionID, obs.OutTradeNo, obs.AnomalyKind)
	case obs.Decision == DecideAccept:
		return b.acceptMoney(obs, a)
	case obs.Decision == DecideRefund:
		return b.returnMoney(obs, a)
	}
	return refuse(RefusedDecided, "%q is no decision", obs.Decision)
}

func (b *Book) anomalyNamed(obs Observation) *Anomaly {
	for _, a := range b.Anomalies {
		if a.TransactionID == obs.TransactionID && a.Kind == obs.AnomalyKind && a.OutRefundNo == obs.OutRefundNo {
			return a
		}
	}
	return nil
}

// acceptMoney: the money stays. It pays the order if nothing else did; where
// other money did, it is kept, and nothing is delivered for it.
func (b *Book) acceptMoney(obs Observation, a *Anomaly) Change {
	switch a.State {
	case AnomalyAccepted:
		return Change{Anomaly: a}
	case AnomalyRefunded:
		return refuse(RefusedDecided, "%s", a.outcome())
	case AnomalyOpen:
	}
	delivers := a.Kind != AnomalyRefundOverrun && b.Order.State != OrderPaid
	if why := b.whyNotKept(a, delivers); why != "" {
		return refuse(RefusedMoneyLeaves, "%s", why)
	}
	c := Change{Anomaly: a}
	b.decide(&c, obs, a, AnomalyAccepted)
	b.tellAnomaly(&c, obs.ObservedAt, *a, string(DecideAccept))
	if delivers {
		paid, from := obs, b.Order.State
		paid.Kind, paid.PaidAt = ObservedPaid, b.Payments[a.TransactionID].PaidAt
		b.pay(&c, paid, from == OrderClosed || from == OrderFailed)
	}
	return c
}

// whyNotKept says what keeps money from being accepted: some of it may be on
// its way back, and an order is not delivered for less than its price because
// part of the money was given back. (That less came in is what the operator was
// asked about.)
func (b *Book) whyNotKept(a *Anomaly, delivers bool) string {
	p := b.Payments[a.TransactionID]
	switch left := p.Amount - p.Refunded; {
	case a.Kind == AnomalyRefundOverrun:
		return ""
	case p.Reserved > 0:
		r := b.refundsThatHold(a.TransactionID)[0]
		return fmt.Sprintf("%d of %d fen are on their way back: refund %s is %s", p.Reserved, p.Amount, r.OutRefundNo, r.State)
	case left <= 0, delivers && p.Refunded > 0 && left < b.Order.Amount:
		return fmt.Sprintf("%d of %d fen went back already, and order %s costs %d", p.Refunded, p.Amount, b.Order.OutTradeNo, b.Order.Amount)
	}
	return ""
}

// refundsThatHold are the refunds of a payment whose money is set aside, by number.
func (b *Book) refundsThatHold(id TransactionID) []*Refund {
	var all []*Refund
	for _, r := range b.Refunds {
		if r.TransactionID == id && r.State.holds() {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(x, y *Refund) int { return cmp.Compare(x.OutRefundNo, y.OutRefundNo) })
	return all
}

// returnMoney: whatever is left of the payment goes back, under a number that
// the policy would have taken. So the two can never both give it back.
func (b *Book) returnMoney(obs Observation, a *Anomaly) Change {
	switch {
	case a.Kind == AnomalyRefundOverrun:
		return refuse(RefusedNoRefund, "refund %s gave back more than came in: nothing is left of payment %s", a.OutRefundNo, a.TransactionID)
	case a.State == AnomalyAccepted:
		return refuse(RefusedDecided, "%s", a.outcome())
	case a.State == AnomalyRefunded:
		return Change{Anomaly: a}
	}
	p := b.Payments[a.TransactionID]
	left := p.Amount - p.Refunded - p.Reserved
	if left <= 0 {
		return b.nothingLeft(a, p)
	}
	no, free := b.ownRefundNo(a.TransactionID)
	switch {
	case !free, b.countRefunds(a.TransactionID) >= MaxRefundsOfPayment:
		return refuse(RefusedTooMany, "refunds of payment %s came to nothing too often; ask for one under a number of your own", a.TransactionID)
	case obs.ObservedAt.Sub(p.PaidAt) > RefundableFor:
		return refuse(RefusedTooLate, "payment %s is of %s, and WeChat Pay gives back for a year", a.TransactionID, p.PaidAt.Format(time.DateOnly))
	}
	c := Change{Anomaly: a}
	b.decide(&c, obs, a, AnomalyOpen)
	b.tellAnomaly(&c, obs.ObservedAt, *a, string(DecideRefund), string(no))
	wish := obs
	wish.OutRefundNo, wish.RefundAmount, wish.Currency, wish.Reason = no, left, p.Currency, ""
	b.openRefund(&c, wish, Refund{
		Origin: RefundByOperator, Digest: string(a.Kind), State: RefundRequested, NextCheckAt: obs.ObservedAt, CheckAPI: APIRefund,
	})
	c.Refund = c.NewRefund
	return c
}

// nothingLeft: where a refund of fenflow's own has the money, the wish is granted
// already; where others have it, it is for them to end.
func (b *Book) nothingLeft(a *Anomaly, p Payment) Change {
	own := OwnRefundNos(a.TransactionID)
	for _, r := range b.refundsThatHold(a.TransactionID) {
		if slices.Contains(own, r.OutRefundNo) && r.Origin != RefundByPlatform {
			return Change{Anomaly: a, Refund: r}
		}
	}
	return refuse(RefusedTooMuch, "nothing is left of payment %s: of %d fen, %d went back and %d are on their way", p.TransactionID, p.Amount, p.Refunded, p.Reserved)
}

// ownRefundNo is the first number of fenflow's own that nobody has used.
func (b *Book) ownRefundNo(id TransactionID) (OutRefundNo, bool) {
	for _, no := range OwnRefundNos(id) {
		if b.Refunds[no] == nil {
			return no, true
		}
	}
	return "", false
}

// decide writes down who decided what.
func (b *Book) decide(c *Change, obs Observation, a *Anomaly, state AnomalyState) {
	a.State, a.Decision, a.DecidedBy, a.DecisionReason, a.DecidedAt = state, obs.Decision, obs.Actor, obs.Reason, obs.ObservedAt
	c.Decided = append(c.Decided, a)
	b.note(c, b.entry(obs, "decision_"+string(obs.Decision), b.Order.State, fmt.Sprintf("%s, by %s: %s", a.Kind, obs.Actor, obs.Reason)))
}

// outcome says what became of an anomaly, for people.
func (a *Anomaly) outcome() string {
	at := a.DecidedAt.UTC().Format(time.RFC3339)
	switch {
	case a.Decision == "":
		return fmt.Sprintf("all of payment %s was given back by %s", a.TransactionID, at)
	case a.DecisionReason == "":
		return fmt.Sprintf("%s of payment %s was decided by %s on %s: %s", a.Kind, a.TransactionID, a.DecidedBy, at, a.Decision)
	}
	return fmt.Sprintf("%s of payment %s was decided by %s on %s: %s (%s)", a.Kind, a.TransactionID, a.DecidedBy, at, a.Decision, a.DecisionReason)
}
