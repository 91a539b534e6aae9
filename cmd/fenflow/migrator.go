package main

import (
	"context"
	"fmt"

	"github.com/fenflow/fenflow/pkg/cli"
	"github.com/fenflow/fenflow/pkg/store"
)

// migrator lets the command line, which holds no driver, reach the database.
type migrator struct{}

func (migrator) Up(ctx context.Context, url string) ([]cli.Migration, error) {
	ran, err := store.Migrate(ctx, url)
	return convert(ran), mark(err)
}

func (migrator) Status(ctx context.Context, url string) ([]cli.Migration, error) {
	all, err := store.MigrationStatus(ctx, url)
	return convert(all), mark(err)
}

func mark(err error) error {
	if store.Retryable(err) {
		return fmt.Errorf("%w: %w", cli.ErrUnavailable, err)
	}
	return err //nolint:wrapcheck // the command line names the step
}

func convert(from []store.Migration) []cli.Migration {
	to := make([]cli.Migration, len(from))
	for i, m := range from {
		to[i] = cli.Migration{Version: m.Version, Name: m.Name, Applied: m.Applied}
		if !m.AppliedAt.IsZero() {
			to[i].AppliedAt = &m.AppliedAt
		}
	}
	return to
}
