package simulator

import (
	"errors"
	"time"
)

// refundTurn is a change of a refund's status, with what changed along with it.
type refundTurn struct {
	OutRefundNo     string       `json:"out_refund_no"`
	Status          RefundStatus `json:"status"`
	At              time.Time    `json:"at"`
	Next            RefundStatus `json:"next,omitempty"`
	Channel         string       `json:"channel,omitempty"`
	ReceivedAccount string       `json:"received_account,omitempty"`
	AppliedFor      string       `json:"applied_for,omitempty"`
}

// funds is what the merchant's account can still refund; nil Fen is without end.
type funds struct {
	Fen *int64 `json:"fen"`
}

// refundBooks are the refunds within the books, under their lock.
type refundBooks struct {
	byNumber map[string]*Refund
	byID     map[string]*Refund
	of       map[string][]*Refund // by transaction id
	ofOrder  map[string][]*Refund // by order number
	sequence []string             // refund numbers as they came
	planned  map[string]RefundStatus
	balance  *int64
}

func newRefundBooks() refundBooks {
	return refundBooks{byNumber: map[string]*Refund{}, byID: map[string]*Refund{}, of: map[string][]*Refund{}, ofOrder: map[string][]*Refund{},
		planned: map[string]RefundStatus{}}
}

// refundPlan is the outcome that /control wants of a refund not yet made; an empty
// one leaves it in PROCESSING.
type refundPlan struct {
	OutRefundNo string       `json:"out_refund_no"`
	Next        RefundStatus `json:"next"`
}

func (b *books) applyRefund(r Refund) error {
	order, known := b.orders[r.OutTradeNo]
	if !known {
		return errors.New("an unknown order is refunded")
	}
	order.RefundCount++
	b.refunds.byNumber[r.OutRefundNo], b.refunds.byID[r.RefundID] = &r, &r
	b.refunds.of[r.TransactionID] = append(b.refunds.of[r.TransactionID], &r)
	b.refunds.ofOrder[r.OutTradeNo] = append(b.refunds.ofOrder[r.OutTradeNo], &r)
	b.refunds.sequence = append(b.refunds.sequence, r.OutRefundNo)
	b.refunds.move(-r.AmountFen)
	b.bills.noteRefund(*order, &r)
	return nil
}

func (b *books) applyRefundTurn(t refundTurn) error {
	r, known := b.refunds.byNumber[t.OutRefundNo]
	if !known {
		return errUnknownRefund
	}
	r.Status, r.ChangedAt, r.Next, r.Held = t.Status, t.At, t.Next, 0
	r.Turns++
	if t.Channel != "" {
		r.Channel = t.Channel
	}
	if t.ReceivedAccount != "" {
		r.ReceivedAccount = t.ReceivedAccount
	}
	if t.AppliedFor != "" {
		r.AppliedFor = t.AppliedFor
	}
	switch t.Status {
	case RefundSuccess:
		r.SucceededAt = &t.At
	case RefundClosed:
		b.refunds.move(r.AmountFen)
		b.bills.noteReturn(*b.orders[r.OutTradeNo], r, t.At)
	case RefundProcessing, RefundAbnormal:
	}
	return nil
}

// move puts money on the account or takes it off, if it is limited at all.
func (r *refundBooks) move(fen int64) {
	if r.balance != nil {
		left := *r.balance + fen
		r.balance = &left
	}
}

// knownRefund finds a refund by its number.
func (b *books) knownRefund(outRefundNo string) (Refund, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return copyOfRefund(b.refunds.byNumber[outRefundNo])
}

// copyOfRefund shares what never changes once made.
func copyOfRefund(r *Refund) (Refund, bool) {
	if r == nil {
		return Refund{}, false
	}
	return *r, true
}

// allRefunds are copies, oldest first. The lock must be held.
func (b *books) allRefunds() []Refund {
	all := make([]Refund, 0, len(b.refunds.sequence))
	for _, number := range b.refunds.sequence {
		all = append(all, *b.refunds.byNumber[number])
	}
	return all
}

// refundsOf are the refunds of one order, oldest first.
func (b *books) refundsOf(outTradeNo string) []Refund {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := []Refund{}
	for _, r := range b.refunds.ofOrder[outTradeNo] {
		found = append(found, *r)
	}
	return found
}

// refund accepts a refund, or finds that it was accepted before (fresh is false):
// the same number with the same parameters is one refund, however often it is sent.
func (b *books) refund(a refundAsk, id string, now time.Time) (r Refund, fresh bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, again := copyOfRefund(b.refunds.byNumber[a.OutRefundNo]); again {
		if known.Parameters != a.Parameters {
			return Refund{}, false, refuseRefund(errRefundReused, a.differsFrom(known)...)
		}
		return known, false, nil
	}
	r, err = b.newRefund(a, id, now.UTC())
	if err != nil {
		return Refund{}, false, err
	}
	return r, true, b.record(entry{Refund: &r})
}

