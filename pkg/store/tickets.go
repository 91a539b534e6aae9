package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/keep_ticket.sql
	keepTicketSQL string
	//go:embed queries/spend_ticket.sql
	spendTicketSQL string
	//go:embed queries/drop_old_tickets.sql
	dropOldTicketsSQL string
)

// KeepTicket keeps a login until the page that began it takes it up.
func (s *Store) KeepTicket(ctx context.Context, t pay.LoginTicket) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, keepTicketSQL, t.Sum[:], string(t.Buyer.MchID), string(t.Buyer.AccountID), string(t.Buyer.AppID),
		string(t.Buyer.OpenID), t.Challenge, instant(t.ExpiresAt))
	return failed(ctx, "keep ticket", err)
}

// SpendTicket spends a ticket of an app with what its challenge was made from, and
// says whose login it is. However many try, it is spent once.
func (s *Store) SpendTicket(ctx context.Context, sum [32]byte, appid pay.AppID, challenge string, now time.Time) (pay.Buyer, pay.TicketOutcome, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row struct {
		Spent     bool           `db:"spent"`
		MchID     string         `db:"mchid"`
		AccountID sql.NullString `db:"account_id"`
		AppID     string         `db:"appid"`
		OpenID    string         `db:"openid"`
	}
	err := s.db.GetContext(ctx, &row, spendTicketSQL, sum[:], string(appid), challenge, instant(now))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return pay.Buyer{}, pay.TicketGone, nil
	case err != nil:
		return pay.Buyer{}, "", failed(ctx, "spend ticket", err)
	case !row.Spent:
		return pay.Buyer{}, pay.TicketForeign, nil
	}
	return pay.Buyer{
		AccountID: pay.AccountID(row.AccountID.String), MchID: pay.MchID(row.MchID), AppID: pay.AppID(row.AppID), OpenID: pay.OpenID(row.OpenID),
	}, pay.TicketSpent, nil
}

// DropOldTickets drops tickets that ran out, so many at most, and says how many.
func (s *Store) DropOldTickets(ctx context.Context, now time.Time, limit int) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	result, err := s.db.ExecContext(ctx, dropOldTicketsSQL, instant(now), limit)
	if err != nil {
		return 0, failed(ctx, "drop old tickets", err)
	}
	dropped, err := result.RowsAffected()
	return dropped, failed(ctx, "drop old tickets", err)
}
