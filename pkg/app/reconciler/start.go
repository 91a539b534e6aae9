package reconciler

import (
	"context"
	"errors"
	"fmt"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/store"
)

// open waits for the database without end, and declines to run on an older
// schema than the program's.
func open(ctx context.Context, env boot.Env, begun *boot.Start) (books *store.Store, err error) {
	url := env.Config.Postgres.URL.Reveal()
	err = begun.Insist(ctx, env.Logger, "open database", store.Retryable, func() (err error) {
		books, err = store.Open(ctx, store.Config{URL: url, MaxConns: env.Config.Postgres.MaxConnections, Name: env.ConnectionName("reconciler"), Vouched: true})
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := begun.Insist(ctx, env.Logger, "compare the schema", store.Retryable, func() error { return refusePending(ctx, url) }); err != nil {
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
