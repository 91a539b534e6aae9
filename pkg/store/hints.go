package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/hints_due.sql
	hintsDueSQL string
	//go:embed queries/claim_hints.sql
	claimHintsSQL string
	//go:embed queries/plan_hint.sql
	planHintSQL string
	//go:embed queries/drop_hint.sql
	dropHintSQL string
)

// ClaimHints takes refund numbers to be asked about, each with a token, as
// ClaimOrders takes orders.
func (s *Store) ClaimHints(ctx context.Context, mchid pay.MchID, b pay.Budget, limit int, lease time.Duration) ([]pay.ClaimedHint, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k, due, err := s.isDue(ctx, hintsDueSQL, mchid, b)
	if err != nil || !due || limit <= 0 {
		return nil, err
	}
	var rows []hintRow
	if err := s.db.SelectContext(ctx, &rows, claimHintsSQL, k.mchid, k.api, k.rate, limit, lease.Seconds()); err != nil {
		return nil, failed(ctx, "claim hints", err)
	}
	hints := make([]pay.ClaimedHint, len(rows))
	for i := range rows {
		hints[i] = rows[i].hint()
	}
	return hints, nil
}

// PlanHint says when a claimed hint is followed again, and counts the try; the
// zero time drops it. A number that was told again meanwhile stays due.
func (s *Store) PlanHint(ctx context.Context, h pay.ClaimedHint, next time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key := []any{string(h.MchID), string(h.OutRefundNo), nullTime(instant(h.Lease))}
	if next.IsZero() {
		_, err := s.db.ExecContext(ctx, dropHintSQL, key...)
		return failed(ctx, "drop hint", err)
	}
	_, err := s.db.ExecContext(ctx, planHintSQL, append(key, nullTime(instant(next)))...)
	return failed(ctx, "plan hint", err)
}

type hintRow struct {
	MchID       string    `db:"mchid"`
	OutRefundNo string    `db:"out_refund_no"`
	OutTradeNo  string    `db:"out_trade_no"`
	Protocol    string    `db:"protocol"`
	CheckCount  int       `db:"check_count"`
	Lease       time.Time `db:"lease"`
	AppID       string    `db:"appid"`
}

func (r *hintRow) hint() pay.ClaimedHint {
	return pay.ClaimedHint{
		RefundHint: pay.RefundHint{
			MchID: pay.MchID(r.MchID), OutRefundNo: pay.OutRefundNo(r.OutRefundNo),
			OutTradeNo: pay.OutTradeNo(r.OutTradeNo), Protocol: pay.Protocol(r.Protocol),
		},
		AppID: pay.AppID(r.AppID), CheckCount: r.CheckCount, Lease: instant(r.Lease),
	}
}
