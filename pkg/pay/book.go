package pay

import (
	"fmt"
	"time"
)

// Book is everything our tables hold about one order number, held under its
// row lock while observations are applied.
type Book struct {
	Order    *Order // nil: we have no such order
	Payments map[TransactionID]Payment
	Refunds  map[OutRefundNo]*Refund
	Attempts map[OutRefundNo][]Attempt // of refunds whose failure is to be judged

	Anomalies []*Anomaly // money that did not fit: needed where a decision or a refund is applied

	funds string // where refunds take their money; from the policies of the call
}

// Change is what one observation did to a book. The zero value is "nothing".
type Change struct {
	Letter    *LetterCause // it could not be settled; nothing else but CheckNow is set
	Refusal   *Refusal     // a wish was not granted; nothing else is set
	History   []HistoryEntry
	Payment   *Payment   // a new one
	Anomalies []Anomaly  // new ones
	Decided   []*Anomaly // those that this change decided, or whose money is all back now
	Anomaly   *Anomaly   // what a decision was about, as it stands now
	NewRefund *Refund    // put into the book by this change; it may move on
	Refund    *Refund    // what the observation was about, as it stands now
	Events    []Event
	Audits    []AuditEntry // of what a person did
	Touched   bool         // the order's row differs from before
	Notified  bool         // a known payment was told of by WeChat itself for the first time
	CheckNow  bool         // WeChat is to be asked about the order at once
}

// Outcome names what the change amounts to.
func (c Change) Outcome() Outcome {
	switch {
	case c.Letter != nil:
		return OutcomeLettered
	case c.Touched:
		return OutcomeApplied
	default:
		return OutcomeUnchanged
	}
}

// NewOrder opens the book of an order: its first history entry and event.
func NewOrder(o Order, by Source) (*Book, Change) {
	o.State, o.Sequence = OrderCreated, 0
	book := &Book{Order: &o, Payments: map[TransactionID]Payment{}}
	var c Change
	book.note(&c, HistoryEntry{What: "created", Source: by, From: OrderCreated, To: OrderCreated, At: o.CreatedAt})
	book.tell(&c, FactOrderCreated, o.CreatedAt)
	return book, c
}

// Apply decides what an observation means for this book and applies it.
//
// It is the only code that moves an order. It is pure: the same book and
// observation give the same change, and applying an observation a second time
// changes nothing.
func (b *Book) Apply(obs Observation, policies Policies) Change {
	b.funds = policies.RefundFunds
	if b.Order == nil {
		return b.applyUnknown(obs)
	}
	if cause := b.crossCheck(obs); cause != nil {
		return Change{Letter: cause}
	}
	switch obs.Kind {
	case ObservedPaid:
		return b.applyPaid(obs, policies)
	case ObservedClosed:
		return b.applyClosed(obs)
	case ObservedPrepared:
		return b.applyPrepared(obs)
	case ObservedRefused:
		return b.applyRefused(obs)
	case ObservedRefundRequested:
		return b.applyRefundRequest(obs)
	case ObservedRefund:
		return b.applyRefund(obs)
	case ObservedRefundMissing:
		return b.applyRefundMissing(obs)
	case ObservedDecision:
		return b.applyDecision(obs)
	case ObservedOpen:
	}
	return Change{}
}

// applyUnknown: money for a number that we do not know must be kept; anything
// else about it tells us nothing.
func (b *Book) applyUnknown(obs Observation) Change {
	switch obs.Kind {
	case ObservedPaid:
	case ObservedRefundRequested:
		return refuse(RefusedUnknownPayment, "there is no order %s", obs.OutTradeNo)
	case ObservedDecision:
		return refuse(RefusedUnknownAnomaly, "there is no order %s", obs.OutTradeNo)
	case ObservedRefund:
		return Change{Letter: &LetterCause{Reason: LetterUnknownOrder, Detail: fmt.Sprintf("refund %s of %d fen is for order %s, which is not known yet", obs.OutRefundNo, obs.RefundAmount, obs.OutTradeNo)}}
	case ObservedOpen, ObservedClosed, ObservedPrepared, ObservedRefused, ObservedRefundMissing:
		return Change{}
	}
	return Change{Letter: &LetterCause{Reason: LetterUnknownOrder, Detail: fmt.Sprintf("payment %s of %d fen is for order %s, which is not known yet", obs.TransactionID, obs.Amount, obs.OutTradeNo)}}
}

