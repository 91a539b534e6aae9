package devstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
)

// operatorName is the name of the token that each start makes anew.
const operatorName = "devstack"

// startConsole serves operators, with a token that lasts until the next start:
// the one before is known to nobody any more.
func (s *Stack) startConsole(ctx context.Context) (err error) {
	if !s.options.Console {
		return nil
	}
	books, err := store.Open(ctx, store.Config{URL: s.postgres.URL(databaseName), MaxConns: 1, Name: "devstack"})
	if err != nil {
		return fmt.Errorf("open the books: %w", err)
	}
	defer func() { err = errors.Join(err, books.Close()) }()
	token, sum, err := operator.Mint(rand.Reader)
	if err != nil {
		return fmt.Errorf("mint a token: %w", err)
	}
	if _, err := books.RevokeToken(ctx, operatorName, operatorName); err != nil {
		return fmt.Errorf("revoke the token of a former run: %w", err)
	}
	if _, err := books.CreateToken(ctx, pay.Token{Name: operatorName, Role: pay.TokenOperate, CreatedBy: operatorName}, sum); err != nil {
		return fmt.Errorf("make a token: %w", err)
	}
	s.token = token
	env := append(environment(s.passwords, "console"), s.addresses()...)
	env = append(env, "FENFLOW_LISTEN_ADMIN="+address(s.ports.consoleAdmin), "FENFLOW_LISTEN_CONSOLE="+address(s.ports.console),
		"FENFLOW_POSTGRES_URL="+s.postgres.URL(databaseName))
	if err := s.role(ctx, "console", env, "role", "console"); err != nil {
		return err
	}
	return s.await(ctx, "console", httpURL(s.ports.consoleAdmin)+"/readyz")
}
