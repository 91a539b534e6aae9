package store

import (
	"context"
	_ "embed"
	"errors"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/lock_payments.sql
	lockPaymentsSQL string
	//go:embed queries/lock_refunds.sql
	lockRefundsSQL string
	//go:embed queries/insert_refunds.sql
	insertRefundsSQL string
	//go:embed queries/step_refunds.sql
	stepRefundsSQL string
)

// errNumberTaken: between reading and writing, another order's batch took a
// refund number that this one wanted. Decided again, this batch sees it.
var errNumberTaken = errors.New("another order took the refund number at the same moment")

// openRefund is a refund of the batch with the state of its row.
type openRefund struct {
	*pay.Refund
	opened pay.RefundState // for a new one: in which it is inserted
	isNew  bool
}

// openRefunds locks and reads the refunds that the batch may move, after every
// payment that it may write: whoever sends a refund locks in the same order, so
// that no attempt begins between what is decided here and its commit.
func (b *batch) openRefunds(ctx context.Context, tx *sqlx.Tx) error {
	mchids, numbers := b.sortedKeys((*openBook).wantsRefunds)
	hinted := b.hintedRefunds()
	if len(mchids) == 0 && len(hinted) == 0 {
		return nil
	}
	if err := b.lockPayments(ctx, tx); err != nil {
		return err
	}
	b.askForNumbers()
	refundMchids, refundNos := refundTexts(slices.AppendSeq(hinted, maps.Keys(b.named)))
	var rows []refundRow
	if err := tx.SelectContext(ctx, &rows, lockRefundsSQL, mchids, numbers, refundMchids, refundNos); err != nil {
		return failed(ctx, "lock refunds", err)
	}
	for i := range rows {
		refund := rows[i].refund()
		b.openRefund(&refund)
	}
	return b.openAttempts(ctx, tx)
}

// lockPayments locks all payments of the batch's orders, whether or not their
// refunds are wanted: a payment that is written after a refund was locked would
// be locked in the wrong order. Payments of orders beside the batch, whose
// refunds are hinted at, are never written and need no lock.
func (b *batch) lockPayments(ctx context.Context, tx *sqlx.Tx) error {
	mchids, numbers := b.sortedKeys(func(book *openBook) bool { return len(book.Payments) > 0 })
	if len(mchids) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, lockPaymentsSQL, mchids, numbers)
	return failed(ctx, "lock payments", err)
}

// openRefund puts a locked refund into the book of its order, and into every
// other book of the batch that names its number: there it says "taken".
func (b *batch) openRefund(r *pay.Refund) {
	b.refunds[refundKey{r.MchID, r.OutRefundNo}] = &openRefund{Refund: r, opened: r.State}
	if book := b.books[orderKey{r.MchID, r.OutTradeNo}]; book != nil {
		book.put(r)
	}
	b.share(r)
}

// enter takes note of a refund that a change put into its book.
func (b *batch) enter(r *pay.Refund) {
	begins := pay.RefundRequested
	if r.Origin == pay.RefundByPlatform {
		begins = pay.RefundProcessing
	}
	b.refunds[refundKey{r.MchID, r.OutRefundNo}] = &openRefund{Refund: r, opened: begins, isNew: true}
	b.share(r)
}

// share shows a refund to the other orders' books that ask for its number.
func (b *batch) share(r *pay.Refund) {
	for _, key := range b.named[refundKey{r.MchID, r.OutRefundNo}] {
		if key.outTradeNo != r.OutTradeNo {
			b.books[key].put(r)
		}
	}
}

func (b *openBook) put(r *pay.Refund) {
	if b.Refunds == nil {
		b.Refunds = map[pay.OutRefundNo]*pay.Refund{}
	}
	b.Refunds[r.OutRefundNo] = r
}

// askForNumbers collects the refund numbers that deciding asks for, whoever has
// them, and the orders that ask. A refund that is missing at WeChat Pay is
// looked for among the order's own only.
func (b *batch) askForNumbers() {
	b.named = map[refundKey][]orderKey{}
	for _, obs := range b.observed {
		if obs == nil || !b.books[keyOf(obs)].wantsRefunds() {
			continue
		}
		for _, no := range numbersFor(obs) {
			key := refundKey{obs.MchID, no}
			b.named[key] = append(b.named[key], keyOf(obs))
		}
	}
}

func numbersFor(obs *pay.Observation) []pay.OutRefundNo {
	switch obs.Kind {
	case pay.ObservedRefundRequested, pay.ObservedRefund:
		return []pay.OutRefundNo{obs.OutRefundNo}
	case pay.ObservedPaid:
		return []pay.OutRefundNo{pay.AutoRefundNo(obs.TransactionID)}
	case pay.ObservedDecision:
		if obs.Decision == pay.DecideRefund {
			return pay.OwnRefundNos(obs.TransactionID)
		}
	case pay.ObservedOpen, pay.ObservedClosed, pay.ObservedPrepared, pay.ObservedRefused, pay.ObservedRefundMissing:
	}
	return nil
}

// refundTexts are keys sorted, each once.
func refundTexts(keys []refundKey) (mchids, numbers texts) {
	slices.SortFunc(keys, refundKey.compare)
	for _, key := range slices.Compact(keys) {
		mchids, numbers = append(mchids, string(key.mchid)), append(numbers, string(key.outRefundNo))
	}
	return mchids, numbers
}

// writeRefunds inserts the new refunds and then takes all of them along their
// paths, step by step: the first step of every refund, then every second one,
// until all stand where the books say. No step is left out, so that the
// database can hold each against its table.
func (b *batch) writeRefunds(ctx context.Context, tx *sqlx.Tx) error {
	keys := make([]refundKey, 0, len(b.refunds))
	var born refundColumns
	rounds := 0
	for key, r := range b.refunds {
		keys = append(keys, key)
		rounds = max(rounds, len(r.Path))
	}
	slices.SortFunc(keys, refundKey.compare)
	for _, key := range keys {
		if r := b.refunds[key]; r.isNew {
			born.add(r.Refund, r.opened)
		}
	}
	if err := insertRefunds(ctx, tx, born); err != nil {
		return err
	}
	for round := range rounds {
		if err := b.stepRefunds(ctx, tx, keys, round); err != nil {
			return err
		}
	}
	for _, r := range b.refunds {
		r.Path = nil // taken
	}
	return nil
}

func insertRefunds(ctx context.Context, tx *sqlx.Tx, born refundColumns) error {
	const step = "insert refunds"
	if len(born.mchid) == 0 {
		return nil
	}
	result, err := tx.ExecContext(ctx, insertRefundsSQL, born.args()...)
	if err != nil {
		return failed(ctx, step, err)
	}
	inserted, err := result.RowsAffected()
	if err == nil && int(inserted) != len(born.mchid) {
		err = &Error{step: step, broken: true, err: errNumberTaken}
	}
	return failed(ctx, step, err)
}

func (b *batch) stepRefunds(ctx context.Context, tx *sqlx.Tx, keys []refundKey, round int) error {
	var steps stepColumns
	for _, key := range keys {
		r := b.refunds[key]
		if round >= len(r.Path) {
			continue
		}
		from := r.opened
		if round > 0 {
			from = r.Path[round-1]
		}
		steps.add(r.Refund, from, r.Path[round])
	}
	return execAll(ctx, tx, "step refunds", len(steps.mchid), stepRefundsSQL, steps.args()...)
}
