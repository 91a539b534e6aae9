package simulator

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// books are the ledger and the record of deliveries: the fold of the journal's
// entries. What is new goes through the same apply as what is replayed, so that a
// restart cannot come to another result.
type books struct {
	mu       sync.Mutex
	journal  *journal
	orders   map[string]*Order
	payments map[string]*Order   // by transaction id
	sequence []string            // order numbers as they came
	paid     []Payment           // as they were made
	second   map[string]*Payment // further payments of paid orders, by transaction id
	notices  map[string]*noticeState
	posted   []string // notice ids as they came
	attempts []Attempt
	keys     []keyEvent
	closed   bool
	refunds  refundBooks
	openids  map[string]string // those issued here, and for which appid
	bills    billBooks
	h5       map[string]h5Link // by the prepay_id inside the h5_url
	prepays  map[string]string // order numbers by prepay_id
}

// noticeState is a notice and how far its delivery is.
type noticeState struct {
	Notice

	tries, repeats int
	number         uint64 // in the order in which delivery began
	acknowledged   bool
	abandoned      bool
}

// entry is one line of the journal; exactly one field is set.
type entry struct {
	Order     *Order   `json:"order,omitempty"`
	Closed    *closure `json:"closed,omitempty"`
	Payment   *Payment `json:"payment,omitempty"`
	Notice    *Notice  `json:"notice,omitempty"`
	Attempt   *Attempt `json:"attempt,omitempty"`
	Abandoned string   `json:"abandoned,omitempty"`

	Refund     *Refund     `json:"refund,omitempty"`
	RefundTurn *refundTurn `json:"refund_turn,omitempty"`
	RefundPlan *refundPlan `json:"refund_plan,omitempty"`
	Funds      *funds      `json:"funds,omitempty"`

	Openid  *issuedOpenid `json:"openid,omitempty"`
	Bill    *billEntry    `json:"bill,omitempty"`
	Keys    *keyEvent     `json:"keys,omitempty"`
	Renewed *renewal      `json:"renewed,omitempty"`
}

type closure struct {
	OutTradeNo string    `json:"out_trade_no"`
	ClosedAt   time.Time `json:"closed_at"`
}

// openBooks replays the journal in dir; without dir there is none.
func openBooks(dir string) (*books, error) {
	b := &books{orders: map[string]*Order{}, payments: map[string]*Order{}, notices: map[string]*noticeState{},
		second: map[string]*Payment{}, refunds: newRefundBooks(), bills: billBooks{days: map[string]*billDay{}}, h5: map[string]h5Link{}, openids: map[string]string{}, prepays: map[string]string{}}
	if dir == "" {
		return b, nil
	}
	journal, err := openJournal(dir, b.apply)
	if err != nil {
		return nil, err
	}
	b.journal = journal
	return b, nil
}

func (b *books) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.journal == nil {
		b.closed = true
		return nil
	}
	b.closed = true
	return b.journal.close()
}

// record writes entries down before it believes them. The lock must be held.
func (b *books) record(entries ...entry) error {
	if b.closed {
		return errClosed
	}
	if b.journal != nil {
		if err := b.journal.append(entries...); err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
	}
	for _, e := range entries {
		if err := b.apply(e); err != nil {
			return err
		}
	}
	return nil
}

func (b *books) apply(e entry) error {
	switch {
	case e.Order != nil:
		order := *e.Order
		b.orders[order.OutTradeNo] = &order
		b.sequence = append(b.sequence, order.OutTradeNo)
		b.noteH5(&order)
		b.notePrepay(&order)
	case e.Closed != nil:
		order, known := b.orders[e.Closed.OutTradeNo]
		if !known {
			return errors.New("an unknown order is closed")
		}
		order.State, order.ClosedAt = StateClosed, &e.Closed.ClosedAt
	case e.Payment != nil:
		return b.applyPayment(*e.Payment)
	case e.Notice != nil:
		b.notices[e.Notice.ID] = &noticeState{Notice: *e.Notice}
		b.posted = append(b.posted, e.Notice.ID)
	case e.Keys != nil:
		b.keys = append(b.keys, *e.Keys)
	case e.Refund != nil:
		return b.applyRefund(*e.Refund)
	case e.RefundTurn != nil:
		return b.applyRefundTurn(*e.RefundTurn)
	case e.RefundPlan != nil:
		b.refunds.planned[e.RefundPlan.OutRefundNo] = e.RefundPlan.Next
	case e.Bill != nil:
		return b.applyBill(*e.Bill)
	case e.Openid != nil:
		b.openids[e.Openid.Openid] = e.Openid.Appid
	case e.Funds != nil:
		b.refunds.balance = e.Funds.Fen
	case e.Attempt != nil:
		return b.applyAttempt(*e.Attempt)
	case e.Renewed != nil:
		order, known := b.orders[e.Renewed.OutTradeNo]
		if !known {
			return errors.New("an unknown order gets a credential")
		}
		order.Credential, order.CredentialAt = e.Renewed.Credential, e.Renewed.At
		b.noteH5(order)
		b.notePrepay(order)
	case e.Abandoned != "":
		notice, known := b.notices[e.Abandoned]
		if !known {
			return errors.New("an unknown notice is abandoned")
		}
		notice.abandoned = true
	}
	return nil
}