// crossCheck refuses what cannot be about this order at all. A wrong amount
// is not among it: that is money, and becomes an anomaly.
func (b *Book) crossCheck(obs Observation) *LetterCause {
	o := b.Order
	mismatch := func(field string, got, want any) *LetterCause {
		return &LetterCause{Reason: LetterMismatch, Detail: fmt.Sprintf("%s is %v, the order's is %v", field, got, want)}
	}
	switch {
	case obs.MchID != o.MchID:
		return mismatch("mchid", obs.MchID, o.MchID)
	case obs.OutTradeNo != o.OutTradeNo:
		return mismatch("out_trade_no", obs.OutTradeNo, o.OutTradeNo)
	case obs.Kind != ObservedPaid:
		return nil
	case obs.AppID != o.AppID:
		return mismatch("appid", obs.AppID, o.AppID)
	case obs.Currency != o.Currency:
		return mismatch("currency", obs.Currency, o.Currency)
	case obs.TransactionID == "":
		return &LetterCause{Reason: LetterMalformed, Detail: "payment without transaction_id"}
	}
	return nil
}

func (b *Book) applyPaid(obs Observation, policies Policies) Change {
	if known, is := b.Payments[obs.TransactionID]; is {
		return b.confirm(known, obs)
	}
	var c Change
	c.Payment = b.record(obs)
	kind, fits := b.anomalyOf(obs)
	if fits {
		b.pay(&c, obs, false)
		return c
	}
	a := b.anomaly(kind, obs, policies)
	b.Anomalies = append(b.Anomalies, a)
	c.Anomalies = append(c.Anomalies, *a)
	b.note(&c, b.entry(obs, string(kind), b.Order.State, fmt.Sprintf("policy %s: %s", a.Policy, a.State)))
	b.tellAnomaly(&c, obs.ObservedAt, *a)
	switch {
	case a.State == AnomalyAccepted:
		b.pay(&c, obs, kind == AnomalyLatePayment)
	case a.Policy == PolicyRefund:
		b.autoRefund(&c, obs, *a)
	}
	return c
}

// confirm: a payment that we know. That WeChat tells of it by itself is worth
// remembering once: it says whether notifications arrive.
//
// Where WeChat, asked, names a payment for an order that is not paid, and all
// of the order's money went back, nobody can pay the number any more: WeChat
// takes it for paid, and will never call it closed.
func (b *Book) confirm(known Payment, obs Observation) Change {
	if obs.Source == SourceQuery && b.Order.State.Open() && !b.holdsMoney() {
		obs.Kind = ObservedClosed
		return b.close(obs, "all of its money went back")
	}
	if obs.Source != SourceNotification || !known.NotifiedAt.IsZero() {
		return Change{}
	}
	known.NotifiedAt = obs.ObservedAt
	b.Payments[obs.TransactionID] = known
	return Change{Notified: true}
}

// anomalyOf names what is wrong with a payment, the gravest first, or says
// that it fits.
func (b *Book) anomalyOf(obs Observation) (AnomalyKind, bool) {
	switch {
	case b.Order.State == OrderPaid:
		return AnomalyDoublePayment, false
	case obs.Amount != b.Order.Amount:
		return AnomalyAmountMismatch, false
	case b.Order.State == OrderClosed, b.Order.State == OrderFailed:
		return AnomalyLatePayment, false
	}
	return "", true
}

func (b *Book) anomaly(kind AnomalyKind, obs Observation, policies Policies) *Anomaly {
	a := &Anomaly{
		Kind: kind, MchID: obs.MchID, OutTradeNo: obs.OutTradeNo, TransactionID: obs.TransactionID,
		Policy: policies.For(kind), State: AnomalyOpen,
		ExpectedFen: b.Order.Amount, ActualFen: obs.Amount, ObservedAt: obs.ObservedAt,
	}
	// Only late money may be delivered by policy: doubled or wrong money never is.
	if a.Policy == PolicyAccept && kind == AnomalyLatePayment {
		a.State, a.Decision, a.DecidedBy, a.DecidedAt = AnomalyAccepted, DecideAccept, DecidedByPolicy, obs.ObservedAt
	}
	return a
}

func (b *Book) record(obs Observation) *Payment {
	p := Payment{
		MchID: obs.MchID, TransactionID: obs.TransactionID, OutTradeNo: obs.OutTradeNo,
		Amount: obs.Amount, PayerTotal: obs.PayerTotal, Currency: obs.Currency,
		OpenID: obs.OpenID, TradeType: obs.TradeType, BankType: obs.BankType,
		PaidAt: obs.PaidAt, ObservedAt: obs.ObservedAt,
	}
	if obs.Source == SourceNotification {
		p.NotifiedAt = obs.ObservedAt
	}
	b.Payments[obs.TransactionID] = p
	return &p
}

