package recovery_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fenflow/fenflow/pkg/pay"
)

// past draws what happens to a few orders, and what the broker keeps of it: some of
// WeChat Pay's words are notifications, some answers that no stream has; what was
// stored is settled at once or a little later, and told at once or a little later.
type past struct {
	*world
	t      *rapid.T
	prefix string
	n      int
}

var pasts atomic.Int64

func (p *past) draw(what string, most int) int {
	p.n++
	return rapid.IntRange(0, most).Draw(p.t, fmt.Sprintf("%02d %s", p.n, what))
}

// word lets the past hear of something, by a notification or by asking. Stored
// may be earlier than heard, never before its cause, which was a tick ago.
func (p *past) word(obs pay.Observation) {
	how := p.draw("how it is heard", 3)
	// Asked about an order, WeChat Pay tells of the payment that stands: others are
	// known by their notifications alone.
	answers := obs.Kind != pay.ObservedPaid || p.wechat.orders[obs.OutTradeNo].payment.TransactionID == obs.TransactionID
	switch {
	case how == 0 && answers:
		p.learns(obs)
	case how == 1 && answers: // asked about first, and told of afterwards
		p.learns(obs)
		p.stores(obs, p.clock.Add(400*time.Millisecond))
	default:
		p.hears(obs, p.earlier(obs))
	}
}

// earlier is when something was stored that is settled now: other workers may have
// settled meanwhile what was stored later.
func (p *past) earlier(obs pay.Observation) time.Time {
	at := p.clock.Add(-time.Duration(p.draw("stored earlier, ms", 2900)) * time.Millisecond)
	cause := p.order(obs.OutTradeNo).CreatedAt
	if obs.Kind == pay.ObservedRefund {
		cause = p.clock.Add(-time.Second)
	}
	if !at.After(cause) {
		return cause.Add(time.Millisecond)
	}
	return at
}

func (p *past) step() {
	p.tick()
	no := pay.OutTradeNo(fmt.Sprintf("%s-%d", p.prefix, p.draw("order", 2)))
	o, known, err := p.then.Order(context.Background(), shop, no)
	if err != nil {
		p.t.Fatal(err)
	}
	if !known {
		p.wechat.refuse = p.draw("refused", 5) == 0
		p.does(p.create(no), p.clock)
		p.wechat.refuse = false
		return
	}
	switch p.draw("what", 7) {
	case 0:
		p.does(p.create(no), p.clock) // the shop repeats itself
	case 1:
		if o.State.Open() && p.wechat.orders[no].payment.TransactionID == "" {
			p.learns(p.closed(no))
		}
	case 2, 3:
		p.word(p.pays(no, pay.TransactionID(fmt.Sprintf("%s-TX%d", no, p.n)), pay.Fen(price-p.draw("less", 1)*p.draw("wrong", 1))))
	case 4, 5:
		p.wish(o)
	default:
		p.course(no)
	}
}

// wish asks for a refund, which is granted or not.
func (p *past) wish(o pay.Order) {
	refund := pay.OutRefundNo(fmt.Sprintf("%s-R%d", o.OutTradeNo, p.draw("refund", 3)))
	fen := pay.Fen([]int{30, 50, price}[p.draw("amount", 2)])
	if o.State == pay.OrderPaid && p.draw("by its payment", 2) == 0 {
		p.does(p.wants("", o.TransactionID, refund, fen), p.clock)
		return
	}
	p.does(p.wants(o.OutTradeNo, "", refund, fen), p.clock)
}

// course takes some refund of an order a step on, or has one made elsewhere.
func (p *past) course(no pay.OutTradeNo) {
	all := p.sql(p.then, `SELECT out_refund_no FROM refunds WHERE out_trade_no = $1 AND state IN ('requested', 'processing') ORDER BY 1`, string(no))
	if len(all) == 0 {
		p.elsewhere(no)
		return
	}
	r := p.refund(pay.OutRefundNo(all[p.draw("which", len(all)-1)]))
	state := []pay.RefundState{pay.RefundProcessing, pay.RefundSucceeded, pay.RefundClosed, pay.RefundFailed}[p.draw("end", 3)]
	switch {
	case state == pay.RefundFailed && r.State == pay.RefundRequested:
		p.fails(r)
	case state == pay.RefundFailed, state == r.State:
	case state == pay.RefundProcessing:
		p.learns(p.refunds(r, state))
	default:
		p.word(p.refunds(r, state))
	}
}

func (p *past) elsewhere(no pay.OutTradeNo) {
	payments := p.sql(p.then, `SELECT transaction_id FROM payments WHERE out_trade_no = $1 ORDER BY 1`, string(no))
	if len(payments) == 0 || p.draw("made elsewhere", 1) == 0 {
		return
	}
	tx := pay.TransactionID(payments[p.draw("of which", len(payments)-1)])
	r := pay.Refund{OutRefundNo: pay.OutRefundNo(fmt.Sprintf("console%s%d", no, p.n)), OutTradeNo: no, TransactionID: tx, Amount: pay.Fen([]int{10, 60}[p.draw("by hand", 1)])}
	p.word(p.refunds(r, pay.RefundSucceeded))
}

// Whatever the past was: a recovery ends with its books, and tells nothing new.
func TestRecover_ends_with_the_books_of_any_past(t *testing.T) {
	t.Parallel()
	then, now := openLedger(t), openLedger(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, then, now)
		w.outcomesMayDiffer = true
		p := &past{world: w, t: rt, prefix: fmt.Sprintf("P%06d", pasts.Add(1))}
		policies := []pay.Policy{pay.PolicyAccept, pay.PolicyRefund, pay.PolicyHold}
		w.rules = pay.Policies{LatePayment: policies[p.draw("late", 2)], DoublePayment: policies[1+p.draw("double", 1)], AmountMismatch: policies[1+p.draw("mismatch", 1)]}
		w.rulesNow = pay.Policies{LatePayment: policies[p.draw("late now", 2)], DoublePayment: policies[1+p.draw("double now", 1)], AmountMismatch: policies[1+p.draw("mismatch now", 1)]}
		for range rapid.IntRange(1, 14).Draw(rt, "steps") {
			p.step()
			p.publish(time.Duration(p.draw("told later, ms", 2500)) * time.Millisecond)
		}
		w.recover()
		p.compare()
	})
}

// compare: what a command did is the same. How it is recorded may differ where it did
// nothing: its number was given to a later one, or it may be asked for again.
func (p *past) compare() {
	p.same(p.prefix)
	require.Empty(p.t, p.missing("done"), "what was granted is granted")
}

// missing are the commands of an outcome that have another one now.
func (p *past) missing(outcome string) []string {
	// Not of order.create: whether an order is there is in the books, which are compared. What
	// its repeats were told is of the moment, which a question may have told then.
	const query = `SELECT command_id FROM commands WHERE (out_trade_no LIKE $1 OR out_refund_no LIKE $1) AND outcome = $2 AND kind <> 'order.create'`
	then, now := p.sql(p.then, query, p.prefix+"%", outcome), p.sql(p.now, query, p.prefix+"%", outcome)
	return slices.DeleteFunc(then, func(id string) bool { return slices.Contains(now, id) })
}
