package pay

import (
	"fmt"
	"time"
)

// applyRefundRequest takes a wish to give money back: the guard against giving
// back more than came in. WeChat is not asked here; it hears of the refund once
// this is on disk.
func (b *Book) applyRefundRequest(obs Observation) Change {
	if known := b.Refunds[obs.OutRefundNo]; known != nil {
		if known.Digest != obs.Digest || known.Origin == RefundByPlatform {
			return refuse(RefusedNumberTaken, "out_refund_no %s is taken by another refund", obs.OutRefundNo)
		}
		return Change{Refund: known}
	}
	payment, known := b.Payments[obs.TransactionID]
	left := payment.Amount - payment.Refunded - payment.Reserved
	switch {
	case !known:
		return refuse(RefusedUnknownPayment, "order %s has no payment %s", obs.OutTradeNo, obs.TransactionID)
	case obs.RefundAmount <= 0 || obs.RefundAmount > left:
		return refuse(RefusedTooMuch, "%d fen were asked for, and %d of %d are left: %d are refunded, %d are on their way",
			obs.RefundAmount, max(left, 0), payment.Amount, payment.Refunded, payment.Reserved)
	case b.countRefunds(obs.TransactionID) >= MaxRefundsOfPayment:
		return refuse(RefusedTooMany, "payment %s has %d refunds, and WeChat Pay takes no more", obs.TransactionID, MaxRefundsOfPayment)
	case obs.ObservedAt.Sub(payment.PaidAt) > RefundableFor:
		return refuse(RefusedTooLate, "payment %s is of %s, and WeChat Pay gives back for a year", obs.TransactionID, payment.PaidAt.Format(time.DateOnly))
	}
	var c Change
	b.openRefund(&c, obs, Refund{
		Origin: obs.Origin, Digest: obs.Digest, Reason: obs.Reason, State: RefundRequested,
		NextCheckAt: obs.ObservedAt, CheckAPI: firstCall(obs),
	})
	b.audit(&c, obs, "refund.create", c.NewRefund, map[string]any{"buyer_reason": obs.Reason})
	return c
}

// firstCall is what a new refund begins with: it is sent, or asked about where
// it may have been sent before.
func firstCall(obs Observation) API {
	if obs.AskFirst {
		return APIRefundQuery
	}
	return APIRefund
}

// countRefunds counts what WeChat counts: those it may ever have accepted.
func (b *Book) countRefunds(id TransactionID) int {
	n := 0
	for _, r := range b.Refunds {
		if r.TransactionID == id && r.State != RefundFailed {
			n++
		}
	}
	return n
}

// openRefund puts a new refund into the book and sets its money aside.
func (b *Book) openRefund(c *Change, obs Observation, r Refund) {
	r.MchID, r.OutTradeNo, r.OutRefundNo, r.TransactionID = obs.MchID, obs.OutTradeNo, obs.OutRefundNo, obs.TransactionID
	r.Amount, r.Currency, r.RefundID = obs.RefundAmount, obs.Currency, obs.RefundID
	if r.Currency == "" {
		r.Currency = b.Payments[r.TransactionID].Currency
	}
	if r.Funds == "" {
		r.Funds = FundsDefault
		if b.funds == FundsAvailable && r.Origin != RefundByPlatform {
			r.Funds = FundsAvailable
		}
	}
	r.CreatedAt = obs.ObservedAt
	refund := &r
	if b.Refunds == nil {
		b.Refunds = map[OutRefundNo]*Refund{}
	}
	b.Refunds[r.OutRefundNo] = refund
	b.reserve(c, obs, refund)
	b.noteRefund(c, obs, refund, "")
	if r.State == RefundRequested {
		b.tellRefund(c, FactRefundRequested, obs.ObservedAt, refund)
	}
	c.NewRefund = refund
}

// applyRefund books where WeChat sees a refund, ours or one that somebody made
// elsewhere. What WeChat reports is always booked, whatever we thought possible.
func (b *Book) applyRefund(obs Observation) Change {
	if _, known := b.Payments[obs.TransactionID]; !known {
		return Change{CheckNow: true, Letter: &LetterCause{Reason: LetterUnknownOrder,
			Detail: fmt.Sprintf("refund %s gives back payment %s of order %s, which is not known yet", obs.OutRefundNo, obs.TransactionID, obs.OutTradeNo)}}
	}
	r := b.Refunds[obs.OutRefundNo]
	if cause := refundMismatch(r, obs); cause != nil {
		return Change{Letter: cause}
	}
	var c Change
	if r == nil {
		b.openRefund(&c, obs, Refund{Origin: RefundByPlatform, State: RefundProcessing, NextCheckAt: obs.ObservedAt, CheckAPI: APIRefundQuery})
		r = c.NewRefund
	}
	if obs.RefundState == RefundProcessing {
		b.accept(&c, obs, r)
	} else {
		b.resolve(&c, obs, r)
	}
	c.Refund = r
	return c
}

