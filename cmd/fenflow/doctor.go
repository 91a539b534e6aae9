package main

import (
	"context"

	"github.com/fenflow/fenflow/pkg/app/doctor"
	"github.com/fenflow/fenflow/pkg/cli"
	"github.com/fenflow/fenflow/pkg/config"
)

// examiner lets the command line, which holds no driver, look at all parts.
type examiner struct{}

func (examiner) Examine(ctx context.Context, load func(config.Role) (config.Config, error), role config.Role, offline bool) []cli.Finding {
	found := doctor.Examine(ctx, doctor.Options{Load: load, Role: role, Offline: offline})
	told := make([]cli.Finding, len(found))
	for i, f := range found {
		told[i] = cli.Finding{Group: f.Group, Check: f.Check, Subject: f.Subject, Verdict: string(f.Verdict), Detail: f.Detail, Fix: f.Fix}
	}
	return told
}
