package store

import (
	"context"
	"database/sql"
	_ "embed"

	"github.com/fenflow/fenflow/pkg/pay"
)

//go:embed queries/presences.sql
var presencesSQL string

// Presences lists who is connected to the books.
func (s *Store) Presences(ctx context.Context) ([]pay.Presence, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []struct {
		Name  string       `db:"name"`
		Since sql.NullTime `db:"since"`
	}
	if err := s.db.SelectContext(ctx, &rows, presencesSQL); err != nil {
		return nil, failed(ctx, "list connections", err)
	}
	all := make([]pay.Presence, len(rows))
	for i, r := range rows {
		all[i] = pay.Presence{Name: r.Name, Since: instant(r.Since.Time)}
	}
	return all, nil
}
