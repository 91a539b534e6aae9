package keycheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/fenflow/fenflow/pkg/problem"
)

// AnswerKeys answers {} with every merchant and its keys.
func (s *Service) AnswerKeys(ctx context.Context, _ []byte) ([]byte, error) {
	return problem.WriteAnswer(http.StatusOK, struct { //nolint:wrapcheck // it has one step
		Merchants []Merchant `json:"merchants"`
	}{s.Keys(ctx)})
}

// AnswerCheck answers a Question with a Report.
func (s *Service) AnswerCheck(ctx context.Context, question []byte) ([]byte, error) {
	var q Question
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	r, err := s.Check(ctx, q)
	if err != nil {
		var told *problem.Error
		if errors.As(err, &told) && told.Cause != nil {
			s.Log.WarnContext(ctx, "keys were not checked", "mchid", q.MchID, "error", err)
		}
		return problem.WriteRefusal(err) //nolint:wrapcheck // it has one step
	}
	return problem.WriteAnswer(http.StatusOK, r) //nolint:wrapcheck // it has one step
}
