package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

//go:embed queries/read_payment.sql
var readPaymentSQL string

// Payment reads one payment by WeChat Pay's number.
func (s *Store) Payment(ctx context.Context, mchid pay.MchID, id pay.TransactionID) (pay.Payment, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row paymentRow
	err := s.db.GetContext(ctx, &row, readPaymentSQL, string(mchid), string(id))
	if errors.Is(err, sql.ErrNoRows) {
		return pay.Payment{}, false, nil
	}
	if err != nil {
		return pay.Payment{}, false, failed(ctx, "read payment", err)
	}
	return row.payment(), true, nil
}

// paymentRow is a payment as its table holds it.
type paymentRow struct {
	MchID         string       `db:"mchid"`
	TransactionID string       `db:"transaction_id"`
	OutTradeNo    string       `db:"out_trade_no"`
	AmountFen     int64        `db:"amount_fen"`
	PayerTotalFen int64        `db:"payer_total_fen"`
	Currency      string       `db:"currency"`
	OpenID        string       `db:"openid"`
	TradeType     string       `db:"trade_type"`
	BankType      string       `db:"bank_type"`
	PaidAt        time.Time    `db:"paid_at"`
	ObservedAt    time.Time    `db:"observed_at"`
	NotifiedAt    sql.NullTime `db:"notified_at"`
	RefundedFen   int64        `db:"refunded_fen"`
	ReservedFen   int64        `db:"reserved_fen"`
	OverrunFen    int64        `db:"overrun_fen"`
}

func (r *paymentRow) payment() pay.Payment {
	return pay.Payment{
		MchID: pay.MchID(r.MchID), TransactionID: pay.TransactionID(r.TransactionID), OutTradeNo: pay.OutTradeNo(r.OutTradeNo),
		Amount: pay.Fen(r.AmountFen), PayerTotal: pay.Fen(r.PayerTotalFen), Currency: r.Currency, OpenID: pay.OpenID(r.OpenID),
		TradeType: r.TradeType, BankType: r.BankType, PaidAt: instant(r.PaidAt), ObservedAt: instant(r.ObservedAt),
		NotifiedAt: instant(r.NotifiedAt.Time),
		Refunded:   pay.Fen(r.RefundedFen), Reserved: pay.Fen(r.ReservedFen), Overrun: pay.Fen(r.OverrunFen),
	}
}

// paymentColumns are the payments that a batch met for the first time.
type paymentColumns struct {
	mchid, transactionID, outTradeNo, currency, openID, tradeType, bankType texts
	amount, payerTotal, refunded, reserved, overrun                         integers
	paidAt, observedAt, notifiedAt                                          instants
}

func (c *paymentColumns) add(p *pay.Payment) {
	c.mchid = append(c.mchid, string(p.MchID))
	c.transactionID = append(c.transactionID, string(p.TransactionID))
	c.outTradeNo = append(c.outTradeNo, string(p.OutTradeNo))
	c.amount = append(c.amount, int64(p.Amount))
	c.payerTotal = append(c.payerTotal, int64(p.PayerTotal))
	c.currency = append(c.currency, p.Currency)
	c.openID = append(c.openID, string(p.OpenID))
	c.tradeType = append(c.tradeType, p.TradeType)
	c.bankType = append(c.bankType, p.BankType)
	c.paidAt = append(c.paidAt, p.PaidAt)
	c.observedAt = append(c.observedAt, p.ObservedAt)
	c.notifiedAt = append(c.notifiedAt, p.NotifiedAt)
	c.refunded = append(c.refunded, int64(p.Refunded))
	c.reserved = append(c.reserved, int64(p.Reserved))
	c.overrun = append(c.overrun, int64(p.Overrun))
}

func (c *paymentColumns) args() []any {
	return []any{
		c.mchid, c.transactionID, c.outTradeNo, c.amount, c.payerTotal, c.currency, c.openID, c.tradeType, c.bankType,
		c.paidAt, c.observedAt, c.notifiedAt, c.refunded, c.reserved, c.overrun,
	}
}

// paymentChangeColumns are known payments whose sums moved, or that WeChat Pay
// told of for the first time.
type paymentChangeColumns struct {
	mchid, transactionID                       texts
	refundedWas, reservedWas, overrunWas       integers
	refundedIsNow, reservedIsNow, overrunIsNow integers
	notifiedAt                                 instants
}

func (c *paymentChangeColumns) add(now, was *pay.Payment) {
	c.mchid = append(c.mchid, string(now.MchID))
	c.transactionID = append(c.transactionID, string(now.TransactionID))
	c.refundedWas = append(c.refundedWas, int64(was.Refunded))
	c.reservedWas = append(c.reservedWas, int64(was.Reserved))
	c.overrunWas = append(c.overrunWas, int64(was.Overrun))
	c.refundedIsNow = append(c.refundedIsNow, int64(now.Refunded))
	c.reservedIsNow = append(c.reservedIsNow, int64(now.Reserved))
	c.overrunIsNow = append(c.overrunIsNow, int64(now.Overrun))
	c.notifiedAt = append(c.notifiedAt, now.NotifiedAt)
}

func (c *paymentChangeColumns) args() []any {
	return []any{
		c.mchid, c.transactionID, c.refundedWas, c.reservedWas, c.overrunWas,
		c.refundedIsNow, c.reservedIsNow, c.overrunIsNow, c.notifiedAt,
	}
}
