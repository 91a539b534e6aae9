package devstack

import (
	"context"
	"fmt"
	"os"
	"time"
)

// copyConfig gives roles a copy of the configuration of their own.
func (s *Stack) copyConfig(context.Context) error {
	for _, role := range s.options.OwnConfig {
		dir := s.options.path("merchant-" + role)
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("drop the configuration of a former %s: %w", role, err)
		}
		if err := os.CopyFS(dir, os.DirFS(s.options.path("merchant"))); err != nil {
			return fmt.Errorf("copy the configuration for %s: %w", role, err)
		}
	}
	return nil
}

// Ready waits until a role of fenflow says that it is.
func (s *Stack) Ready(ctx context.Context, role string) error {
	port, known := map[string]int{"worker": s.ports.workerAdmin, "ingest": s.ports.admin, "reconciler": s.ports.reconAdmin, "console": s.ports.consoleAdmin}[role]
	if !known {
		return fmt.Errorf("no role is called %q", role)
	}
	return s.await(ctx, role, httpURL(port)+"/readyz")
}

// Restart kills a role with kill -9 and waits until another process of it is ready.
func (s *Stack) Restart(ctx context.Context, role string) error {
	p := s.find(role)
	if p == nil {
		return fmt.Errorf("no process is called %q", role)
	}
	before, _ := p.status()
	if err := p.kill(); err != nil {
		return err
	}
	for {
		if now, _ := p.status(); now != before {
			return s.Ready(ctx, role)
		}
		select {
		case err := <-p.failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%s is not started again: %w", role, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
