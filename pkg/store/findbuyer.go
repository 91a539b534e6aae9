package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/find_accounts.sql
	findAccountsSQL string
	//go:embed queries/list_buyers_orders.sql
	listBuyersOrdersSQL string
	//go:embed queries/nth_order.sql
	nthOrderSQL string
)

// recentOrders is how many of a merchant's orders are looked through for a buyer's:
// some tens of milliseconds, and in most shops days.
const recentOrders = 5000

// FindAccounts finds the accounts that an id leads to: an account's own, one that was
// merged into it, an openid or a unionid; mchid may be empty. Each is named once, by
// the plainest way.
func (s *Store) FindAccounts(ctx context.Context, id string, mchid pay.MchID) ([]pay.AccountMatch, error) {
	if id == "" || legible(id) != id || legible(string(mchid)) != string(mchid) {
		return nil, nil // no column holds such a text
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []accountMatchRow
	if err := s.db.SelectContext(ctx, &rows, findAccountsSQL, id, asUUID(id), string(mchid), maxMatches); err != nil {
		return nil, failed(ctx, "find accounts", err)
	}
	matches := make([]pay.AccountMatch, len(rows))
	for i, r := range rows {
		matches[i] = pay.AccountMatch{MchID: pay.MchID(r.MchID), ID: pay.AccountID(r.AccountID), FoundBy: r.FoundBy}
	}
	return matches, nil
}

// OrdersOfAccount reads a buyer's newest orders: all that an openid of theirs paid,
// and those that name them among the merchant's newest.
func (s *Store) OrdersOfAccount(ctx context.Context, mchid pay.MchID, id pay.AccountID, limit int) (pay.BuyersOrders, error) {
	key, err := uuid.Parse(string(id))
	if err != nil {
		return pay.BuyersOrders{}, nil // what is no UUID is the id of no account
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var since time.Time
	err = s.db.GetContext(ctx, &since, nthOrderSQL, string(mchid), recentOrders-1)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return pay.BuyersOrders{}, failed(ctx, "look how far back orders are looked through", err)
	}
	var rows []orderRow
	if err := s.db.SelectContext(ctx, &rows, listBuyersOrdersSQL, string(mchid), key.String(), recentOrders, page(limit)); err != nil {
		return pay.BuyersOrders{}, failed(ctx, "list a buyer's orders", err)
	}
	found := pay.BuyersOrders{Orders: make([]pay.Order, len(rows)), OthersSince: instant(since)}
	for i := range rows {
		found.Orders[i] = rows[i].order()
	}
	return found, nil
}

type accountMatchRow struct {
	MchID     string `db:"mchid"`
	AccountID string `db:"account_id"`
	FoundBy   string `db:"found_by"`
}
