package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/read_letter.sql
	readLetterSQL string
	//go:embed queries/discard_letter.sql
	discardLetterSQL string
	//go:embed queries/read_discard.sql
	readDiscardSQL string
)

// Letter reads one letter with its headers and bytes.
func (s *Store) Letter(ctx context.Context, id pay.DeliveryID) (pay.Letter, bool, error) {
	key, err := uuid.Parse(string(id))
	if err != nil {
		return pay.Letter{}, false, nil //nolint:nilerr // what is no UUID is the id of no letter
	}
	found, err := s.letters(ctx, "read letter", readLetterSQL, key.String())
	if err != nil || len(found) == 0 {
		return pay.Letter{}, false, err
	}
	return found[0], true, nil
}

// DiscardLetter ends a letter for a person's reason and writes both down in one
// commit; its bytes stay. One that is discarded already, or whose effect is in
// the books, stays as it is. The letter is as it is now; the discard, of one that is
// discarded, is the one that counts.
func (s *Store) DiscardLetter(ctx context.Context, id pay.DeliveryID, actor, reason string) (letter pay.Letter, d pay.Discard, found bool, err error) {
	key, err := uuid.Parse(string(id))
	if err != nil {
		return pay.Letter{}, pay.Discard{}, false, nil
	}
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var ended int
	err = s.inTx(within, func(tx *sqlx.Tx) error {
		return failed(within, "discard letter", tx.GetContext(within, &ended, discardLetterSQL, key.String(), legible(actor), legible(reason)))
	})
	if err != nil {
		return pay.Letter{}, pay.Discard{}, false, err
	}
	letter, found, err = s.Letter(ctx, id)
	if err != nil || letter.State != pay.LetterDiscarded {
		return letter, pay.Discard{}, found, err
	}
	d, err = s.discardOf(within, letter)
	d.Again = ended == 0
	return letter, d, found, err
}

// discardOf is what the audit keeps of a discard. A letter that was discarded by
// hand, in the database, has none.
func (s *Store) discardOf(ctx context.Context, l pay.Letter) (pay.Discard, error) {
	var row struct {
		Actor  string    `db:"actor"`
		At     time.Time `db:"at"`
		Reason string    `db:"reason"`
	}
	err := s.db.GetContext(ctx, &row, readDiscardSQL, string(l.Delivery.MchID), string(l.Delivery.ID))
	if errors.Is(err, sql.ErrNoRows) {
		return pay.Discard{}, nil
	}
	return pay.Discard{Actor: row.Actor, At: instant(row.At), Reason: row.Reason}, failed(ctx, "read discard", err)
}
