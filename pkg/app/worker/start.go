package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/store"
)

// The pauses of whatever waits for our own database or broker.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
)

// start is how far the role has come, for its health.
type start struct {
	mu      sync.Mutex
	ended   bool
	waiting string
}

func (s *start) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

func (s *start) wait(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = text
}

// check is the health check: not ready before everything is open.
func (s *start) check(context.Context) error {
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

// insist repeats a step until it works, and tells once that it waits.
func (s *start) insist(ctx context.Context, log *slog.Logger, name string, step func() error) error {
	told := false
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := step()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", name, ctx.Err())
		case !store.Retryable(err):
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
