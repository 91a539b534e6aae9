package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Answer answers {"since","recovery_id","actor","reason"} of the console: it
// begins a recovery or takes up the one since then, goes on with it for some
// seconds, and says how far it is. With recovery_id it goes on with that one.
func (s *Service) Answer(ctx context.Context, question []byte) ([]byte, error) {
	var q struct {
		Since  time.Time `json:"since"`
		ID     string    `json:"recovery_id"`
		Actor  string    `json:"actor"`
		Reason string    `json:"reason"`
	}
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	r, busy, err := s.drive(ctx, q.ID, q.Since, q.Actor, q.Reason)
	if err != nil {
		s.Log.WarnContext(ctx, "a recovery does not go on", "recovery_id", q.ID, "error", err)
		return problem.WriteRefusal(s.known(err)) //nolint:wrapcheck // of our own
	}
	return problem.WriteAnswer(http.StatusOK, documentOf(r, busy)) //nolint:wrapcheck // of our own
}

func (s *Service) drive(ctx context.Context, id string, since time.Time, actor, reason string) (pay.Recovery, bool, error) {
	if id == "" {
		begun, err := s.Begin(ctx, since, actor, reason)
		if err != nil {
			return pay.Recovery{}, false, err
		}
		id = begun.ID
	}
	r, err := s.Step(ctx, id, actor, reason)
	if errors.Is(err, errBusy) {
		return r, true, nil
	}
	return r, false, err
}

// known gives every error a kind.
func (s *Service) known(err error) error {
	var already *problem.Error
	switch {
	case errors.As(err, &already):
		return already
	case s.Retryable(err):
		return problem.Wrap(problem.DatabaseUnavailable, err, "")
	}
	return problem.Wrap(problem.Internal, err, "")
}

// The documents are those of schema/openapi.yaml.
type document struct {
	ID         string            `json:"recovery_id"`
	Since      time.Time         `json:"since"`
	Phase      string            `json:"phase"`
	Needed     bool              `json:"needed"`
	Busy       bool              `json:"busy"`
	Progress   progressDocument  `json:"progress"`
	Counts     countsDocument    `json:"counts"`
	Problems   []problemDocument `json:"problems"`
	StartedAt  time.Time         `json:"started_at"`
	FinishedAt time.Time         `json:"finished_at,omitzero"`
}

type progressDocument struct {
	Events        partDocument `json:"events"`
	Notifications partDocument `json:"notifications"`
	Commands      partDocument `json:"commands"`
	Orders        partDocument `json:"orders"`
}

type partDocument struct {
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
}

type countsDocument struct {
	Events        int `json:"events"`
	Notifications int `json:"notifications"`
	Orders        int `json:"orders"`
	Commands      int `json:"commands"`
	CommandsKnown int `json:"commands_known"`
	CommandsLeft  int `json:"commands_left"`
	Asked         int `json:"asked"`
	Told          int `json:"told"`
	Problems      int `json:"problems"`
}

type problemDocument struct {
	MchID       pay.MchID       `json:"mchid,omitempty"`
	OutTradeNo  pay.OutTradeNo  `json:"out_trade_no,omitempty"`
	OutRefundNo pay.OutRefundNo `json:"out_refund_no,omitempty"`
	CommandID   pay.CommandID   `json:"command_id,omitempty"`
	Detail      string          `json:"detail"`
}

func documentOf(r pay.Recovery, busy bool) document {
	parts := r.Stretches
	d := document{
		ID: r.ID, Since: r.Since, Phase: string(r.Phase), Needed: r.Needed, Busy: busy, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
		Progress: progressDocument{partOf(parts.Events), partOf(parts.Notifications), partOf(parts.Commands), partOf(parts.Orders)},
		Counts:   countsDocument(r.Counts), Problems: []problemDocument{},
	}
	for _, p := range r.Problems {
		d.Problems = append(d.Problems, problemDocument(p))
	}
	return d
}

func partOf(s pay.Stretch) partDocument {
	return partDocument{Done: min(s.Next, s.Until) - min(s.First, s.Until), Total: s.Until - min(s.First, s.Until)}
}
