package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/begin_job.sql
	beginJobSQL string
	//go:embed queries/finish_job.sql
	finishJobSQL string
)

// BeginJob says whether the caller is to run a calendar job for a period (a
// day, mostly; mchid is empty where the job is for all merchants). A period that
// was done is never begun again; one that failed, or whose runner held it longer
// than its lease, may be. The lease ends the guard and not the runner, so a job
// bears to be run twice.
func (s *Store) BeginJob(ctx context.Context, mchid pay.MchID, job, period string, lease time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	begun, err := affected(s.db.ExecContext(ctx, beginJobSQL, string(mchid), job, period, lease.Seconds()))
	return begun, failed(ctx, "begin job", err)
}

// FinishJob writes down how a run ended. Done stays done.
func (s *Store) FinishJob(ctx context.Context, mchid pay.MchID, job, period, detail string, hasFailed bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, finishJobSQL, string(mchid), job, period, legible(detail), hasFailed)
	return failed(ctx, "finish job", err)
}
