package wechatpay

import (
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// TradeState is where WeChat Pay sees an order.
type TradeState string

// The states of a transaction (WeChat Pay doc 4012791861; the last four occur
// with payment codes, ACCEPT in protocol v2 only).
const (
	TradeNotPay     TradeState = "NOTPAY"
	TradeSuccess    TradeState = "SUCCESS"
	TradeRefund     TradeState = "REFUND" // paid, and a refund has begun
	TradeClosed     TradeState = "CLOSED"
	TradeRevoked    TradeState = "REVOKED"
	TradeUserPaying TradeState = "USERPAYING"
	TradePayError   TradeState = "PAYERROR"
	TradeAccept     TradeState = "ACCEPT"
)

// Paid says whether money has moved.
func (s TradeState) Paid() bool { return s == TradeSuccess || s == TradeRefund }

// Closed says whether nobody can pay any more.
func (s TradeState) Closed() bool { return s == TradeClosed || s == TradeRevoked }

// Transaction is an order as WeChat Pay describes it, in a notification or in
// the answer to a query.
type Transaction struct {
	MchID         pay.MchID
	AppID         pay.AppID
	OutTradeNo    pay.OutTradeNo
	TransactionID pay.TransactionID // empty while nothing is paid
	State         TradeState
	TradeType     string
	BankType      string
	OpenID        pay.OpenID
	Attach        string
	Total         pay.Fen // amount.total: before coupons
	PayerTotal    pay.Fen // what the buyer's purse paid
	Currency      string
	PaidAt        time.Time // zero while nothing is paid
}

func (t Transaction) observation() pay.Observation {
	obs := pay.Observation{Kind: pay.ObservedOpen, MchID: t.MchID, AppID: t.AppID, OutTradeNo: t.OutTradeNo}
	switch {
	case t.State.Paid():
		obs.Kind = pay.ObservedPaid
		obs.TransactionID, obs.Amount, obs.PayerTotal = t.TransactionID, t.Total, t.PayerTotal
		obs.Currency, obs.PaidAt, obs.OpenID = t.Currency, t.PaidAt, t.OpenID
		obs.TradeType, obs.BankType = t.TradeType, t.BankType
	case t.State.Closed():
		obs.Kind = pay.ObservedClosed
	}
	return obs
}

// Bounds of what is kept: those of the docs or above (WeChat Pay doc
// 4012791861), so that whatever passes fits the books.
const (
	maxNumberBytes = 64
	maxTextBytes   = 512
)

// check refuses a transaction that could not be written down: numbers without
// a shape, text that no database takes, money without what belongs to it. An
// amount that is merely wrong passes; it is money.
func (t Transaction) check() *VerifyError {
	for _, f := range []struct {
		name, value string
		must        bool
	}{
		{"mchid", string(t.MchID), true},
		{"out_trade_no", string(t.OutTradeNo), true},
		{"trade_state", string(t.State), true},
		{"appid", string(t.AppID), t.State.Paid()},
		{"transaction_id", string(t.TransactionID), t.State.Paid()},
		{"trade_type", t.TradeType, false},
		{"bank_type", t.BankType, false},
		{"currency", t.Currency, t.State.Paid()},
	} {
		if rejected := checkNumber(f.name, f.value, f.must); rejected != nil {
			return rejected
		}
	}
	if rejected := checkText("openid", string(t.OpenID)); rejected != nil {
		return rejected
	}
	if rejected := checkText("attach", t.Attach); rejected != nil {
		return rejected
	}
	return t.checkMoney()
}

func (t Transaction) checkMoney() *VerifyError {
	switch {
	case t.Total < 0 || t.PayerTotal < 0:
		return reject(ReasonMalformed, "an amount is negative")
	case !t.State.Paid():
		return nil
	case t.Total == 0:
		return reject(ReasonMalformed, "amount.total is missing or 0 in a payment")
	case t.PaidAt.IsZero():
		return reject(ReasonMalformed, "success_time is missing in a payment")
	}
	return nil
}

// checkNumber: ids and codes are printable ASCII without blanks.
func checkNumber(name, value string, must bool) *VerifyError {
	switch {
	case value == "" && must:
		return reject(ReasonMalformed, "%s is missing", name)
	case len(value) > maxNumberBytes:
		return reject(ReasonMalformed, "%s has %d bytes, and at most %d are allowed", name, len(value), maxNumberBytes)
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] > '~' {
			return reject(ReasonMalformed, "%s holds characters that no number has", name)
		}
	}
	return nil
}

// checkText: no length that nobody sends, and no NUL, which PostgreSQL refuses.
func checkText(name, value string) *VerifyError {
	if len(value) > maxTextBytes {
		return reject(ReasonMalformed, "%s has %d bytes, and at most %d are allowed", name, len(value), maxTextBytes)
	}
	for i := range len(value) {
		if value[i] == 0 {
			return reject(ReasonMalformed, "%s holds a NUL", name)
		}
	}
	return nil
}
