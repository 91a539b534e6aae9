package store

import (
	"context"
	"database/sql/driver"
	_ "embed"
	"errors"
	"fmt"
	"io"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// ErrRestored: the books are older than what was told. A passing error: they
// are there again once somebody has recovered them.
var ErrRestored = errors.New("the books were restored from a backup, or the server was started anew, and no worker has vouched for them since; if this stays, run `fenflow recover --since T`")

// gate lets connections through that lead to books a worker vouches for. A
// server that starts anew drops all connections, so each life of the server is
// asked about before anything of it is used.
type gate struct{ driver.Connector }

// Connect makes a connection and asks for the voucher on it.
func (g gate) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := g.Connector.Connect(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // the pool's caller names the step
	}
	open, err := isOpen(ctx, conn)
	switch {
	case err != nil:
		return nil, errors.Join(err, conn.Close())
	case !open:
		return nil, errors.Join(ErrRestored, conn.Close())
	}
	return conn, nil
}

func isOpen(ctx context.Context, conn driver.Conn) (open bool, err error) {
	asker, ok := conn.(driver.QueryerContext)
	if !ok {
		return false, errors.New("ask for the voucher: the driver takes no queries on a new connection")
	}
	rows, err := asker.QueryContext(ctx, "SELECT books_open()", nil)
	if isUndefinedFunction(err) {
		return true, nil // an older schema, which whoever starts on it finds out
	}
	if err != nil {
		return false, fmt.Errorf("ask for the voucher: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, 1)
	if err := rows.Next(row); err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("ask for the voucher: %w", err)
	}
	open, _ = row[0].(bool)
	return open, nil
}

func isUndefinedFunction(err error) bool {
	var refused *pq.Error
	return errors.As(err, &refused) && refused.Code == pqerror.UndefinedFunction
}
