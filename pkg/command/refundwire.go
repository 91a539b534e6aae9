package command

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// refundWire is a refund in a reply. Its names are those of the events.
type refundWire struct {
	MchID           string       `json:"mchid"`
	OutRefundNo     string       `json:"out_refund_no"`
	OutTradeNo      string       `json:"out_trade_no"`
	TransactionID   string       `json:"transaction_id"`
	RefundID        string       `json:"refund_id,omitempty"`
	AmountFen       int64        `json:"amount_fen"`
	Currency        string       `json:"currency"`
	Reason          string       `json:"reason,omitempty"`
	Origin          string       `json:"origin"`
	State           string       `json:"state"`
	CreatedAt       time.Time    `json:"created_at"`
	UpdatedAt       time.Time    `json:"updated_at"`
	SucceededAt     *time.Time   `json:"succeeded_at,omitempty"`
	ReceivedAccount string       `json:"received_account,omitempty"`
	Failure         *failureWire `json:"failure,omitempty"` // of an unresolved refund: what the last call was told
	NextCheckAt     *time.Time   `json:"next_check_at,omitempty"`
	Digest          string       `json:"digest"`
}

func wireRefund(r pay.Refund) refundWire {
	wire := refundWire{
		MchID: string(r.MchID), OutRefundNo: string(r.OutRefundNo), OutTradeNo: string(r.OutTradeNo), TransactionID: string(r.TransactionID),
		RefundID: r.RefundID, AmountFen: int64(r.Amount), Currency: r.Currency, Reason: r.Reason, Origin: string(r.Origin), State: string(r.State),
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(), SucceededAt: instant(r.SucceededAt),
		ReceivedAccount: r.ReceivedAccount, NextCheckAt: instant(r.NextCheckAt), Digest: r.Digest,
	}
	if r.FailureCode != "" {
		wire.Failure = &failureWire{Code: r.FailureCode, Reason: r.FailureReason}
	}
	return wire
}

func refundJSON(r pay.Refund) ([]byte, error) {
	body, err := json.Marshal(wireRefund(r))
	if err != nil {
		return nil, fmt.Errorf("write refund: %w", err)
	}
	return body, nil
}

// instant is nil for a time that has not come.
func instant(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}
