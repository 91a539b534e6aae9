package simulator

import (
	"fmt"
	"time"
)

// differing lists, for the log, in which fields a repetition differs from the first
// request: {name, first, now} of each that the ledger keeps.
func differing(fields [][3]any) []any {
	var differs []string
	for _, f := range fields {
		if f[1] != f[2] {
			differs = append(differs, fmt.Sprintf("%v: first %q, now %q", f[0], fmt.Sprint(f[1]), fmt.Sprint(f[2])))
		}
	}
	if differs == nil {
		differs = []string{"a field that the ledger does not keep; send the very same JSON values as the first time"}
	}
	return []any{"differs", differs}
}

// differsFrom says what a second prepay of a number changed.
func (o Order) differsFrom(first Order) []any {
	fields := [][3]any{
		{"trade type", first.TradeType, o.TradeType}, {"amount.total", first.AmountFen, o.AmountFen},
		{"description", first.Description, o.Description}, {"attach", first.Attach, o.Attach},
		{"notify_url", first.NotifyURL, o.NotifyURL}, {"payer.openid", first.Openid, o.Openid}, {"appid", first.Appid, o.Appid},
	}
	// Left out, or moved to the nearest allowed instant, it comes out a little later
	// each time without being another one.
	if off := o.ExpiresAt.Sub(first.ExpiresAt); off != o.CreatedAt.Sub(first.CreatedAt) {
		fields = append(fields, [3]any{"time_expire", first.ExpiresAt.Format(time.RFC3339), o.ExpiresAt.Format(time.RFC3339)})
	}
	return differing(fields)
}

// differsFrom says what a second request of a refund's number changed.
func (a refundAsk) differsFrom(first Refund) []any {
	fields := [][3]any{
		{"amount.refund", first.AmountFen, a.AmountFen}, {"amount.total", first.TotalFen, a.TotalFen},
		{"reason", first.Reason, a.Reason}, {"notify_url", first.NotifyURL, a.NotifyURL}, {"funds_account", first.FundsAccount, a.FundsAccount},
	}
	if a.TransactionID != "" {
		fields = append(fields, [3]any{"transaction_id", first.TransactionID, a.TransactionID})
	} else {
		fields = append(fields, [3]any{"out_trade_no", first.OutTradeNo, a.OutTradeNo})
	}
	return differing(fields)
}

// refundError is a reason with what the log should say about it.
type refundError struct {
	reason error
	log    []any
}

func (p *refundError) Error() string { return p.reason.Error() }
func (p *refundError) Unwrap() error { return p.reason }

func refuseRefund(reason error, log ...any) error { return &refundError{reason, log} }
