package simulator

import (
	"errors"
	"time"
)

// RefundStatus is spelled as API v3 spells it.
type RefundStatus string

// The states of a refund: PROCESSING ends in one of the others. ABNORMAL may go on:
// by an abnormal refund back to PROCESSING, or by /control.
const (
	RefundProcessing RefundStatus = "PROCESSING"
	RefundSuccess    RefundStatus = "SUCCESS"
	RefundClosed     RefundStatus = "CLOSED"
	RefundAbnormal   RefundStatus = "ABNORMAL"
)

// RefundOrigin says who asked for a refund.
type RefundOrigin string

// A refund is asked for by an API, v3 or v2, or by hand in the merchant's console.
const (
	OriginAPI     RefundOrigin = "api"
	OriginConsole RefundOrigin = "console"
)

// Limits of refunds (WeChat Pay doc 4014959631).
const (
	refundAge        = 365 * 24 * time.Hour
	maxRefundsOfOne  = 50
	refundProgress   = 3 * time.Second // divided by Speed; the real one takes up to days
	slowRefund       = 10 * time.Second
	receivedByWallet = "支付用户零钱"
)

// Refund is money that goes back, once.
type Refund struct {
	OutRefundNo   string `json:"out_refund_no"`
	RefundID      string `json:"refund_id"`
	TransactionID string `json:"transaction_id"`
	OutTradeNo    string `json:"out_trade_no"`
	AmountFen     int64  `json:"amount_fen"`
	TotalFen      int64  `json:"total_fen"`
	// PayerFen is what the payer gets of it, PayerTotalFen what the payer had paid;
	// coupons make the difference.
	PayerFen      int64        `json:"payer_fen"`
	PayerTotalFen int64        `json:"payer_total_fen"`
	Status        RefundStatus `json:"status"`
	Reason        string       `json:"reason,omitempty"`
	NotifyURL     string       `json:"notify_url,omitempty"`
	// Notify is the protocol of its notices.
	Notify       Protocol      `json:"notify"`
	FundsAccount string        `json:"funds_account,omitempty"`
	From         []RefundFunds `json:"from,omitempty"`
	Origin       RefundOrigin  `json:"origin"`
	Channel      string        `json:"channel"`
	// ReceivedAccount is where the money went, in WeChat's words.
	ReceivedAccount string     `json:"received_account,omitempty"`
	CreatedAt       time.Time  `json:"created_at"`
	ChangedAt       time.Time  `json:"changed_at"`
	SucceededAt     *time.Time `json:"succeeded_at,omitempty"`
	// Next is what PROCESSING turns into; empty waits for /control. Held is how long
	// that takes, in wall-clock time; 0 is the usual, which Speed divides.
	Next RefundStatus  `json:"next,omitempty"`
	Held time.Duration `json:"held,omitempty"`
	// Turns counts changes of status, AppliedFor is the type of an abnormal refund.
	Turns      int    `json:"turns"`
	AppliedFor string `json:"applied_for,omitempty"`
	// Parameters is a digest of what was asked for.
	Parameters string `json:"parameters"`
}

// RefundFunds is a part of a refund and the account that it comes from.
type RefundFunds struct {
	Account   string `json:"account"`
	AmountFen int64  `json:"amount"`
}

// refundAsk is what every way of asking for a refund comes down to. Exactly one of
// TransactionID and OutTradeNo need be set; with both, TransactionID counts.
// TotalFen 0 is the payment's total; AmountFen 0 is all that is left.
type refundAsk struct {
	TransactionID, OutTradeNo, OutRefundNo string
	AmountFen, TotalFen                    int64
	Reason, NotifyURL, FundsAccount        string
	From                                   []RefundFunds
	Origin                                 RefundOrigin
	Notify                                 Protocol
	Parameters                             string
	Next                                   RefundStatus
	Held                                   time.Duration
}

// Why a refund was not accepted. Each API has its own code for each.
var (
	errRefundNotPaid  = errors.New("no paid order has this number")
	errRefundReused   = errors.New("out_refund_no was used with other parameters")
	errRefundTotal    = errors.New("the total differs from what was paid")
	errRefundTooMuch  = errors.New("the refunds would exceed what was paid")
	errRefundTooMany  = errors.New("an order has at most fifty refunds")
	errRefundTooOld   = errors.New("the payment is older than 365 days")
	errRefundNoFunds  = errors.New("the merchant's account has not enough money")
	errUnknownRefund  = errors.New("no refund has this number")
	errRefundTurn     = errors.New("the refund cannot go from its status to that one")
	errRefundMismatch = errors.New("refund_id and out_refund_no belong to different refunds")
)
