package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/note_looks.sql
	noteLooksSQL string
	//go:embed queries/ask_now.sql
	askNowSQL string
	//go:embed queries/wake_letters.sql
	wakeLettersSQL string
	//go:embed queries/take_hints.sql
	takeHintsSQL string
)

// makeDue writes what the batch means for the schedule and not for the books.
func (b *batch) makeDue(ctx context.Context, tx *sqlx.Tx) error {
	if err := b.noteLooks(ctx, tx); err != nil {
		return err
	}
	if err := b.askNow(ctx, tx); err != nil {
		return err
	}
	if err := b.wakeLetters(ctx, tx); err != nil {
		return err
	}
	return b.takeHints(ctx, tx)
}

// noteLooks keeps when WeChat Pay answered about orders that did not move: a
// page that asks again within a second gets what is known.
func (b *batch) noteLooks(ctx context.Context, tx *sqlx.Tx) error {
	var mchids, numbers texts
	var at instants
	for key, book := range b.books {
		if book.checked && !book.moved() {
			mchids, numbers = append(mchids, string(key.mchid)), append(numbers, string(key.outTradeNo))
			at = append(at, book.Order.CheckedAt)
		}
	}
	if len(mchids) == 0 {
		return nil
	}
	return execAll(ctx, tx, "note looks", len(mchids), noteLooksSQL, mchids, numbers, at)
}

// askNow makes orders due of which somebody spoke as if more had happened than
// we know. The rows are locked by this batch.
func (b *batch) askNow(ctx context.Context, tx *sqlx.Tx) error {
	if len(b.checkNow) == 0 {
		return nil
	}
	var mchids, numbers texts
	for _, key := range b.checkNow {
		mchids, numbers = append(mchids, string(key.mchid)), append(numbers, string(key.outTradeNo))
	}
	var due []struct {
		MchID       string    `db:"mchid"`
		OutTradeNo  string    `db:"out_trade_no"`
		NextCheckAt time.Time `db:"next_check_at"`
	}
	if err := tx.SelectContext(ctx, &due, askNowSQL, mchids, numbers); err != nil {
		return failed(ctx, "make orders due", err)
	}
	for _, row := range due {
		order := b.books[orderKey{pay.MchID(row.MchID), pay.OutTradeNo(row.OutTradeNo)}].Order
		order.NextCheckAt, order.CheckAPI = instant(row.NextCheckAt), pay.APIOrderQuery
	}
	return nil
}

// wakeLetters makes the refund notices due that came before the payment which
// they give back, whichever process books that: they would wait for their turn.
func (b *batch) wakeLetters(ctx context.Context, tx *sqlx.Tx) error {
	if len(b.paid) == 0 {
		return nil
	}
	var mchids, numbers texts
	for _, payment := range b.paid {
		mchids, numbers = append(mchids, string(payment.order.mchid)), append(numbers, string(payment.order.outTradeNo))
	}
	return failed(ctx, "wake letters", tx.SelectContext(ctx, &b.woken, wakeLettersSQL, mchids, numbers))
}

// wokenLetter is a letter that became due because of a payment.
type wokenLetter struct {
	MchID      string `db:"mchid"`
	OutTradeNo string `db:"out_trade_no"`
	DeliveryID string `db:"delivery_id"`
}

// hintedRefunds are the numbers of the batch's hints. They are locked with the
// other refunds, in one order.
func (b *batch) hintedRefunds() []refundKey {
	var keys []refundKey
	for i := range b.entries {
		if hint := b.hint(i); hint != nil {
			keys = append(keys, refundKey{hint.MchID, hint.OutRefundNo})
		}
	}
	return keys
}

// hint is the hint of an entry, if WeChat Pay can be asked about it. Nobody
// signed it: what is no number of a refund at all is archived and no more.
func (b *batch) hint(i int) *pay.RefundHint {
	hint := b.entries[i].Hint
	if hint == nil || b.entries[i].Letter != nil {
		return nil
	}
	if _, err := pay.ParseMchID(string(hint.MchID)); err != nil {
		return nil
	}
	if _, err := pay.ParseOutRefundNo(string(hint.OutRefundNo)); err != nil {
		return nil
	}
	return hint
}

// takeHints makes the hinted refunds due: ours in their own rows, the others and
// those that failed in a list of numbers to ask about. A hint moves nothing; the
// answer does.
func (b *batch) takeHints(ctx context.Context, tx *sqlx.Tx) error {
	byKey := map[refundKey]*pay.RefundHint{}
	for i := range b.entries {
		if hint := b.hint(i); hint != nil {
			byKey[refundKey{hint.MchID, hint.OutRefundNo}] = hint
		}
	}
	if len(byKey) == 0 {
		return nil
	}
	mchids, numbers := refundTexts(b.hintedRefunds())
	orders, protocols := make(texts, len(mchids)), make(texts, len(mchids))
	for i := range mchids {
		hint := byKey[refundKey{pay.MchID(mchids[i]), pay.OutRefundNo(numbers[i])}]
		orders[i], protocols[i] = short(legible(string(hint.OutTradeNo))), string(hint.Protocol)
	}
	_, err := tx.ExecContext(ctx, takeHintsSQL, mchids, numbers, orders, protocols)
	return failed(ctx, "take hints", err)
}
