package recovery

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// maxListed bounds a page of commands.
const maxListed = 500

// AnswerRecoverable answers {"since","after","limit"} of the console with a page
// of the commands that were stored since an instant, and what the books know of
// each. It changes nothing.
func (s *Service) AnswerRecoverable(ctx context.Context, question []byte) ([]byte, error) {
	var q struct {
		Since time.Time `json:"since"`
		After uint64    `json:"after"` // sequence of the last command of the page before
		Limit int       `json:"limit"`
	}
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	page, err := s.recoverable(ctx, q.Since, q.After, min(max(q.Limit, 1), maxListed))
	if err != nil {
		return problem.WriteRefusal(s.known(err)) //nolint:wrapcheck // of our own
	}
	return problem.WriteAnswer(http.StatusOK, page) //nolint:wrapcheck // of our own
}

type recoverableDocument struct {
	Commands []commandDocument `json:"commands"`
	After    uint64            `json:"after,omitempty"` // of the page that follows; 0: this was the last
}

type commandDocument struct {
	StoredAt    time.Time          `json:"stored_at"`
	MchID       pay.MchID          `json:"mchid"`
	ID          pay.CommandID      `json:"command_id"`
	Kind        pay.CommandKind    `json:"kind"`
	OutTradeNo  pay.OutTradeNo     `json:"out_trade_no,omitempty"`
	OutRefundNo pay.OutRefundNo    `json:"out_refund_no,omitempty"`
	Known       bool               `json:"known"`
	Outcome     pay.CommandOutcome `json:"outcome,omitempty"`
}

func (s *Service) recoverable(ctx context.Context, since time.Time, after uint64, limit int) (recoverableDocument, error) {
	part, err := s.Streams.Since(ctx, s.Names.Command, since)
	if err != nil {
		return recoverableDocument{}, s.away(err)
	}
	part.Next = max(part.Next, after+1)
	commands, err := s.Streams.ReadCommands(ctx, part, limit)
	if err != nil {
		return recoverableDocument{}, s.away(err)
	}
	known, err := s.Books.KnownCommands(ctx, commands)
	if err != nil {
		return recoverableDocument{}, fmt.Errorf("read commands: %w", err)
	}
	page := recoverableDocument{Commands: []commandDocument{}}
	for _, c := range commands {
		if c.Spoilt != "" {
			continue
		}
		result, is := known[c.ID]
		page.Commands = append(page.Commands, commandDocument{
			StoredAt: c.StoredAt, MchID: c.MchID, ID: c.ID, Kind: c.Kind, OutTradeNo: c.OutTradeNo, OutRefundNo: c.OutRefundNo,
			Known: is, Outcome: result.Outcome,
		})
	}
	if reached := part.Next + uint64(limit); reached < part.Until {
		page.After = reached - 1
	}
	return page, nil
}
