package store

import (
	"context"
	_ "embed"
	"time"
)

var (
	//go:embed queries/begin_sweep.sql
	beginSweepSQL string
	//go:embed queries/sweep_if_idle.sql
	sweepIfIdleSQL string
)

// BeginSweep notes that a sweep of this kind begins now.
func (s *Store) BeginSweep(ctx context.Context, kind string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, beginSweepSQL, kind)
	return failed(ctx, "begin sweep", err)
}

// SweepIfIdle says true when no sweep of this kind has begun for idle, to
// exactly one of those who ask, and notes that one begins now.
func (s *Store) SweepIfIdle(ctx context.Context, kind string, idle time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	mine, err := affected(s.db.ExecContext(ctx, sweepIfIdleSQL, kind, idle.Seconds()))
	return mine, failed(ctx, "take idle sweep", err)
}
