package simulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kinds of trade bill, as bill_type asks for them.
const (
	billAll     = "ALL"
	billSuccess = "SUCCESS"
	billRefund  = "REFUND"
)

// feeRate is 0.60 percent, in hundredths of a percent.
const feeRate = 60

// feeOf rounds to whole fen. Known bills fit that; that half a fen goes up is this
// stand-in's choice.
func feeOf(fen int64) int64 { return (fen*feeRate + 5000) / 10000 }

// billRow is one row of a trade bill, in fen and not yet in words.
type billRow struct {
	order                             Order
	at                                time.Time
	transactionID, outTradeNo, openid string
	paidFen, couponFen, feeFen        int64
	refund                            *Refund // a copy
}

func paymentRow(o Order, p *Payment) billRow {
	if p == nil {
		return billRow{}
	}
	return billRow{order: o, at: p.PaidAt, transactionID: p.TransactionID, outTradeNo: p.OutTradeNo, openid: p.Openid,
		paidFen: p.AmountFen, couponFen: p.CouponFen, feeFen: feeOf(p.AmountFen)}
}

func refundRow(o Order, r Refund) billRow {
	row := billRow{order: o, at: r.CreatedAt, transactionID: r.TransactionID, outTradeNo: r.OutTradeNo, feeFen: -feeOf(r.AmountFen), refund: &r}
	if o.Payment != nil {
		row.openid = o.Payment.Openid
	}
	return row
}

// altered is the same row with one fen more.
func (r billRow) altered() billRow {
	if r.refund == nil {
		r.paidFen++
		return r
	}
	other := *r.refund
	other.AmountFen++
	r.refund = &other
	return r
}

// cells are the 27 columns of the bill ALL, by their place in billHeader.
func (r billRow) cells() []string {
	cells := []string{
		r.at.In(beijing()).Format(time.DateTime), r.order.Appid, r.order.Mchid, "0", r.order.DeviceInfo,
		r.transactionID, r.outTradeNo, r.openid, r.order.TradeType, "SUCCESS", bankType, "CNY",
		yuan(r.paidFen), yuan(r.couponFen), "0", "0", yuan(0), yuan(0), "", "",
		r.order.Description, r.order.Attach, feeText(r.feeFen), "0.60%", yuan(r.paidFen), yuan(0), "",
	}
	if refund := r.refund; refund != nil {
		cells[9] = "REFUND"
		cells[14], cells[15], cells[16], cells[17] = refund.RefundID, refund.OutRefundNo, yuan(refund.AmountFen), yuan(refund.AmountFen-refund.PayerFen)
		cells[18], cells[19], cells[25] = refund.Channel, refundStatusInBill(refund.Status), yuan(refund.AmountFen)
	}
	return cells
}

// refundStatusInBill has its own spelling, again.
func refundStatusInBill(s RefundStatus) string {
	switch s {
	case RefundAbnormal:
		return "CHANGE"
	case RefundClosed:
		return "FAIL"
	case RefundProcessing, RefundSuccess:
	}
	return string(s)
}

// billHeader names the columns of the bill ALL; the others are made from it.
func billHeader() []string {
	return strings.Split("交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"+
		"应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注", ",")
}

const (
	couponColumn  = 14 // what comes before: the columns that every kind begins with
	productColumn = 20 // what comes from here on ends every kind, but for one
)

// successCells are those of the bill SUCCESS: nothing about refunds.
func successCells(all []string) []string {
	const appliedRefund = 25
	cells := append([]string(nil), all[:couponColumn]...)
	cells = append(cells, all[productColumn:appliedRefund]...)
	return append(cells, all[appliedRefund+1:]...)
}

// refundCells are those of the bill REFUND: two times more.
func refundCells(all []string, applied, succeeded string) []string {
	cells := append([]string(nil), all[:couponColumn]...)
	cells = append(cells, applied, succeeded)
	return append(cells, all[couponColumn:]...)
}