func (b *books) applyPayment(p Payment) error {
	order, known := b.orders[p.OutTradeNo]
	if !known {
		return errors.New("an unknown order is paid")
	}
	if p.Second {
		b.second[p.TransactionID] = &p
	} else {
		order.State, order.Payment = StatePaid, &p
	}
	b.payments[p.TransactionID] = order
	b.bills.notePayment(*order, p)
	b.paid = append(b.paid, p)
	return nil
}

// place enters a new order. A known number is fine if nothing differs: prepay is
// how a fresh credential is had.
func (b *books) place(o Order, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, again := b.orders[o.OutTradeNo]
	switch {
	case !again:
		return b.record(entry{Order: &o})
	case known.State == StatePaid:
		return orderPaid(numberPaid)
	case !known.payable(now):
		return orderClosed()
	case known.Parameters != o.Parameters:
		refused := invalidRequest(numberReentry, "out_trade_no was used with other parameters")
		refused.log = o.differsFrom(*known)
		return refused
	}
	return b.record(entry{Renewed: &renewal{o.OutTradeNo, o.Credential, o.CredentialAt}})
}

// shut closes an order. An unknown number closes too, as it does at WeChat Pay.
func (b *books) shut(outTradeNo string, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	order, known := b.orders[outTradeNo]
	switch {
	case !known || order.State == StateClosed:
		return nil
	case order.State == StatePaid:
		return orderPaid(numberClosePaid)
	}
	return b.record(entry{Closed: &closure{outTradeNo, now.UTC()}})
}

// Why nothing was paid or entered; the control API turns them into statuses.
var (
	errUnknownOrder     = errors.New("no order has this out_trade_no")
	errAlreadyPaid      = errors.New("the order is already paid")
	errNotPayable       = errors.New("the order is closed or expired")
	errTransactionTaken = errors.New("the transaction_id belongs to another payment")
	errClosed           = errors.New("the simulator is closed")
	errUnknownNotice    = errors.New("an attempt belongs to no notice")
)

// pay moves the money of an order and enters what will be posted about it, in one
// step: no kill can leave a payment without its notices.
func (b *books) pay(p Payment, notices []Notice) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	order, known := b.orders[p.OutTradeNo]
	_, taken := b.payments[p.TransactionID]
	switch {
	case !known:
		return errUnknownOrder
	case order.State == StatePaid && !p.Second:
		return errAlreadyPaid
	case !order.payable(p.PaidAt) && !p.Second && !p.Late:
		return errNotPayable
	case taken:
		return errTransactionTaken
	}
	entries := []entry{{Payment: &p}}
	for i := range notices {
		entries = append(entries, entry{Notice: &notices[i]})
	}
	return b.record(entries...)
}

func (b *books) order(outTradeNo string) (Order, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return copyOf(b.orders[outTradeNo])
}

func (b *books) transaction(id string) (Order, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	order, known := copyOf(b.payments[id])
	if p, second := b.second[id]; second {
		order.Payment = p
	}
	return order, known
}

// copyOf shares the payment: it never changes once made.
func copyOf(o *Order) (Order, bool) {
	if o == nil {
		return Order{}, false
	}
	return *o, true
}

func (b *books) ledger(mchid string) Ledger {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := Ledger{Mchid: mchid, Orders: make([]Order, 0, len(b.sequence)), Payments: make([]Payment, 0, len(b.paid))}
	for _, number := range b.sequence {
		l.Orders = append(l.Orders, *b.orders[number])
	}
	l.Payments = append(l.Payments, b.paid...)
	l.Refunds = b.allRefunds()
	return l
}

// latest are the newest orders first.
func (b *books) latest(n int) []Order {
	b.mu.Lock()
	defer b.mu.Unlock()
	orders := make([]Order, 0, n)
	for _, number := range slices.Backward(b.sequence) {
		if len(orders) == n {
			break
		}
		orders = append(orders, *b.orders[number])
	}
	return orders
}
