package store

import (
	"context"
	"database/sql"
	_ "embed"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/list_unresolved_refunds.sql
	listUnresolvedRefundsSQL string
	//go:embed queries/list_resolved_refunds.sql
	listResolvedRefundsSQL string
	//go:embed queries/list_ended_refunds.sql
	listEndedRefundsSQL string
	//go:embed queries/find_refunds.sql
	findRefundsSQL string
)

// ListRefunds reads a page of refunds, without the bytes of their calls: those of
// a state, the newest first; without a state the unresolved ones, then the others.
func (s *Store) ListRefunds(ctx context.Context, f pay.RefundFilter) ([]pay.Refund, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	switch {
	case f.State == pay.RefundClosed || f.State == pay.RefundFailed:
		return listRefunds(ctx, s.db, listEndedRefundsSQL, string(f.State), f)
	case f.State.Unresolved():
		return listRefunds(ctx, s.db, listUnresolvedRefundsSQL, texts{string(f.State)}, f)
	case f.State != "":
		return listRefunds(ctx, s.db, listResolvedRefundsSQL, texts{string(f.State)}, f)
	}
	return s.listAllRefunds(ctx, f)
}

// listAllRefunds reads both parts of a page as of one moment: a refund that is
// resolved meanwhile is in one of them.
func (s *Store) listAllRefunds(ctx context.Context, f pay.RefundFilter) ([]pay.Refund, error) {
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, failed(ctx, "begin", err)
	}
	defer func() { _ = tx.Rollback() }() // it wrote nothing
	var unresolved []pay.Refund
	if !f.AfterResolved {
		states := texts{string(pay.RefundRequested), string(pay.RefundProcessing), string(pay.RefundAbnormal)}
		if unresolved, err = listRefunds(ctx, tx, listUnresolvedRefundsSQL, states, f); err != nil {
			return nil, err
		}
		f.AfterAt, f.AfterMchID, f.AfterNo = pay.RefundFilter{}.AfterAt, "", ""
	}
	if f.Limit = page(f.Limit) - len(unresolved); f.Limit == 0 {
		return unresolved, nil
	}
	states := texts{string(pay.RefundSucceeded), string(pay.RefundClosed), string(pay.RefundFailed)}
	resolved, err := listRefunds(ctx, tx, listResolvedRefundsSQL, states, f)
	return append(unresolved, resolved...), err
}

func listRefunds(ctx context.Context, q sqlx.QueryerContext, query string, states any, f pay.RefundFilter) ([]pay.Refund, error) {
	var rows []refundRow
	err := sqlx.SelectContext(ctx, q, &rows, query, string(f.MchID), states, orEdge(f.Since, always),
		orEdge(f.AfterAt, never), string(f.AfterMchID), string(f.AfterNo), page(f.Limit))
	if err != nil {
		return nil, failed(ctx, "list refunds", err)
	}
	refunds := make([]pay.Refund, len(rows))
	for i := range rows {
		refunds[i] = rows[i].refund()
	}
	return refunds, nil
}

// FindRefunds finds the refunds that a number leads to, their own or WeChat
// Pay's; mchid may be empty.
func (s *Store) FindRefunds(ctx context.Context, number string, mchid pay.MchID) ([]pay.RefundMatch, error) {
	if number == "" || legible(number) != number || legible(string(mchid)) != string(mchid) {
		return nil, nil // no column holds such a text
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []refundMatchRow
	if err := s.db.SelectContext(ctx, &rows, findRefundsSQL, number, string(mchid), maxMatches); err != nil {
		return nil, failed(ctx, "find refunds", err)
	}
	matches := make([]pay.RefundMatch, len(rows))
	for i, r := range rows {
		matches[i] = pay.RefundMatch{MchID: pay.MchID(r.MchID), OutRefundNo: pay.OutRefundNo(r.OutRefundNo), OutTradeNo: pay.OutTradeNo(r.OutTradeNo), FoundBy: r.FoundBy}
	}
	return matches, nil
}

type refundMatchRow struct {
	MchID       string `db:"mchid"`
	OutRefundNo string `db:"out_refund_no"`
	OutTradeNo  string `db:"out_trade_no"`
	FoundBy     string `db:"found_by"`
}
