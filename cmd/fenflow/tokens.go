package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/store"
)

// tokens lets the command line, which holds no driver, keep operators' tokens.
type tokens struct {
	random io.Reader
}

func (k tokens) Create(ctx context.Context, url string, t pay.Token) (secret string, created bool, err error) {
	if !operator.ValidName(t.Name) {
		return "", false, problem.Newf(problem.Usage, "%q is no name of a token: use 1 to 64 of 0-9 A-Z a-z . _ -, beginning with a letter or digit", t.Name)
	}
	secret, sum, err := operator.Mint(k.random)
	if err != nil {
		return "", false, fmt.Errorf("mint token: %w", err)
	}
	err = with(ctx, url, func(books *store.Store) (err error) {
		created, err = books.CreateToken(ctx, t, sum)
		return err //nolint:wrapcheck // the books name the step
	})
	return secret, created, err
}

func (tokens) List(ctx context.Context, url string) (all []pay.Token, err error) {
	err = with(ctx, url, func(books *store.Store) (err error) {
		all, err = books.Tokens(ctx)
		return err //nolint:wrapcheck // the books name the step
	})
	return all, err
}

func (tokens) Revoke(ctx context.Context, url, name, actor string) (revoked bool, err error) {
	err = with(ctx, url, func(books *store.Store) (err error) {
		revoked, err = books.RevokeToken(ctx, name, actor)
		return err //nolint:wrapcheck // the books name the step
	})
	return revoked, err
}

// with opens the books for one piece of work; a schema that is older than this
// program is told as what it is.
func with(ctx context.Context, url string, work func(*store.Store) error) error {
	migrations, err := store.MigrationStatus(ctx, url)
	if err != nil {
		return mark(err)
	}
	if pending := store.Pending(migrations); pending > 0 {
		return problem.Newf(problem.MigrationsPending, "%d of %d migrations are pending", pending, len(migrations))
	}
	books, err := store.Open(ctx, store.Config{URL: url, MaxConns: 1, Name: "fenflow-cli"})
	if err != nil {
		return mark(err)
	}
	return errors.Join(mark(work(books)), books.Close())
}
