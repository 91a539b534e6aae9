package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
)

//go:embed queries/buyers_order.sql
var buyersOrderSQL string

// BuyersOrder reads an order, if it is the buyer's: it names their account, or one
// that was merged into it, or an openid of theirs. There is no telling an order of
// somebody else from one that does not exist.
func (s *Store) BuyersOrder(ctx context.Context, b pay.Buyer, no pay.OutTradeNo) (pay.Order, bool, error) {
	account := ""
	if key, err := uuid.Parse(string(b.AccountID)); err == nil { // what is no UUID is the id of no account
		account = key.String()
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row orderRow
	err := s.db.GetContext(ctx, &row, buyersOrderSQL, string(b.MchID), string(no), account, string(b.AppID), string(b.OpenID))
	if errors.Is(err, sql.ErrNoRows) {
		return pay.Order{}, false, nil
	}
	if err != nil {
		return pay.Order{}, false, failed(ctx, "read buyer's order", err)
	}
	return row.order(), true, nil
}
