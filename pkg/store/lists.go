package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/list_orders.sql
	listOrdersSQL string
	//go:embed queries/list_ended_orders.sql
	listEndedOrdersSQL string
	//go:embed queries/list_unresolved_orders.sql
	listUnresolvedOrdersSQL string
	//go:embed queries/list_letters.sql
	listLettersSQL string
	//go:embed queries/group_letters.sql
	groupLettersSQL string
	//go:embed queries/list_letters_by_id.sql
	listLettersByIDSQL string
)

// maxPage bounds a page, whoever asks.
const maxPage = 1000

// Edges of time: what a page without a first or a last instant begins and ends with.
const (
	always = "-infinity"
	never  = "infinity"
)

// ListOrders reads a page of orders, the newest first, without the bytes of
// their prepay calls.
func (s *Store) ListOrders(ctx context.Context, f pay.OrderFilter) ([]pay.Order, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []orderRow
	err := s.db.SelectContext(ctx, &rows, listOrdersBy(f.State), string(f.MchID), string(f.State), orEdge(f.Since, always),
		orEdge(f.AfterAt, never), string(f.AfterMchID), string(f.AfterNo), page(f.Limit))
	if err != nil {
		return nil, failed(ctx, "list orders", err)
	}
	orders := make([]pay.Order, len(rows))
	for i := range rows {
		orders[i] = rows[i].order()
	}
	return orders, nil
}

// listOrdersBy picks the statement whose index holds the orders of a state.
func listOrdersBy(state pay.OrderState) string {
	switch state {
	case pay.OrderCreated, pay.OrderAwaitingPayment:
		return listUnresolvedOrdersSQL
	case pay.OrderClosed, pay.OrderFailed:
		return listEndedOrdersSQL
	default:
		return listOrdersSQL
	}
}

// ListLetters reads a page of letters, the oldest first, without headers and
// bytes. Without a state these are the letters that are not at an end.
func (s *Store) ListLetters(ctx context.Context, f pay.LetterFilter) ([]pay.Letter, error) {
	if len(f.IDs) > 0 {
		return s.letters(ctx, "list letters by id", listLettersByIDSQL, usableIDs(f.IDs))
	}
	states := texts{string(f.State)}
	if f.State == "" {
		states = texts{string(pay.LetterWaiting), string(pay.LetterOpen), string(pay.LetterReplaying)}
	}
	return s.letters(ctx, "list letters", listLettersSQL, string(f.MchID), string(f.Reason), states, orEdge(f.Since, always),
		orEdge(f.AfterAt, always), orFirst(string(f.AfterID)), page(f.Limit))
}

// LetterGroups counts letters by merchant, reason and state; mchid may be
// empty, and so may since.
func (s *Store) LetterGroups(ctx context.Context, mchid pay.MchID, since time.Time) ([]pay.LetterGroup, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []letterGroupRow
	if err := s.db.SelectContext(ctx, &rows, groupLettersSQL, string(mchid), orEdge(since, always)); err != nil {
		return nil, failed(ctx, "group letters", err)
	}
	groups := make([]pay.LetterGroup, len(rows))
	for i, r := range rows {
		groups[i] = pay.LetterGroup{
			MchID: pay.MchID(r.MchID), Reason: pay.LetterReason(r.Reason), State: pay.LetterState(r.State),
			Count: r.Letters, OldestAt: instant(r.OldestAt),
		}
	}
	return groups, nil
}

func page(limit int) int { return min(max(limit, 0), maxPage) }

func orEdge(t time.Time, edge string) any {
	if t.IsZero() {
		return edge
	}
	return instant(t)
}

// orFirst is an id, or the one before all ids.
func orFirst(id string) string {
	if id == "" {
		return uuid.Nil.String()
	}
	return id
}

type letterGroupRow struct {
	MchID    string    `db:"mchid"`
	Reason   string    `db:"reason"`
	State    string    `db:"state"`
	Letters  int       `db:"letters"`
	OldestAt time.Time `db:"oldest_at"`
}
