package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// pendingFor is how long a command that has no row yet counts as under way: its
// deadline, and ample time for a worker that was away. Its id carries its age.
const pendingFor = 10 * time.Minute

// answer is the reply to a read: what the shop is to be told.
type answer struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"`
}

// ReadOrder answers {"mchid","out_trade_no"} with the order as it stands.
func (s *Service) ReadOrder(ctx context.Context, question []byte) ([]byte, error) {
	var q struct {
		MchID      pay.MchID      `json:"mchid"`
		OutTradeNo pay.OutTradeNo `json:"out_trade_no"`
	}
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	order, found, err := s.Books.Order(ctx, q.MchID, q.OutTradeNo)
	switch {
	case err != nil:
		return answerProblem(problem.Wrap(problem.DatabaseUnavailable, err, "orders cannot be read at the moment"))
	case !found:
		return answerProblem(noOrder(q.MchID, q.OutTradeNo))
	}
	body, err := s.orderJSON(order)
	if err != nil {
		return nil, err
	}
	return answerBody(http.StatusOK, body)
}

// ReadRefund answers {"mchid","out_refund_no"} with the refund as it stands.
func (s *Service) ReadRefund(ctx context.Context, question []byte) ([]byte, error) {
	var q struct {
		MchID       pay.MchID       `json:"mchid"`
		OutRefundNo pay.OutRefundNo `json:"out_refund_no"`
	}
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	refund, found, err := s.Books.Refund(ctx, q.MchID, q.OutRefundNo)
	switch {
	case err != nil:
		return answerProblem(problem.Wrap(problem.DatabaseUnavailable, err, "refunds cannot be read at the moment"))
	case !found:
		return answerProblem(noRefund(q.MchID, q.OutRefundNo))
	}
	return answerJSON(http.StatusOK, wireRefund(refund))
}

// commandWire is a command as a shop sees it.
type commandWire struct {
	CommandID   string          `json:"command_id"`
	Kind        string          `json:"kind,omitempty"`
	OutTradeNo  string          `json:"out_trade_no,omitempty"`
	OutRefundNo string          `json:"out_refund_no,omitempty"`
	Outcome     string          `json:"outcome"` // pending, or how it ended
	Status      int             `json:"status,omitempty"`
	Result      json.RawMessage `json:"result,omitempty"` // what POST would have answered
	ReceivedAt  *time.Time      `json:"received_at,omitempty"`
	FinishedAt  *time.Time      `json:"finished_at,omitempty"`
}

// ReadCommand answers {"mchid","command_id"} with how the command ended: 200,
// or 202 while it may still be under way.
func (s *Service) ReadCommand(ctx context.Context, question []byte) ([]byte, error) {
	var q struct {
		MchID     pay.MchID     `json:"mchid"`
		CommandID pay.CommandID `json:"command_id"`
	}
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	unknown := problem.Newf(problem.NotFound, "there is no command %s of merchant %s", clip(string(q.CommandID)), clip(string(q.MchID)))
	id, err := uuid.Parse(string(q.CommandID))
	if err != nil {
		return answerProblem(unknown)
	}
	result, found, err := s.Books.Command(ctx, q.MchID, pay.CommandID(id.String()))
	switch {
	case err != nil:
		return answerProblem(problem.Wrap(problem.DatabaseUnavailable, err, "commands cannot be read at the moment"))
	case found:
		return answerJSON(http.StatusOK, commandWire{
			CommandID: string(result.ID), Kind: string(result.Kind), OutTradeNo: string(result.OutTradeNo), OutRefundNo: string(result.OutRefundNo),
			Outcome: string(result.Outcome), Status: result.Status, Result: result.Body,
			ReceivedAt: &result.ReceivedAt, FinishedAt: &result.FinishedAt,
		})
	case s.mayBeUnderWay(id):
		return answerJSON(http.StatusAccepted, commandWire{CommandID: id.String(), Outcome: "pending"})
	}
	return answerProblem(unknown)
}

func (s *Service) mayBeUnderWay(id uuid.UUID) bool {
	if id.Version() != 7 {
		return false
	}
	seconds, nanoseconds := id.Time().UnixTime()
	age := s.Now().Sub(time.Unix(seconds, nanoseconds))
	return age > -time.Minute && age < pendingFor
}

func answerProblem(p *problem.Error) ([]byte, error) {
	return answerJSON(p.Kind.Status(), problem.DocumentOf(p, ""))
}

func answerJSON(status int, document any) ([]byte, error) {
	body, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	return answerBody(status, body)
}

func answerBody(status int, body []byte) ([]byte, error) {
	wire, err := json.Marshal(answer{Status: status, Body: body})
	if err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	return wire, nil
}