// newRefund checks the rules that need the books. The lock must be held.
func (b *books) newRefund(a refundAsk, id string, now time.Time) (Refund, error) {
	p := b.refundable(a)
	if p == nil {
		return Refund{}, errRefundNotPaid
	}
	before, back, payerBack := b.refunds.of[p.TransactionID], int64(0), int64(0)
	for _, r := range before {
		if r.Status != RefundClosed {
			back, payerBack = back+r.AmountFen, payerBack+r.PayerFen
		}
	}
	if a.AmountFen == 0 {
		a.AmountFen = p.AmountFen - back
	}
	switch {
	case a.TotalFen != 0 && a.TotalFen != p.AmountFen:
		return Refund{}, refuseRefund(errRefundTotal, "amount.total", a.TotalFen, "expected", p.AmountFen)
	case a.AmountFen <= 0 || a.AmountFen > p.AmountFen-back:
		return Refund{}, refuseRefund(errRefundTooMuch, "amount.refund", a.AmountFen, "refunded", back, "left", p.AmountFen-back)
	case len(before) >= maxRefundsOfOne:
		return Refund{}, refuseRefund(errRefundTooMany, "refunds", len(before))
	case now.Sub(p.PaidAt) > refundAge:
		return Refund{}, refuseRefund(errRefundTooOld, "paid_at", p.PaidAt, "allowed", refundAge)
	case b.refunds.balance != nil && *b.refunds.balance < a.AmountFen:
		return Refund{}, refuseRefund(errRefundNoFunds, "amount.refund", a.AmountFen, "balance", *b.refunds.balance)
	}
	r := Refund{
		OutRefundNo: a.OutRefundNo, RefundID: id, TransactionID: p.TransactionID, OutTradeNo: p.OutTradeNo,
		AmountFen: a.AmountFen, TotalFen: p.AmountFen, PayerTotalFen: p.PayerFen,
		Status: RefundProcessing, Reason: a.Reason, NotifyURL: a.NotifyURL, Notify: a.Notify,
		FundsAccount: a.FundsAccount, From: a.From, Origin: a.Origin, Channel: "ORIGINAL", ReceivedAccount: receivedByWallet,
		CreatedAt: now, ChangedAt: now, Next: a.Next, Held: a.Held, Parameters: a.Parameters,
	}
	r.PayerFen = payerShare(*p, r.AmountFen, back, payerBack)
	if next, planned := b.refunds.planned[a.OutRefundNo]; planned {
		r.Next, r.Held = next, 0
	}
	return r, nil
}

// refundable finds the payment that is to go back.
func (b *books) refundable(a refundAsk) *Payment {
	if a.TransactionID != "" {
		return b.paymentBy(a.TransactionID)
	}
	order, known := b.orders[a.OutTradeNo]
	if !known {
		return nil
	}
	return order.Payment
}

// paymentBy finds a payment by WeChat's number.
func (b *books) paymentBy(transactionID string) *Payment {
	if p, second := b.second[transactionID]; second {
		return p
	}
	if order, known := b.payments[transactionID]; known {
		return order.Payment
	}
	return nil
}

// payerShare is round(refund × paid by the payer / total), as with coupons (WeChat
// Pay doc 4012791865); the refund that empties the payment gets what is left.
func payerShare(p Payment, amount, back, payerBack int64) int64 {
	left := p.PayerFen - payerBack
	if amount+back == p.AmountFen {
		return left
	}
	return min(left, (2*amount*p.PayerFen+p.AmountFen)/(2*p.AmountFen))
}

// turn changes a refund's status and enters the notices about it in one step. next
// decides, under the lock, whether and how.
func (b *books) turn(outRefundNo string, next func(Refund) (refundTurn, error), write func(Refund, Order) ([]Notice, error)) (Refund, []Notice, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, found := b.refunds.byNumber[outRefundNo]
	if !found {
		return Refund{}, nil, errUnknownRefund
	}
	t, err := next(*known)
	if err != nil {
		return *known, nil, err
	}
	after := *known
	after.Status = t.Status
	if t.Status == RefundSuccess {
		after.SucceededAt = &t.At
	}
	notices, err := write(after, *b.orders[known.OutTradeNo])
	if err != nil {
		return *known, nil, err
	}
	t.OutRefundNo = outRefundNo
	entries := []entry{{RefundTurn: &t}}
	for i := range notices {
		entries = append(entries, entry{Notice: &notices[i]})
	}
	if err := b.record(entries...); err != nil {
		return *known, nil, err
	}
	return *known, notices, nil
}

// setFunds changes what the account holds; nil is without end.
func (b *books) setFunds(change func(*int64) *int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.record(entry{Funds: &funds{change(b.refunds.balance)}})
}

func (b *books) funds() *int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refunds.balance
}

// plan keeps what a refund that is yet to be asked for shall come to. It says false
// if the refund is there already.
func (b *books) plan(p refundPlan) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.refunds.byNumber[p.OutRefundNo]; known {
		return false, nil
	}
	return true, b.record(entry{RefundPlan: &p})
}
