package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Orders lists and reads orders.
type Orders interface {
	ListOrders(ctx context.Context, f pay.OrderFilter) ([]pay.Order, error)
	Order(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (pay.Order, bool, error)
}

type orderDocument struct {
	MchID         string    `json:"mchid"`
	OutTradeNo    string    `json:"out_trade_no"`
	AppID         string    `json:"appid"`
	Client        string    `json:"client"`
	Protocol      string    `json:"protocol"`
	State         string    `json:"state"`
	Late          bool      `json:"late"`
	AmountFen     int64     `json:"amount_fen"`
	Currency      string    `json:"currency"`
	Description   string    `json:"description"`
	AccountID     string    `json:"account_id,omitempty"`
	TransactionID string    `json:"transaction_id,omitempty"`
	FailureCode   string    `json:"failure_code,omitempty"`
	FailureReason string    `json:"failure_reason,omitempty"`
	Sequence      int64     `json:"sequence"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`
	ExpiresAt     time.Time `json:"expires_at,omitzero"`
	PaidAt        time.Time `json:"paid_at,omitzero"`
	ClosedAt      time.Time `json:"closed_at,omitzero"`
	NextCheckAt   time.Time `json:"next_check_at,omitzero"`
}

type orderPage struct {
	Orders     []orderDocument `json:"orders"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

func (a *API) listOrders(w http.ResponseWriter, c *call) error {
	q := c.query
	after := q.cursor("orders", func(c cursor) bool {
		_, badMchID := pay.ParseMchID(c.MchID)
		_, badNo := pay.ParseOutTradeNo(c.No)
		return badMchID == nil && badNo == nil
	})
	f := pay.OrderFilter{
		MchID: q.mchid(), State: word(q, "state", pay.OrderCreated, pay.OrderAwaitingPayment, pay.OrderPaid, pay.OrderClosed, pay.OrderFailed),
		Since: q.since(), AfterAt: after.At, AfterMchID: pay.MchID(after.MchID), AfterNo: pay.OutTradeNo(after.No),
	}
	limit := q.limit()
	f.Limit = limit + 1 // the one more says whether there is another page
	if err := q.done(); err != nil {
		return err
	}
	orders, err := a.Books.ListOrders(c.Context(), f)
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	orders, next := page(orders, limit, func(o pay.Order) cursor {
		return cursor{Of: "orders", At: o.CreatedAt, MchID: string(o.MchID), No: string(o.OutTradeNo)}
	})
	return answer(w, orderPage{each(orders, orderOf), next})
}

func orderOf(o pay.Order) orderDocument {
	return orderDocument{
		MchID: string(o.MchID), OutTradeNo: string(o.OutTradeNo), AppID: string(o.AppID), Client: string(o.Client), Protocol: string(o.Protocol),
		State: string(o.State), Late: o.Late, AmountFen: int64(o.Amount), Currency: o.Currency, Description: o.Description, AccountID: string(o.AccountID),
		TransactionID: string(o.TransactionID), FailureCode: o.FailureCode, FailureReason: o.FailureReason, Sequence: o.Sequence,
		CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, ExpiresAt: o.ExpiresAt, PaidAt: o.PaidAt, ClosedAt: o.ClosedAt, NextCheckAt: o.NextCheckAt,
	}
}

// each converts a list; the result is never null in JSON.
func each[From, To any](from []From, convert func(From) To) []To {
	to := make([]To, len(from))
	for i, one := range from {
		to[i] = convert(one)
	}
	return to
}
