package console

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/store"
)

// The pauses while the database is away.
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

// open waits for the database without end, and declines to run on an older
// schema than the program's.
func open(ctx context.Context, env boot.Env, begun *start) (*store.Store, error) {
	told := false
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		books, err := try(ctx, env)
		switch {
		case err == nil:
			return books, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("open database: %w", ctx.Err())
		case !store.Retryable(err), problem.KindOf(err) == problem.MigrationsPending:
			return nil, fmt.Errorf("open database: %w", err)
		case !told:
			told = true
			env.Logger.WarnContext(ctx, "waiting", "for", "open database", "error", err)
		}
		begun.wait("open database: " + err.Error())
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("open database: %w", ctx.Err())
		}
	}
}

func try(ctx context.Context, env boot.Env) (*store.Store, error) {
	url := env.Config.Postgres.URL.Reveal()
	books, err := store.Open(ctx, store.Config{URL: url, MaxConns: env.Config.Postgres.MaxConnections, Name: "fenflow-console"})
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := refusePending(ctx, url); err != nil {
		return nil, errors.Join(err, books.Close())
	}
	return books, nil
}

func refusePending(ctx context.Context, url string) error {
	migrations, err := store.MigrationStatus(ctx, url)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if pending := store.Pending(migrations); pending > 0 {
		return problem.Newf(problem.MigrationsPending, "%d of %d migrations are pending; run `fenflow migrate up`", pending, len(migrations))
	}
	return nil
}