// refundMismatch refuses what contradicts the refund that we know under this
// number: another payment, another amount, or another end than WeChat gave
// before. A number can be used once; somebody uses this one elsewhere.
func refundMismatch(r *Refund, obs Observation) *LetterCause {
	mismatch := func(field string, got, want any) *LetterCause {
		return &LetterCause{Reason: LetterMismatch, Detail: fmt.Sprintf("%s of refund %s is %v, ours is %v", field, obs.OutRefundNo, got, want)}
	}
	switch {
	case obs.RefundAmount <= 0:
		return &LetterCause{Reason: LetterMalformed, Detail: fmt.Sprintf("refund %s of %d fen", obs.OutRefundNo, obs.RefundAmount)}
	case r == nil:
		return nil
	case r.TransactionID != obs.TransactionID:
		return mismatch("transaction_id", obs.TransactionID, r.TransactionID)
	case r.Amount != obs.RefundAmount:
		return mismatch("amount", obs.RefundAmount, r.Amount)
	case r.RefundID != "" && obs.RefundID != "" && r.RefundID != obs.RefundID:
		return mismatch("refund_id", obs.RefundID, r.RefundID)
	case r.State == RefundClosed && obs.RefundState == RefundSucceeded:
		return mismatch("status", obs.RefundState, r.State)
	}
	return nil
}

// accept: WeChat has the refund. What is resolved stays so: this word may be
// older than the one that resolved it. An abnormal refund goes on only by the
// answer to the call that drives it on, for the same reason.
func (b *Book) accept(c *Change, obs Observation, r *Refund) {
	switch {
	case r.State == RefundRequested, r.State == RefundFailed, r.State == RefundAbnormal && obs.DrivenOn:
		b.moveRefund(c, obs, r, RefundProcessing)
	}
}

// resolve: WeChat says how the refund ended.
func (b *Book) resolve(c *Change, obs Observation, r *Refund) {
	switch {
	case r.State == RefundSucceeded, r.State == RefundClosed, r.State == obs.RefundState:
		return
	case r.State == RefundFailed && obs.RefundState == RefundClosed:
		return // no money moved, and none is set aside
	case obs.RefundState == RefundAbnormal && r.AbnormalRounds > 0 && obs.Source == SourceNotification:
		return // it was driven on since, and a notice may be repeated for a day: the next query tells
	case obs.RefundState == RefundAbnormal && r.AbnormalRounds > 0 && obs.ObservedAt.Before(r.UpdatedAt):
		return // said before it was driven on
	}
	if r.State != RefundProcessing {
		b.moveRefund(c, obs, r, RefundProcessing)
	}
	b.moveRefund(c, obs, r, obs.RefundState)
}

// applyRefundMissing: WeChat has no such refund. Whether that is the end of it
// is MayFail's rule; if not, the same bytes are sent again. That we had told
// subscribers of its end says that the rule held.
func (b *Book) applyRefundMissing(obs Observation) Change {
	r := b.Refunds[obs.OutRefundNo]
	if obs.Source == SourceOperator {
		return b.giveUp(obs, r)
	}
	if r == nil || r.State != RefundRequested || obs.Source != SourceEvent && !MayFail(b.Attempts[obs.OutRefundNo], obs.AskedAt, obs.Quarantine) {
		return Change{Refund: r}
	}
	var c Change
	r.FailureCode, r.FailureReason = obs.Code, obs.Reason
	b.moveRefund(&c, obs, r, RefundFailed)
	c.Refund = r
	return c
}

// moveRefund takes one step of the table, with its money, history and event.
func (b *Book) moveRefund(c *Change, obs Observation, r *Refund, to RefundState) {
	from := r.State
	if !CanMoveRefund(from, to) {
		panic(fmt.Sprintf("pay: no refund transition from %s to %s", from, to))
	}
	r.State, r.CheckCount = to, 0
	if obs.RefundID != "" && r.RefundID == "" {
		r.RefundID = obs.RefundID
	}
	r.NextCheckAt, r.CheckAPI = time.Time{}, APIRefundQuery
	if to.Unresolved() {
		r.NextCheckAt = obs.ObservedAt
	}
	switch to {
	case RefundSucceeded:
		r.SucceededAt, r.ReceivedAccount = obs.SucceededAt, obs.ReceivedAccount
		if r.SucceededAt.IsZero() {
			r.SucceededAt = obs.ObservedAt
		}
		r.FailureCode, r.FailureReason = "", ""
	case RefundAbnormal:
		r.AbnormalRounds++
	case RefundProcessing:
		r.FailureCode, r.FailureReason = "", ""
	case RefundRequested, RefundClosed, RefundFailed:
	}
	b.moveMoney(c, obs, r, from, to)
	r.Path = append(r.Path, to)
	b.noteRefund(c, obs, r, from)
	if fact, told := refundFacts()[to]; told {
		b.tellRefund(c, fact, obs.ObservedAt, r)
	}
}

