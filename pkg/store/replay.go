package store

import (
	"context"
	_ "embed"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/replay_letters.sql
	replayLettersSQL string
	//go:embed queries/replay_matching_letters.sql
	replayMatchingLettersSQL string
)

// maxReplay bounds what one call replays: the letter sweep settles 200 a second
// or so beside the notifications of the day.
const maxReplay = 500

// ReplayLetters lets open letters wait again, due at once, and writes down who did
// it and why in the same commit: the letter sweep settles the bytes that are in
// them. What fails again opens again. Only notifications are replayed; all that is
// not open is passed over. It gives the ids of those that are replayed.
func (s *Store) ReplayLetters(ctx context.Context, which pay.LetterChoice, actor, why string) ([]pay.DeliveryID, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	query, args := replayLettersSQL, []any{usableIDs(which.IDs), maxReplay, legible(actor), legible(why)}
	if len(which.IDs) == 0 {
		query = replayMatchingLettersSQL
		args = []any{string(which.MchID), string(which.Reason), orEdge(which.Since, always), min(max(which.Limit, 0), maxReplay), legible(actor), legible(why)}
	}
	var ids []pay.DeliveryID
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		return failed(ctx, "replay letters", tx.SelectContext(ctx, &ids, query, args...))
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// usableIDs leaves out what is no UUID: it is the id of no letter.
func usableIDs(ids []pay.DeliveryID) uuids {
	usable := make(uuids, 0, len(ids))
	for _, id := range ids {
		if key, err := uuid.Parse(string(id)); err == nil {
			usable = append(usable, key.String())
		}
	}
	return usable
}
