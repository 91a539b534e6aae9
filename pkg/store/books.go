package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/lock_orders.sql
	lockOrdersSQL string
	//go:embed queries/read_payments.sql
	readPaymentsSQL string
	//go:embed queries/apply_changes.sql
	applyChangesSQL string
)

// openBooks locks the orders of the batch and reads what is known of them.
// An order that we do not have leaves its book empty.
func (b *batch) openBooks(ctx context.Context, tx *sqlx.Tx) error {
	if len(b.books) == 0 {
		return nil
	}
	mchids, numbers := b.sortedKeys()
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
	return nil
}

// writeBooks writes every change of the batch with one statement and insists
// that each row went through its guard.
func (b *batch) writeBooks(ctx context.Context, tx *sqlx.Tx) error {
	orders := b.touched()
	want := written{
		Orders: len(orders.mchid), History: len(b.history.mchid), Events: len(b.events),
		Payments: len(b.payments.mchid), Anomalies: len(b.anomalies.mchid),
	}
	if want == (written{}) {
		return nil
	}
	var events outboxColumns
	for _, e := range b.events {
		events.add(e)
	}
	args := orders.args()
	for _, more := range [][]any{b.history.args(), events.args(), b.payments.args(), b.anomalies.args()} {
		args = append(args, more...)
	}
	var got written
	if err := tx.GetContext(ctx, &got, applyChangesSQL, args...); err != nil {
		return failed(ctx, "write changes", err)
	}
	return got.check(want)
}

// paymentRow is a payment as its table holds it.
type paymentRow struct {
	MchID         string    `db:"mchid"`
	TransactionID string    `db:"transaction_id"`
	OutTradeNo    string    `db:"out_trade_no"`
	AmountFen     int64     `db:"amount_fen"`
	PayerTotalFen int64     `db:"payer_total_fen"`
	Currency      string    `db:"currency"`
	OpenID        string    `db:"openid"`
	TradeType     string    `db:"trade_type"`
	BankType      string    `db:"bank_type"`
	PaidAt        time.Time `db:"paid_at"`
	ObservedAt    time.Time `db:"observed_at"`
}

func (r *paymentRow) payment() pay.Payment {
	return pay.Payment{
		MchID: pay.MchID(r.MchID), TransactionID: pay.TransactionID(r.TransactionID), OutTradeNo: pay.OutTradeNo(r.OutTradeNo),
		Amount: pay.Fen(r.AmountFen), PayerTotal: pay.Fen(r.PayerTotalFen), Currency: r.Currency, OpenID: pay.OpenID(r.OpenID),
		TradeType: r.TradeType, BankType: r.BankType, PaidAt: instant(r.PaidAt), ObservedAt: instant(r.ObservedAt),
	}
}
