package reverify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/fenflow/fenflow/pkg/problem"
)

// Which asks for one sample with its bytes, or for a page of them.
type Which struct {
	Sequence uint64 `json:"sequence,omitempty"`
	Filter
}

// Act names samples, and, where they are to be published, who wants it and why.
type Act struct {
	Sequences []uint64 `json:"sequences"`
	Actor     string   `json:"actor,omitempty"`
	Why       string   `json:"why,omitempty"`
}

// verdicts is the answer to an Act.
type verdicts struct {
	Samples []Verdict `json:"samples"`
}

// AnswerSamples answers Which with a Page, or with one Whole sample.
func (s *Service) AnswerSamples(ctx context.Context, question []byte) ([]byte, error) {
	var q Which
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	if q.Sequence > 0 {
		w, err := s.Show(ctx, q.Sequence)
		return s.answer(ctx, w, err)
	}
	p, err := s.List(ctx, q.Filter)
	return s.answer(ctx, p, err)
}

// AnswerReverify answers an Act with verdicts, and changes nothing.
func (s *Service) AnswerReverify(ctx context.Context, question []byte) ([]byte, error) {
	a, err := readAct(question)
	if err != nil {
		return nil, err
	}
	found, err := s.Reverify(ctx, a.Sequences)
	return s.answer(ctx, verdicts{found}, err)
}

// AnswerPublish answers an Act with verdicts, and lets in what passes.
func (s *Service) AnswerPublish(ctx context.Context, question []byte) ([]byte, error) {
	a, err := readAct(question)
	if err != nil {
		return nil, err
	}
	if a.Actor == "" || a.Why == "" {
		return nil, errors.New("read question: who, or why, is missing")
	}
	found, err := s.Publish(ctx, a.Sequences, a.Actor, a.Why)
	return s.answer(ctx, verdicts{found}, err)
}

func readAct(question []byte) (a Act, err error) {
	if err := json.Unmarshal(question, &a); err != nil {
		return a, fmt.Errorf("read question: %w", err)
	}
	if len(a.Sequences) == 0 || len(a.Sequences) > MaxAtOnce {
		return a, fmt.Errorf("read question: %d samples", len(a.Sequences))
	}
	return a, nil
}

func (s *Service) answer(ctx context.Context, document any, err error) ([]byte, error) {
	if err == nil {
		return problem.WriteAnswer(http.StatusOK, document) //nolint:wrapcheck // it has one step
	}
	var told *problem.Error
	if errors.As(err, &told) && told.Cause != nil {
		s.Log.WarnContext(ctx, "samples were not read", "error", err)
	}
	return problem.WriteRefusal(err) //nolint:wrapcheck // it has one step
}