func refundFacts() map[RefundState]Fact {
	return map[RefundState]Fact{
		RefundSucceeded: FactRefundSucceeded, RefundClosed: FactRefundClosed,
		RefundAbnormal: FactRefundAbnormal, RefundFailed: FactRefundFailed,
	}
}

// moveMoney keeps the payment's sums equal to those over its refunds.
func (b *Book) moveMoney(c *Change, obs Observation, r *Refund, from, to RefundState) {
	if !from.holds() && to.holds() { // accepted after we had given it up
		b.reserve(c, obs, r)
		return
	}
	if to.holds() {
		return
	}
	p := b.Payments[r.TransactionID]
	p.Reserved -= r.Amount
	if to == RefundSucceeded {
		p.Refunded += r.Amount
	}
	p.Overrun = max(p.Refunded+p.Reserved-p.Amount, 0)
	b.Payments[r.TransactionID] = p
	if to == RefundSucceeded && p.Refunded >= p.Amount {
		b.givenBack(c, obs, r.TransactionID)
	}
}

// givenBack: all of a payment is back with the buyer. Money that did not fit
// needs nobody's decision any more (that more went back than came in still
// does), and an order without any money is asked about at once: it may end now.
func (b *Book) givenBack(c *Change, obs Observation, id TransactionID) {
	for _, a := range b.Anomalies {
		if a.TransactionID != id || a.State != AnomalyOpen || a.Kind == AnomalyRefundOverrun {
			continue
		}
		a.State = AnomalyRefunded
		if a.Decision == "" {
			a.DecidedAt = obs.ObservedAt
		}
		c.Decided = append(c.Decided, a)
	}
	if o := b.Order; o.State.Open() && !b.holdsMoney() && obs.ObservedAt.Before(o.NextCheckAt) {
		o.NextCheckAt, o.CheckAPI = obs.ObservedAt, APIOrderQuery
	}
}

// reserve sets a refund's money aside. Beyond the payment's amount, which only
// WeChat's own word can ask for, the rest is an overrun and an anomaly.
func (b *Book) reserve(c *Change, obs Observation, r *Refund) {
	p := b.Payments[r.TransactionID]
	p.Reserved += r.Amount
	over := max(p.Refunded+p.Reserved-p.Amount, 0)
	grown := over > p.Overrun
	p.Overrun = over
	b.Payments[r.TransactionID] = p
	if !grown || obs.RefundState == RefundClosed { // learned of when it was over: no money leaves
		return
	}
	a := Anomaly{
		Kind: AnomalyRefundOverrun, MchID: r.MchID, OutTradeNo: r.OutTradeNo, TransactionID: r.TransactionID, OutRefundNo: r.OutRefundNo,
		Policy: PolicyHold, State: AnomalyOpen, ExpectedFen: p.Amount, ActualFen: p.Refunded + p.Reserved, ObservedAt: obs.ObservedAt,
	}
	b.Anomalies = append(b.Anomalies, &a)
	c.Anomalies = append(c.Anomalies, a)
	b.note(c, b.entry(obs, string(a.Kind), b.Order.State, fmt.Sprintf("refunds of %d fen for a payment of %d", a.ActualFen, a.ExpectedFen)))
	b.tellAnomaly(c, obs.ObservedAt, a)
}

func (b *Book) noteRefund(c *Change, obs Observation, r *Refund, from RefundState) {
	h := b.entry(obs, "refund_"+string(r.State), b.Order.State, obs.Code)
	h.TransactionID, h.OutRefundNo, h.RefundFrom, h.RefundTo = r.TransactionID, r.OutRefundNo, from, r.State
	b.note(c, h)
	r.Sequence, r.UpdatedAt = b.Order.Sequence, obs.ObservedAt
}

func (b *Book) tellRefund(c *Change, fact Fact, at time.Time, r *Refund) {
	refund := *r
	c.Events = append(c.Events, Event{Fact: fact, At: at, Order: *b.Order, Refund: &refund})
}

// autoRefund makes the one refund that a policy wants for an anomalous payment.
func (b *Book) autoRefund(c *Change, obs Observation, a Anomaly) {
	wish := obs
	wish.Kind, wish.Source, wish.Origin = ObservedRefundRequested, SourcePolicy, RefundByPolicy
	wish.OutRefundNo, wish.RefundAmount = AutoRefundNo(obs.TransactionID), obs.Amount
	wish.Digest, wish.Reason, wish.KeyID = string(a.Kind), "", ""
	if b.Refunds[wish.OutRefundNo] != nil {
		return // somebody took the number: the anomaly stays open for a person
	}
	b.openRefund(c, wish, Refund{
		Origin: RefundByPolicy, Digest: wish.Digest, State: RefundRequested, NextCheckAt: obs.ObservedAt, CheckAPI: firstCall(obs),
	})
}
