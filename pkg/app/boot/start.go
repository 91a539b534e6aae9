package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/problem"
)

// The pauses of whatever waits for our own database or broker.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Start is how far a role has come, for its health.
type Start struct {
	mu      sync.Mutex
	ended   bool
	waiting string
}

// Done says that everything is open.
func (s *Start) Done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// Check is the health check: not ready before everything is open.
func (s *Start) Check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		return nil
	case s.waiting != "":
		return errors.New("waiting: " + s.waiting)
	}
	return errors.New("starting")
}

// Insist repeats a step until it works, and tells once that it waits. What
// waiting cannot mend ends the role: an error that does not pass, and a schema
// older than the program.
func (s *Start) Insist(ctx context.Context, log *slog.Logger, name string, passes func(error) bool, step func() error) error {
	told := false
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := step()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", name, ctx.Err())
		case !passes(err), problem.KindOf(err) == problem.MigrationsPending:
			return fmt.Errorf("%s: %w", name, err)
		case !told:
			told = true
			log.WarnContext(ctx, "waiting", "for", name, "error", err)
		}
		s.wait(name + ": " + err.Error())
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w", name, ctx.Err())
		}
	}
}

func (s *Start) wait(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = text
}
