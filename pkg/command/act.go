package command

import (
	"context"

	"github.com/fenflow/fenflow/pkg/problem"
)

// The acts, as metric labels.
const (
	actCheck    = "check"
	actAbnormal = "abnormal"
)

// fault is an error of the books as a shop is told of it.
func (s *Service) fault(err error) *problem.Error {
	if s.Retryable(err) {
		return problem.Wrap(problem.DatabaseUnavailable, err, "the books cannot be read or written at the moment")
	}
	return problem.Wrap(problem.Internal, err, "fenflow could not do it")
}

// refuseAct answers an act that was not done. A fault of ours is told to the log,
// since the answer holds no cause.
func (s *Service) refuseAct(ctx context.Context, act string, p *problem.Error, about ...any) ([]byte, error) {
	s.metrics.acted(act, p.Kind.Status())
	if p.Cause != nil {
		s.Log.WarnContext(ctx, "an act failed", append([]any{"act", act, "error", p}, about...)...)
	}
	return answerProblem(p)
}
