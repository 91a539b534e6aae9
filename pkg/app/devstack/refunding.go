package devstack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// refundPart is one refund that the shop asks for: all of an order's amount, or a
// part of it.
type refundPart struct {
	OutTradeNo  string
	OutRefundNo string
	AmountFen   int64
}

// maxParts is how many refunds an order gets at most.
const maxParts = 3

// planRefunds decides before the run what the shop will ask for: this is what
// the platform's ledger is held against, whatever fenflow says meanwhile. One,
// two and three parts take turns; the amounts are drawn.
func planRefunds(run string, o DemoOptions) []refundPart {
	var all []refundPart
	refunded := 0
	for i := range o.Orders {
		if share(i, o.Refunds, 100) > 0 {
			all = append(all, split(orderNumber(run, i), amountOf(i), 1+refunded%maxParts)...)
			refunded++
		}
	}
	return all
}

// split gives an order back in n parts, about every other time in full.
func split(outTradeNo string, amount int64, n int) []refundPart {
	parts := make([]refundPart, n)
	left := amount
	if least := int64(n); rand.N(2) == 0 {
		left = least + rand.N(amount-least+1)
	}
	for i := range parts {
		fen, others := left, int64(n-1-i)
		if others > 0 {
			fen = 1 + rand.N(left-others)
		}
		left -= fen
		parts[i] = refundPart{OutTradeNo: outTradeNo, OutRefundNo: outTradeNo + "-R" + strconv.Itoa(i+1), AmountFen: fen}
	}
	return parts
}

// share spreads per units evenly over each run of out of: it is how many fall
// on number i.
func share(i, per, out int) int { return (i+1)*per/out - i*per/out }

// refundAll gives an order's parts back once its money is known to be there.
// The shop asks for them at once; to keep them apart is fenflow's work.
func (d *demo) refundAll(ctx context.Context, outTradeNo string) error {
	parts := d.parts[outTradeNo]
	if len(parts) == 0 {
		return nil
	}
	transactionID, err := d.subscriber.awaitPaid(ctx, outTradeNo)
	if err != nil {
		return fmt.Errorf("wait for order %s to be paid: %w", outTradeNo, err)
	}
	var group errgroup.Group
	for i, p := range parts {
		r := newRefund{OutRefundNo: p.OutRefundNo, AmountFen: p.AmountFen, Reason: "The tea was cold"}
		if i%2 == 0 {
			r.OutTradeNo = p.OutTradeNo
		} else {
			r.TransactionID = transactionID
		}
		group.Go(func() error { return d.refund(ctx, r) })
	}
	return group.Wait()
}

// refund asks for one part and follows it to its end.
func (d *demo) refund(ctx context.Context, r newRefund) error {
	if err := d.shop.giveBack(ctx, r); err != nil {
		return err
	}
	ended, err := d.shop.follow(ctx, r.OutRefundNo)
	if err != nil {
		return err
	}
	d.followed.Add(1)
	if ended.State != refundSucceeded {
		why := ""
		if ended.Failure != nil {
			why = ": " + ended.Failure.Code + " " + ended.Failure.Reason
		}
		return fmt.Errorf("refund %s ended %s%s", r.OutRefundNo, ended.State, why)
	}
	return nil
}

// doubled counts the refunds of the platform's ledger that the shop did not ask
// for: numbers that it does not know, numbers refunded again, and more money or
// another order than asked.
func doubled(asked []refundPart, ledger []simulator.Refund) int {
	wanted := make(map[string]refundPart, len(asked))
	for _, p := range asked {
		wanted[p.OutRefundNo] = p
	}
	extra := 0
	for _, r := range ledger {
		p, known := wanted[r.OutRefundNo]
		if !known || r.AmountFen > p.AmountFen || r.OutTradeNo != p.OutTradeNo {
			extra++
		}
		delete(wanted, r.OutRefundNo) // a second one is not known any more
	}
	return extra
}

// refundedBy is what the platform's ledger says went back.
func refundedBy(ledger []simulator.Refund) (fen int64) {
	for _, r := range ledger {
		if r.Status == simulator.RefundSuccess {
			fen += r.AmountFen
		}
	}
	return fen
}
