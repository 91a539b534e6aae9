package recovery

import (
	"context"
	"fmt"
	"time"
)

// Look says whether the books are whole: whether a worker vouches for them in
// this life of the database, or can do so now, because they know what was told
// last. Books that do not went back in time; the voucher of before, if any, is
// withdrawn, and nobody moves them until a recovery has ended.
func (s *Service) Look(ctx context.Context) (whole bool, err error) {
	state, err := s.Books.BooksState(ctx)
	switch {
	case err != nil:
		return false, fmt.Errorf("read the books' state: %w", err)
	case state.Vouched, state.Recovering:
		return state.Vouched && !state.Recovering, nil
	}
	tail, err := s.Streams.Tail(ctx, s.Names.Event, known)
	if err != nil {
		return false, s.away(err)
	}
	events, err := s.Streams.ReadTold(ctx, tail, known)
	if err != nil {
		return false, s.away(err)
	}
	unknown, err := s.unknown(ctx, events)
	switch {
	case err != nil:
		return false, err
	case len(unknown) == 0:
		if err := s.Books.Vouch(ctx); err != nil {
			return false, fmt.Errorf("vouch for the books: %w", err)
		}
		return true, nil
	}
	if err := s.Books.Withdraw(ctx); err != nil {
		return false, fmt.Errorf("withdraw the voucher: %w", err)
	}
	s.Log.ErrorContext(ctx, "the books are older than what was told: they were restored from a backup, or lost their last commits; nobody moves them until `fenflow recover --since T` has ended",
		"unknown_events", len(unknown), "fact", unknown[0].Fact, "out_trade_no", unknown[0].OutTradeNo, "told_at", unknown[0].StoredAt.Format(time.RFC3339))
	return false, nil
}
