package command

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// ending is how a command ended: with an order, a refund, a decided anomaly (its
// order and refund beside it), or a problem.
type ending struct {
	outcome pay.CommandOutcome
	status  int
	order   pay.Order
	refund  *pay.Refund
	anomaly *pay.Anomaly
	problem *problem.Error
}

// Statuses of an order or refund in a reply.
const (
	statusPlaced = http.StatusCreated // this command made it ready to pay, or recorded it
	statusKnown  = http.StatusOK
)

func done(o pay.Order, status int) *ending {
	return &ending{outcome: pay.CommandDone, status: status, order: o}
}

func refunded(r pay.Refund, status int) *ending {
	return &ending{outcome: pay.CommandDone, status: status, refund: &r}
}

func failed(outcome pay.CommandOutcome, p *problem.Error) ending {
	return ending{outcome: outcome, status: p.Kind.Status(), problem: p}
}

func expired(detail string) *ending {
	end := failed(pay.CommandExpired, problem.New(problem.Expired, detail))
	return &end
}

// refusedBy answers a failed order with what WeChat Pay said.
func refusedBy(o pay.Order) *ending {
	detail := "WeChat Pay refused the order: " + clip(o.FailureCode)
	if o.FailureReason != "" {
		detail += " (" + clip(o.FailureReason) + ")"
	}
	end := failed(pay.CommandRefused, problem.New(problem.Refused, detail))
	return &end
}

func orZero(end *ending) ending {
	if end == nil {
		return ending{}
	}
	return *end
}

// orderWire is an order in a reply. Its names are those of the events.
type orderWire struct {
	MchID         string              `json:"mchid"`
	OutTradeNo    string              `json:"out_trade_no"`
	State         string              `json:"state"`
	Sequence      int64               `json:"sequence"`
	AmountFen     int64               `json:"amount_fen"`
	Currency      string              `json:"currency"`
	TransactionID string              `json:"transaction_id,omitempty"`
	PaidAt        *time.Time          `json:"paid_at,omitempty"`
	Late          bool                `json:"late"`
	CreatedAt     time.Time           `json:"created_at"`
	ExpiresAt     time.Time           `json:"expires_at"`
	Failure       *failureWire        `json:"failure,omitempty"`
	Pay           wechatpay.PayParams `json:"pay"` // {} where there is nothing to pay
	Digest        string              `json:"digest"`
}

type failureWire struct {
	Code   string `json:"code"`
	Reason string `json:"reason,omitempty"`
}

// orderJSON writes an order for the shop, with fresh pay parameters where a
// buyer can pay with them.
func (s *Service) orderJSON(o pay.Order) ([]byte, error) {
	wire := orderWire{
		MchID: string(o.MchID), OutTradeNo: string(o.OutTradeNo), State: string(o.State), Sequence: o.Sequence,
		AmountFen: int64(o.Amount), Currency: o.Currency, TransactionID: string(o.TransactionID), Late: o.Late,
		CreatedAt: o.CreatedAt.UTC(), ExpiresAt: o.ExpiresAt.UTC(), Digest: o.Digest,
	}
	wire.PaidAt = instant(o.PaidAt)
	if o.FailureCode != "" {
		wire.Failure = &failureWire{Code: o.FailureCode, Reason: o.FailureReason}
	}
	params, err := s.payParams(o)
	if err != nil {
		return nil, err
	}
	wire.Pay = params
	body, err := json.Marshal(wire)
	if err != nil {
		return nil, fmt.Errorf("write order: %w", err)
	}
	return body, nil
}

// payParams are signed anew for each reply: the client's clock is compared
// with their time.
func (s *Service) payParams(o pay.Order) (wechatpay.PayParams, error) {
	now := s.Now()
	if o.State != pay.OrderAwaitingPayment || o.Credential.Zero() || !o.Credential.ExpiresAt.After(now) || !o.ExpiresAt.After(now) {
		return wechatpay.PayParams{}, nil
	}
	credentials, known := s.Merchants.Credentials(o.MchID)
	if !known {
		return wechatpay.PayParams{}, nil
	}
	params, err := wechatpay.ClientParams(o, credentials, now, s.Nonce())
	if err != nil {
		return wechatpay.PayParams{}, fmt.Errorf("sign pay parameters: %w", err)
	}
	return params, nil
}

// resultOf writes an ending down, for the commands table and the reply.
func (s *Service) resultOf(cmd pay.Command, end ending) (pay.CommandResult, error) {
	result := pay.CommandResult{
		ID: cmd.ID, MchID: cmd.MchID, Kind: cmd.Kind, OutTradeNo: cmd.OutTradeNo, OutRefundNo: cmd.OutRefundNo, Digest: cmd.Digest,
		Outcome: end.outcome, Status: end.status, ReceivedAt: cmd.ReceivedAt, FinishedAt: s.Now().UTC(),
	}
	var err error
	switch {
	case end.problem != nil:
		result.Body, err = json.Marshal(problem.DocumentOf(end.problem, ""))
	case end.anomaly != nil:
		result.OutTradeNo = end.order.OutTradeNo
		result.Body, err = decisionJSON(end)
	case end.refund != nil:
		result.OutTradeNo = end.refund.OutTradeNo // a command may name the payment only
		result.Body, err = refundJSON(*end.refund)
	default:
		result.Body, err = s.orderJSON(end.order)
	}
	if err != nil {
		return pay.CommandResult{}, fmt.Errorf("write reply: %w", err)
	}
	return result, nil
}
