package store

import (
	"context"
	_ "embed"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/plan_orders.sql
	planOrdersSQL string
	//go:embed queries/due_order.sql
	dueOrderSQL string
	//go:embed queries/request_close.sql
	requestCloseSQL string
	//go:embed queries/plan_refund.sql
	planRefundSQL string
)

// PlanOrders says when claimed orders are looked at next. A plan counts only
// while its claim stands: an order that moved, that became due meanwhile or
// that somebody else has claimed since keeps what it has. A failed order may be
// left alone for ever (no NextCheckAt); for an unresolved one such a plan does
// nothing, and the order is due when the lease ends.
func (s *Store) PlanOrders(ctx context.Context, plans []pay.OrderPlan) error {
	if len(plans) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var (
		mchids, numbers, apis     texts
		leases, nexts, checkedAts instants
		closes                    integers
	)
	for _, p := range plans {
		mchids = append(mchids, string(p.MchID))
		numbers = append(numbers, string(p.OutTradeNo))
		leases = append(leases, instant(p.Lease))
		nexts = append(nexts, instant(p.NextCheckAt))
		apis = append(apis, string(orderCall(p.CheckAPI)))
		closes = append(closes, int64(p.CloseCount))
		checkedAts = append(checkedAts, instant(p.CheckedAt))
	}
	_, err := s.db.ExecContext(ctx, planOrdersSQL, mchids, numbers, leases, nexts, apis, closes, checkedAts)
	return failed(ctx, "plan orders", err)
}

// orderCall is the call that is due about an order: a question, unless it says otherwise.
func orderCall(api pay.API) pay.API {
	if api == "" {
		return pay.APIOrderQuery
	}
	return api
}

// DueOrder makes an order due now that is unresolved or failed. A plan that is
// being made for it meanwhile does not put it off.
func (s *Store) DueOrder(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, dueOrderSQL, string(mchid), string(no))
	return failed(ctx, "make order due", err)
}

// RequestClose keeps that the shop wants an open order closed, and makes it due:
// it is asked about first, since closing what is paid would be wrong.
func (s *Store) RequestClose(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, requestCloseSQL, string(mchid), string(no))
	return failed(ctx, "request close", err)
}

// PlanRefund says when a claimed refund is looked at next, and ends its lease.
// It counts only while the claim stands: settling a refund that moved ends the
// claim, and so does another claim after this one ran out. It never moves the
// refund. What a hint or an operator made due meanwhile stays due.
func (s *Store) PlanRefund(ctx context.Context, p pay.RefundPlan) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, planRefundSQL, string(p.MchID), string(p.OutRefundNo), nullTime(instant(p.Lease)),
		nullTime(instant(p.NextCheckAt)), string(p.CheckAPI), p.CheckCount, legible(p.FailureCode), legible(p.FailureReason))
	return failed(ctx, "plan refund", err)
}
