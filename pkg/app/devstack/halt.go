package devstack

import (
	"context"
	"slices"
)

// Halt ends programs of fenflow as an operator would who is about to restore a
// backup; what they lean on goes on.
func (s *Stack) Halt(names ...string) {
	for _, name := range names {
		if p := s.find(name); p != nil {
			p.stop()
			s.processes = slices.DeleteFunc(s.processes, func(one *process) bool { return one == p })
		}
	}
}

// Resume starts the programs that were halted, and waits for none of them: over
// books that were restored they get ready only when those are recovered. The
// console does, with a token of its own.
func (s *Stack) Resume(ctx context.Context) error {
	for _, r := range s.roleSpecs() {
		if s.find(r.name) != nil {
			continue
		}
		if err := s.spawnRole(ctx, r); err != nil {
			return err
		}
	}
	if s.find("console") != nil {
		return nil
	}
	return s.startConsole(ctx)
}

// AwaitReady waits until every program of fenflow is ready.
func (s *Stack) AwaitReady(ctx context.Context) error {
	for _, r := range s.roleSpecs() {
		if err := s.await(ctx, r.name, httpURL(r.admin)+"/readyz"); err != nil {
			return err
		}
	}
	return nil
}
