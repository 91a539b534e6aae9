package reconciler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// insist repeats a step until it works, and tells once that it waits. What
// waiting cannot mend ends the role.
func (s *start) insist(ctx context.Context, log *slog.Logger, name string, step func() error) error {
	told := false
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := step()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", name, ctx.Err())
		case !store.Retryable(err), problem.KindOf(err) == problem.MigrationsPending:
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

// open waits for the database without end, and declines to run on an older
// schema than the program's.
func open(ctx context.Context, env boot.Env, begun *start) (books *store.Store, err error) {
	url := env.Config.Postgres.URL.Reveal()
	err = begun.insist(ctx, env.Logger, "open database", func() (err error) {
		books, err = store.Open(ctx, store.Config{URL: url, MaxConns: env.Config.Postgres.MaxConnections, Name: "fenflow-reconciler"})
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := begun.insist(ctx, env.Logger, "compare the schema", func() error { return refusePending(ctx, url) }); err != nil {
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
