package store

import (
	"context"
	_ "embed"
	"maps"

	"github.com/jmoiron/sqlx"
)

var (
	//go:embed queries/lock_orders.sql
	lockOrdersSQL string
	//go:embed queries/read_payments.sql
	readPaymentsSQL string
	//go:embed queries/apply_changes.sql
	applyChangesSQL string
	//go:embed queries/change_payments.sql
	changePaymentsSQL string
)

// openBooks locks the orders of the batch and reads what is known of them.
// An order that we do not have leaves its book empty.
//
// Rows are locked as everywhere: orders, then payments, then refunds, each in
// the order of their keys.
func (b *batch) openBooks(ctx context.Context, tx *sqlx.Tx) error {
	if err := b.openOrders(ctx, tx); err != nil {
		return err
	}
	if err := b.openRefunds(ctx, tx); err != nil {
		return err
	}
	return b.openAnomalies(ctx, tx)
}

func (b *batch) openOrders(ctx context.Context, tx *sqlx.Tx) error {
	if len(b.books) == 0 {
		return nil
	}
	mchids, numbers := b.sortedKeys(func(*openBook) bool { return true })
	var orders []orderRow
	if err := tx.SelectContext(ctx, &orders, lockOrdersSQL, mchids, numbers); err != nil {
		return failed(ctx, "lock orders", err)
	}
	if len(orders) == 0 {
		return nil
	}
	for i := range orders {
		order := orders[i].order()
		book := b.books[orderKey{order.MchID, order.OutTradeNo}]
		book.Order, book.opened = &order, order.Sequence
	}
	var payments []paymentRow
	if err := tx.SelectContext(ctx, &payments, readPaymentsSQL, mchids, numbers); err != nil {
		return failed(ctx, "read payments", err)
	}
	for i := range payments {
		payment := payments[i].payment()
		b.books[orderKey{payment.MchID, payment.OutTradeNo}].Payments[payment.TransactionID] = payment
	}
	for _, book := range b.books {
		if len(book.Payments) > 0 {
			book.payments = maps.Clone(book.Payments)
		}
	}
	return nil
}

// writeBooks writes every change of the batch and insists that each row went
// through its guard: orders with their history, events, new payments and
// anomalies by one statement, then what may have moved beside them. Whoever
// changes what a refund is, changes it here.
func (b *batch) writeBooks(ctx context.Context, tx *sqlx.Tx) error {
	if err := b.writeChanges(ctx, tx); err != nil {
		return err
	}
	if err := b.changePayments(ctx, tx); err != nil {
		return err
	}
	if err := b.writeRefunds(ctx, tx); err != nil {
		return err
	}
	if err := b.audits.write(ctx, tx); err != nil {
		return err
	}
	return b.writeDecisions(ctx, tx)
}

func (b *batch) writeChanges(ctx context.Context, tx *sqlx.Tx) error {
	var orders orderColumns
	for _, book := range b.books {
		if book.moved() {
			orders.add(book.Order, book.opened)
		}
	}
	var payments paymentColumns
	for _, key := range b.paid {
		p := b.books[key.order].Payments[key.id]
		payments.add(&p)
	}
	want := written{
		Orders: len(orders.mchid), History: len(b.history.mchid), Events: len(b.events),
		Payments: len(payments.mchid), Anomalies: len(b.anomalies.mchid), Audits: len(b.anomalies.mchid),
	}
	if want == (written{}) {
		return nil
	}
	var events outboxColumns
	for _, e := range b.events {
		events.add(e)
	}
	args := orders.args()
	for _, more := range [][]any{b.history.args(), events.args(), payments.args(), b.anomalies.args()} {
		args = append(args, more...)
	}
	var got written
	if err := tx.GetContext(ctx, &got, applyChangesSQL, args...); err != nil {
		return failed(ctx, "write changes", err)
	}
	return got.check(want)
}

// changePayments writes the sums of payments that were known before, guarded
// by the sums that were read.
func (b *batch) changePayments(ctx context.Context, tx *sqlx.Tx) error {
	var changed paymentChangeColumns
	for _, book := range b.books {
		for id, was := range book.payments {
			if now := book.Payments[id]; now != was {
				changed.add(&now, &was)
			}
		}
	}
	if len(changed.mchid) == 0 {
		return nil
	}
	return execAll(ctx, tx, "change payments", len(changed.mchid), changePaymentsSQL, changed.args()...)
}

// execAll runs a guarded statement and insists that it wrote want rows.
func execAll(ctx context.Context, tx *sqlx.Tx, step string, want int, query string, args ...any) error {
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return failed(ctx, step, err)
	}
	got, err := result.RowsAffected()
	if err != nil {
		return failed(ctx, step, err)
	}
	if int(got) != want {
		return brokenf(step, "the guards let %d rows through of %d", got, want)
	}
	return nil
}

// written is how many rows of each kind one statement wrote.
type written struct {
	Orders    int `db:"orders"`
	History   int `db:"history"`
	Events    int `db:"events"`
	Payments  int `db:"payments"`
	Anomalies int `db:"anomalies"`
	Audits    int `db:"audits"`
}

func (w written) check(want written) error {
	if w != want {
		return brokenf("write changes", "the guards let %+v through of %+v", w, want)
	}
	return nil
}
