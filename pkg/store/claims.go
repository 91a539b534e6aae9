package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/orders_due.sql
	ordersDueSQL string
	//go:embed queries/claim_orders.sql
	claimOrdersSQL string
	//go:embed queries/refunds_due.sql
	refundsDueSQL string
	//go:embed queries/claim_refunds.sql
	claimRefundsSQL string
)

// ClaimOrders takes orders of one merchant whose call b.API is due, the longest
// due first, each with a token of the budget: whatever is claimed may be called
// about at once. They are due again when the lease ends, whatever becomes of
// the claimer.
//
// The claim is one statement. Its cost depends on how many rows it takes, not
// on how many there are.
func (s *Store) ClaimOrders(ctx context.Context, mchid pay.MchID, b pay.Budget, limit int, lease time.Duration) (pay.OrderClaim, error) {
	return s.claimOrders(ctx, mchid, "", b, limit, lease)
}

// ClaimOrder takes one order, if it is due now and there is a token.
func (s *Store) ClaimOrder(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo, b pay.Budget, lease time.Duration) (pay.OrderClaim, error) {
	return s.claimOrders(ctx, mchid, no, b, 1, lease)
}

func (s *Store) claimOrders(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo, b pay.Budget, limit int, lease time.Duration) (pay.OrderClaim, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k, due, err := s.isDue(ctx, ordersDueSQL, mchid, b, string(b.API), string(no))
	if err != nil || !due || limit <= 0 {
		return pay.OrderClaim{More: due}, err
	}
	var rows []claimedOrderRow
	err = s.db.SelectContext(ctx, &rows, claimOrdersSQL, k.mchid, k.api, k.rate, string(b.API), limit, lease.Seconds(), string(no))
	if err != nil {
		return pay.OrderClaim{}, failed(ctx, "claim orders", err)
	}
	claim := pay.OrderClaim{Orders: make([]pay.Order, len(rows)), More: true}
	for i := range rows {
		claim.Orders[i] = rows[i].order()
		claim.Lease, claim.More = instant(rows[i].Lease), len(rows) == rows[i].Granted
	}
	return claim, nil
}

type claimedOrderRow struct {
	orderRow
	claimedUntil
}

// claimedUntil is what a claim says beside each of its rows.
type claimedUntil struct {
	Lease   time.Time `db:"lease"`
	Granted int       `db:"granted"` // rows that limit and budget allowed
}

// ClaimRefunds takes refunds as ClaimOrders takes orders, and leases them:
// until the lease ends or a plan ends it, nobody else is given them, not even
// when something makes them due. Of refunds to be sent there is one a payment
// at most, since WeChat Pay wants parts of one payment apart.
func (s *Store) ClaimRefunds(ctx context.Context, mchid pay.MchID, b pay.Budget, limit int, lease time.Duration) (pay.RefundClaim, error) {
	return s.claimRefunds(ctx, mchid, "", b, limit, lease)
}

// ClaimRefund takes one refund, if it is due now, nobody holds it and there is a token.
func (s *Store) ClaimRefund(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo, b pay.Budget, lease time.Duration) (pay.RefundClaim, error) {
	return s.claimRefunds(ctx, mchid, no, b, 1, lease)
}

func (s *Store) claimRefunds(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo, b pay.Budget, limit int, lease time.Duration) (pay.RefundClaim, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k, due, err := s.isDue(ctx, refundsDueSQL, mchid, b, string(b.API), string(no))
	if err != nil || !due || limit <= 0 {
		return pay.RefundClaim{More: due}, err
	}
	var claim pay.RefundClaim
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		var rows []claimedRefundRow
		err := tx.SelectContext(ctx, &rows, claimRefundsSQL, k.mchid, k.api, k.rate, string(b.API), limit, lease.Seconds(), string(no))
		if err != nil {
			return failed(ctx, "claim refunds", err)
		}
		claim, err = claimOf(ctx, tx, rows)
		return err
	})
	if err != nil {
		return pay.RefundClaim{}, err
	}
	return claim, nil
}

// claimOf reads the attempts of claimed refunds: nobody adds one while the
// claim holds them.
func claimOf(ctx context.Context, tx *sqlx.Tx, rows []claimedRefundRow) (pay.RefundClaim, error) {
	keys := make([]refundKey, len(rows))
	for i := range rows {
		keys[i] = refundKey{pay.MchID(rows[i].MchID), pay.OutRefundNo(rows[i].OutRefundNo)}
	}
	attempts, err := readAttempts(ctx, tx, keys)
	if err != nil {
		return pay.RefundClaim{}, err
	}
	claim := pay.RefundClaim{Refunds: make([]pay.ClaimedRefund, len(rows)), More: true}
	for i := range rows {
		r := rows[i].claimed()
		r.Attempts = attempts[refundKey{r.MchID, r.OutRefundNo}]
		claim.Refunds[i] = r
		claim.Lease, claim.More = instant(rows[i].Lease), len(rows) == rows[i].Granted
	}
	return claim, nil
}

type claimedRefundRow struct {
	refundRow
	claimedUntil
	AppID           string `db:"appid"`
	Protocol        string `db:"protocol"`
	TotalFen        int64  `db:"total_fen"`
	AbnormalRequest []byte `db:"abnormal_request"`
	AbnormalKeyID   string `db:"abnormal_key_id"`
}

func (r *claimedRefundRow) claimed() pay.ClaimedRefund {
	return pay.ClaimedRefund{
		Refund: r.refund(), AppID: pay.AppID(r.AppID), Protocol: pay.Protocol(r.Protocol), Total: pay.Fen(r.TotalFen),
		AbnormalRequest: r.AbnormalRequest, AbnormalKeyID: r.AbnormalKeyID,
	}
}

// isDue says whether a claim can find anything, before it locks the bucket:
// most sweeps find nothing, and those write nothing either. It makes the
// bucket fit where it does not.
func (s *Store) isDue(ctx context.Context, query string, mchid pay.MchID, b pay.Budget, args ...any) (bucket, bool, error) {
	k, err := bucketOf(mchid, b)
	if err != nil {
		return k, false, err
	}
	var is struct {
		Due  bool `db:"due"`
		Fits bool `db:"fits"`
	}
	if err := s.db.GetContext(ctx, &is, query, append([]any{k.mchid, k.api, k.rate}, args...)...); err != nil {
		return k, false, failed(ctx, "look for what is due", err)
	}
	if is.Due && !is.Fits {
		_, err = s.fit(ctx, k)
	}
	return k, is.Due, err
}
