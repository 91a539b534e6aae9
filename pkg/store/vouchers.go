package store

import (
	"context"
	_ "embed"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/books_state.sql
	booksStateSQL string
	//go:embed queries/vouch.sql
	vouchSQL string
	//go:embed queries/withdraw.sql
	withdrawSQL string
	//go:embed queries/unknown_events.sql
	unknownEventsSQL string
)

// BooksState says whether anybody vouches for these books.
func (s *Store) BooksState(ctx context.Context) (pay.BooksState, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row struct {
		Vouched    bool `db:"vouched"`
		Fresh      bool `db:"fresh"`
		Recovering bool `db:"recovering"`
	}
	err := s.db.GetContext(ctx, &row, booksStateSQL)
	return pay.BooksState{Vouched: row.Vouched, Fresh: row.Fresh, Recovering: row.Recovering}, failed(ctx, "read the books' state", err)
}

// Vouch says that the books are whole, until the server starts anew. While a
// recovery that they need is under way it changes nothing.
func (s *Store) Vouch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, vouchSQL)
	return failed(ctx, "vouch for the books", err)
}

// Withdraw says that the books are older than what was told: connections that
// ask for a voucher are refused from now on.
func (s *Store) Withdraw(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, withdrawSQL)
	return failed(ctx, "withdraw the voucher", err)
}

// UnknownEvents gives those of the events that the books know nothing of. What
// was published was committed before, so that there is none in books that never
// went back in time.
func (s *Store) UnknownEvents(ctx context.Context, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var unknown []string
	err := s.db.SelectContext(ctx, &unknown, unknownEventsSQL, uuids(ids))
	return unknown, failed(ctx, "look for events", err)
}
