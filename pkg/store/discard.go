package store

import (
	"context"
	_ "embed"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/read_letter.sql
	readLetterSQL string
	//go:embed queries/discard_letter.sql
	discardLetterSQL string
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
// the books, stays as it is: discarded says which. The letter is as it is now.
func (s *Store) DiscardLetter(ctx context.Context, id pay.DeliveryID, actor, reason string) (letter pay.Letter, discarded, found bool, err error) {
	key, err := uuid.Parse(string(id))
	if err != nil {
		return pay.Letter{}, false, false, nil
	}
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = s.inTx(within, func(tx *sqlx.Tx) error {
		var ended int
		err := tx.GetContext(within, &ended, discardLetterSQL, key.String(), legible(actor), legible(reason))
		discarded = ended > 0
		return failed(within, "discard letter", err)
	})
	if err != nil {
		return pay.Letter{}, false, false, err
	}
	letter, found, err = s.Letter(ctx, id)
	return letter, discarded, found, err
}
