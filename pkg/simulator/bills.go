package simulator

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// BillClose closes the books for a day: what happened since the last close is that
// day's bill. Closing a day again adds to it.
type BillClose struct {
	// BillDate is any past day in Beijing, as 2006-01-02.
	BillDate string `json:"bill_date"`
	// BOM and LineEnd are how its files are written from then on: a byte order mark
	// first, lines that end in "lf" in place of "crlf".
	BOM     bool   `json:"bom,omitempty"`
	LineEnd string `json:"line_end,omitempty"`
}

// BillReport says what a close has put into the day's bill, earlier closes included.
type BillReport struct {
	BillDate string `json:"bill_date"`
	Payments int    `json:"payments"`
	Refunds  int    `json:"refunds"`
}

// billEntry is a close as the journal keeps it, with what faults made of it.
type billEntry struct {
	BillClose

	ClosedAt time.Time `json:"closed_at"`
	// SameDay takes only what happened on that very day: the bill that the platform
	// makes by itself the morning after.
	SameDay bool        `json:"same_day,omitempty"`
	Missing []string    `json:"missing,omitempty"`
	Altered []string    `json:"altered,omitempty"`
	Extra   []billExtra `json:"extra,omitempty"`
}

// billExtra is a row of a payment that never was, made after the likeness of another.
type billExtra struct {
	Like          string `json:"like"`
	TransactionID string `json:"transaction_id"`
	OutTradeNo    string `json:"out_trade_no"`
}

// billItem is one thing that a bill tells of: a payment, a refund that was accepted,
// or (in the fund flow only) a closed refund whose money came back.
type billItem struct {
	at         time.Time
	outTradeNo string
	payment    *Payment
	refund     *Refund // as it is now; a row keeps what it was at the close
	flows      []flowRow
}

// id is the platform's number for what the item tells of.
func (i billItem) id() string {
	if i.refund != nil {
		return i.refund.RefundID
	}
	return i.payment.TransactionID
}

// billDay is one day's closed books.
type billDay struct {
	bom, lf bool
	rows    []billRow
	flows   []flowRow
}

// billBooks are the bills within the books, under their lock.
type billBooks struct {
	open    []billItem // since the last close
	days    map[string]*billDay
	balance int64
	count   int // of flows
}

// notePayment takes a payment into the open books. WeChat Pay publishes the fund
// flow's columns but no closed list of names and kinds: those written here, and that
// a refund gives its fee back in a row of its own, are this stand-in's choice.
func (b *billBooks) notePayment(o Order, p Payment) {
	item := billItem{at: p.PaidAt, outTradeNo: p.OutTradeNo, payment: &p}
	b.flow(&item, o.Mchid, "交易", "交易", p.AmountFen, p.TransactionID, o.Description, p.OutTradeNo)
	b.flow(&item, o.Mchid, "交易", "扣除交易手续费", -feeOf(p.AmountFen), p.TransactionID, "", p.OutTradeNo)
	b.open = append(b.open, item)
}

// noteRefund takes an accepted refund into the open books.
func (b *billBooks) noteRefund(o Order, r *Refund) {
	item := billItem{at: r.CreatedAt, outTradeNo: r.OutTradeNo, refund: r}
	b.flow(&item, o.Mchid, "退款", "退款", -r.AmountFen, r.RefundID, r.Reason, r.OutRefundNo)
	b.flow(&item, o.Mchid, "退款", "退还交易手续费", feeOf(r.AmountFen), r.RefundID, "", r.OutRefundNo)
	b.open = append(b.open, item)
}

// noteReturn: the money of a closed refund is the merchant's again.
func (b *billBooks) noteReturn(o Order, r *Refund, at time.Time) {
	item := billItem{at: at, outTradeNo: r.OutTradeNo}
	b.flow(&item, o.Mchid, "退款", "退款关闭", r.AmountFen, r.RefundID, "", r.OutRefundNo)
	b.flow(&item, o.Mchid, "退款", "扣除交易手续费", -feeOf(r.AmountFen), r.RefundID, "", r.OutRefundNo)
	b.open = append(b.open, item)
}

// flow moves money of the merchant's account; no row tells of nothing.
func (b *billBooks) flow(item *billItem, mchid, name, kind string, amount int64, id, remark, voucher string) {
	if amount == 0 {
		return
	}
	b.balance += amount
	b.count++
	item.flows = append(item.flows, flowRow{at: item.at, id: id, name: name, kind: kind, fen: amount, balance: b.balance,
		remark: remark, voucher: voucher,
		number: fmt.Sprintf("%s%s%010d", mchid, item.at.In(beijing()).Format("20060102"), b.count)})
}

// due splits the open books into what a close takes and what it leaves.
func (b *billBooks) due(date string, sameDay bool) (taken, left []billItem) {
	for _, item := range b.open {
		if sameDay && dateOf(item.at) != date {
			left = append(left, item)
		} else {
			taken = append(taken, item)
		}
	}
	return taken, left
}

// applyBill makes the rows of a close. What they say of a refund is what it is now,
// and stays, whatever becomes of the refund.
func (b *books) applyBill(e billEntry) error {
	day := b.bills.days[e.BillDate]
	if day == nil {
		day = &billDay{}
		b.bills.days[e.BillDate] = day
	}
	if !e.SameDay {
		day.bom, day.lf = e.BOM, e.LineEnd == "lf"
	}
	taken, left := b.bills.due(e.BillDate, e.SameDay)
	b.bills.open = left
	for _, item := range taken {
		day.flows = append(day.flows, item.flows...)
		if item.payment == nil && item.refund == nil {
			continue
		}
		order, known := b.orders[item.outTradeNo]
		if !known {
			return errors.New("a bill tells of an unknown order")
		}
		day.rows = append(day.rows, e.rowsOf(*order, item)...)
	}
	return nil
}

func (e billEntry) rowsOf(o Order, item billItem) []billRow {
	row := paymentRow(o, item.payment)
	if item.refund != nil {
		row = refundRow(o, *item.refund)
	}
	var rows []billRow
	if slices.Contains(e.Altered, item.id()) {
		rows = append(rows, row.altered())
	} else if !slices.Contains(e.Missing, item.id()) {
		rows = append(rows, row)
	}
	for _, extra := range e.Extra {
		if extra.Like == item.id() {
			row.transactionID, row.outTradeNo = extra.TransactionID, extra.OutTradeNo
			rows = append(rows, row)
		}
	}
	return rows
}

// dateOf is the day in Beijing, as API v3 writes it.
func dateOf(t time.Time) string { return t.In(beijing()).Format(time.DateOnly) }
