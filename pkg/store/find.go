package store

import (
	"context"
	_ "embed"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/find_orders.sql
	findOrdersSQL string
	//go:embed queries/find_letters.sql
	findLettersSQL string
)

// maxMatches bounds what one number may lead to. Merchants may share a number;
// a person who is shown more than a screen of candidates is not helped.
const maxMatches = 20

// FindOrders finds the orders that a number leads to, whatever kind of number
// it is; mchid may be empty. Each order is named once, by the plainest way.
// Deliveries lead to their orders for as long as the archive keeps them.
func (s *Store) FindOrders(ctx context.Context, number string, mchid pay.MchID) ([]pay.Match, error) {
	if number == "" || legible(number) != number || legible(string(mchid)) != string(mchid) {
		return nil, nil // no column holds such a text
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []matchRow
	if err := s.db.SelectContext(ctx, &rows, findOrdersSQL, number, asUUID(number), string(mchid), maxMatches); err != nil {
		return nil, failed(ctx, "find orders", err)
	}
	matches := make([]pay.Match, len(rows))
	for i, r := range rows {
		matches[i] = pay.Match{MchID: pay.MchID(r.MchID), OutTradeNo: pay.OutTradeNo(r.OutTradeNo), FoundBy: r.FoundBy}
	}
	return matches, nil
}

// FindLetters finds the dead letters that name a number, the newest first: for
// money that no order of ours explains.
func (s *Store) FindLetters(ctx context.Context, number string, mchid pay.MchID) ([]pay.DeliveryID, error) {
	if number == "" || legible(number) != number || legible(string(mchid)) != string(mchid) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var ids []pay.DeliveryID
	err := s.db.SelectContext(ctx, &ids, findLettersSQL, number, asUUID(number), string(mchid), maxMatches)
	return ids, failed(ctx, "find letters", err)
}

// asUUID is a text as the UUID that it writes, or NULL.
func asUUID(s string) any {
	id, err := uuid.Parse(s)
	if err != nil {
		return nil
	}
	return id.String()
}

type matchRow struct {
	MchID      string `db:"mchid"`
	OutTradeNo string `db:"out_trade_no"`
	FoundBy    string `db:"found_by"`
}