// tradeBill writes one kind of bill; rows is how many it has.
func (d *billDay) tradeBill(kind string) (file []byte, rows int) {
	out, sum := csvFile{bom: d.bom, lf: d.lf}, billSum{}
	switch kind {
	case billSuccess:
		out.head(successCells(billHeader()))
	case billRefund:
		out.head(refundCells(billHeader(), "退款申请时间", "退款成功时间"))
	default:
		out.head(billHeader())
	}
	for _, row := range d.rows {
		if kind == billSuccess && row.refund != nil || kind == billRefund && row.refund == nil {
			continue
		}
		sum.add(row)
		cells := row.cells()
		switch kind {
		case billSuccess:
			cells = successCells(cells)
		case billRefund:
			succeeded := ""
			if at := row.refund.SucceededAt; at != nil {
				succeeded = at.In(beijing()).Format(time.DateTime)
			}
			cells = refundCells(cells, row.at.In(beijing()).Format(time.DateTime), succeeded)
		}
		out.row(cells)
	}
	sum.write(&out, kind)
	return out.bytes(), sum.count
}

// billSum is the second section of a trade bill.
type billSum struct {
	count                            int
	paid, refunded, couponBack, fees int64
}

func (s *billSum) add(r billRow) {
	s.count++
	s.paid += r.paidFen
	s.fees += r.feeFen
	if r.refund != nil {
		s.refunded += r.refund.AmountFen
		s.couponBack += r.refund.AmountFen - r.refund.PayerFen
	}
}

func (s *billSum) write(out *csvFile, kind string) {
	if kind == billSuccess {
		out.head([]string{"总交易单数", "应结订单总金额", "手续费总金额", "订单总金额"})
		out.row([]string{strconv.Itoa(s.count), yuan(s.paid), feeText(s.fees), yuan(s.paid)})
		return
	}
	out.head([]string{"总交易单数", "应结订单总金额", "退款总金额", "充值券退款总金额", "手续费总金额", "订单总金额", "申请退款总金额"})
	out.row([]string{strconv.Itoa(s.count), yuan(s.paid), yuan(s.refunded), yuan(s.couponBack), feeText(s.fees), yuan(s.paid), yuan(s.refunded)})
}

// flowRow is one movement of the merchant's account. fen is negative for an expense.
type flowRow struct {
	at              time.Time
	id, number      string
	name, kind      string
	fen, balance    int64
	remark, voucher string
}

// fundBill writes the eleven columns of the fund flow bill.
func (d *billDay) fundBill() (file []byte, rows int) {
	out := csvFile{bom: d.bom, lf: d.lf}
	out.head(strings.Split("记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号", ","))
	var in, gone int
	var inFen, goneFen int64
	for _, f := range d.flows {
		direction, amount := "收入", f.fen
		if f.fen < 0 {
			direction, amount = "支出", -f.fen
			gone++
			goneFen += amount
		} else {
			in++
			inFen += amount
		}
		out.row([]string{f.at.In(beijing()).Format(time.DateTime), f.id, f.number, f.name, f.kind, direction,
			yuan(amount), yuan(f.balance), "system", f.remark, f.voucher})
	}
	out.head([]string{"资金流水总笔数", "收入笔数", "收入金额", "支出笔数", "支出金额"})
	out.row([]string{strconv.Itoa(len(d.flows)), strconv.Itoa(in), yuan(inFen), strconv.Itoa(gone), yuan(goneFen)})
	return out.bytes(), len(d.flows)
}

// csvFile writes bills: a backtick before each value, none in the headers.
type csvFile struct {
	bom, lf bool
	text    strings.Builder
}

func (f *csvFile) head(cells []string) { f.line(strings.Join(cells, ",")) }

// row keeps backticks out of values: with one after a comma, nobody could tell
// where the value ends. Commas stay, as they do in WeChat's.
func (f *csvFile) row(cells []string) {
	clean := make([]string, len(cells))
	for i, cell := range cells {
		clean[i] = strings.ReplaceAll(cell, "`", "'")
	}
	f.line("`" + strings.Join(clean, ",`"))
}

func (f *csvFile) line(text string) {
	f.text.WriteString(text)
	if !f.lf {
		f.text.WriteByte('\r')
	}
	f.text.WriteByte('\n')
}

func (f *csvFile) bytes() []byte {
	if f.bom {
		return []byte("\ufeff" + f.text.String())
	}
	return []byte(f.text.String())
}

func yuan(fen int64) string {
	sign := ""
	if fen < 0 {
		sign, fen = "-", -fen
	}
	return fmt.Sprintf("%s%d.%02d", sign, fen/100, fen%100)
}

// feeText has five decimals, the last three of them always zero.
func feeText(fen int64) string { return yuan(fen) + "000" }