func (b *Book) pay(c *Change, obs Observation, late bool) {
	from := b.Order.State
	b.Order.TransactionID, b.Order.PaidAt, b.Order.Late = obs.TransactionID, obs.PaidAt, late
	b.Order.NextCheckAt = time.Time{}
	b.move(c, obs, OrderPaid, from, "")
	b.tell(c, FactOrderPaid, obs.ObservedAt)
}

func (b *Book) applyClosed(obs Observation) Change {
	// Money that was kept back (a held payment) speaks louder than "closed".
	if !b.Order.State.Open() || b.holdsMoney() {
		return Change{}
	}
	return b.close(obs, "")
}

func (b *Book) close(obs Observation, detail string) Change {
	var c Change
	from := b.Order.State
	b.Order.ClosedAt, b.Order.NextCheckAt = obs.ObservedAt, time.Time{}
	b.move(&c, obs, OrderClosed, from, detail)
	b.tell(&c, FactOrderClosed, obs.ObservedAt)
	return c
}

// holdsMoney says whether some payment of the order has not gone back in full.
func (b *Book) holdsMoney() bool {
	for _, p := range b.Payments {
		if p.Refunded < p.Amount {
			return true
		}
	}
	return false
}

func (b *Book) applyPrepared(obs Observation) Change {
	var c Change
	switch b.Order.State {
	case OrderCreated:
		b.Order.Credential = obs.Credential
		b.move(&c, obs, OrderAwaitingPayment, OrderCreated, "")
		b.tell(&c, FactOrderPrepared, obs.ObservedAt)
	case OrderAwaitingPayment:
		if obs.Credential == b.Order.Credential || obs.Credential.ExpiresAt.Before(b.Order.Credential.ExpiresAt) {
			return c // the same, or one that a later call has put out of use
		}
		b.Order.Credential = obs.Credential
		b.note(&c, b.entry(obs, "renewed", OrderAwaitingPayment, "a fresh credential"))
	case OrderPaid, OrderClosed, OrderFailed: // nothing left to pay
	}
	return c
}

func (b *Book) applyRefused(obs Observation) Change {
	var c Change
	if b.Order.State != OrderCreated || b.holdsMoney() {
		return c
	}
	b.Order.FailureCode, b.Order.FailureReason = obs.Code, obs.Reason
	b.Order.NextCheckAt = obs.ObservedAt.Add(failedCheckAfter)
	b.move(&c, obs, OrderFailed, OrderCreated, obs.Code)
	b.tell(&c, FactOrderFailed, obs.ObservedAt)
	return c
}

// failedCheckAfter: a refused order is asked about once more, in case the
// refusal was of a repeat whose first call had worked.
const failedCheckAfter = 5 * time.Minute

func (b *Book) move(c *Change, obs Observation, to, from OrderState, detail string) {
	if !CanMove(from, to) {
		panic(fmt.Sprintf("pay: no transition from %s to %s", from, to))
	}
	b.Order.State = to
	b.note(c, b.entry(obs, string(obs.Kind), from, detail))
}

func (b *Book) entry(obs Observation, what string, from OrderState, detail string) HistoryEntry {
	return HistoryEntry{
		What: what, Source: obs.Source, From: from, To: b.Order.State,
		TransactionID: obs.TransactionID, DeliveryID: obs.DeliveryID, KeyID: obs.KeyID,
		Detail: detail, At: obs.ObservedAt,
	}
}

func (b *Book) note(c *Change, h HistoryEntry) {
	b.Order.Sequence++
	b.Order.UpdatedAt = h.At
	h.MchID, h.OutTradeNo, h.Sequence = b.Order.MchID, b.Order.OutTradeNo, b.Order.Sequence
	c.History = append(c.History, h)
	c.Touched = true
}

func (b *Book) tell(c *Change, fact Fact, at time.Time) {
	c.Events = append(c.Events, Event{Fact: fact, At: at, Order: *b.Order})
}

// tellAnomaly takes a copy: the event says how the anomaly stood then.
func (b *Book) tellAnomaly(c *Change, at time.Time, a Anomaly, decided ...string) {
	c.Events = append(c.Events, Event{Fact: FactOrderAnomaly, At: at, Order: *b.Order, Anomaly: &a, Decided: decided})
}
