package command

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// decisionWire is what a decision came to. The operators' API gives it on
// unchanged: schema/openapi.yaml, Decision.
type decisionWire struct {
	Anomaly anomalyWire    `json:"anomaly"`
	Order   decidedOrder   `json:"order"`
	Refund  *decidedRefund `json:"refund,omitempty"` // that gives the money back
}

type anomalyWire struct {
	MchID          string     `json:"mchid"`
	OutTradeNo     string     `json:"out_trade_no"`
	Kind           string     `json:"kind"`
	TransactionID  string     `json:"transaction_id"`
	OutRefundNo    string     `json:"out_refund_no,omitempty"`
	Policy         string     `json:"policy"`
	State          string     `json:"state"`
	ExpectedFen    int64      `json:"expected_fen"`
	ActualFen      int64      `json:"actual_fen"`
	ObservedAt     time.Time  `json:"observed_at"`
	Decision       string     `json:"decision,omitempty"`
	DecidedBy      string     `json:"decided_by,omitempty"`
	DecisionReason string     `json:"decision_reason,omitempty"`
	DecidedAt      *time.Time `json:"decided_at,omitempty"`
}

type decidedOrder struct {
	OutTradeNo    string `json:"out_trade_no"`
	State         string `json:"state"`
	Sequence      int64  `json:"sequence"`
	TransactionID string `json:"transaction_id,omitempty"` // the payment that paid it
}

type decidedRefund struct {
	OutRefundNo string `json:"out_refund_no"`
	State       string `json:"state"`
	AmountFen   int64  `json:"amount_fen"`
	Currency    string `json:"currency"`
}

func decisionJSON(end ending) ([]byte, error) {
	a, o := end.anomaly, end.order
	wire := decisionWire{
		Anomaly: wireAnomaly(*a),
		Order:   decidedOrder{OutTradeNo: string(o.OutTradeNo), State: string(o.State), Sequence: o.Sequence, TransactionID: string(o.TransactionID)},
	}
	if r := end.refund; r != nil {
		wire.Refund = &decidedRefund{OutRefundNo: string(r.OutRefundNo), State: string(r.State), AmountFen: int64(r.Amount), Currency: r.Currency}
	}
	body, err := json.Marshal(wire)
	if err != nil {
		return nil, fmt.Errorf("write decision: %w", err)
	}
	return body, nil
}

func wireAnomaly(a pay.Anomaly) anomalyWire {
	return anomalyWire{
		MchID: string(a.MchID), OutTradeNo: string(a.OutTradeNo), Kind: string(a.Kind), TransactionID: string(a.TransactionID),
		OutRefundNo: string(a.OutRefundNo), Policy: string(a.Policy), State: string(a.State),
		ExpectedFen: int64(a.ExpectedFen), ActualFen: int64(a.ActualFen), ObservedAt: a.ObservedAt.UTC(),
		Decision: string(a.Decision), DecidedBy: a.DecidedBy, DecisionReason: a.DecisionReason, DecidedAt: instant(a.DecidedAt),
	}
}
