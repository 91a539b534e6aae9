package store

import (
	"context"
	"database/sql"
	_ "embed"
	"math"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/fit_budget.sql
	fitBudgetSQL string
	//go:embed queries/spend_tokens.sql
	spendTokensSQL string
	//go:embed queries/halve_budget.sql
	halveBudgetSQL string
)

// Tokens are counted in thousandths.
const (
	milli = 1000
	// bucketsPerSecond: a bucket holds what a fifth of a second brings, and at
	// least one token.
	bucketsPerSecond = 5
)

// bucket is the row that a budget's tokens are in.
type bucket struct {
	mchid, api  string
	rate, burst int64 // in thousandths
}

// bucketOf finds a budget's bucket. Driving an abnormal refund on is a refund
// request to WeChat Pay, and takes its tokens from there.
func bucketOf(mchid pay.MchID, b pay.Budget) (bucket, error) {
	if b.PerSecond <= 0 {
		return bucket{}, brokenf("read budget", "%s: %d calls a second are not possible; it takes at least 1", b.API, b.PerSecond)
	}
	api := b.API
	if api == pay.APIRefundAbnormal {
		api = pay.APIRefund
	}
	rate := int64(b.PerSecond) * milli
	return bucket{mchid: string(mchid), api: string(api), rate: rate, burst: max(rate/bucketsPerSecond, milli)}, nil
}

// TakeToken takes the token of a call that is made outside a claim, and says
// whether there was one.
func (s *Store) TakeToken(ctx context.Context, mchid pay.MchID, b pay.Budget) (bool, error) {
	return s.spend(ctx, "take token", mchid, b, milli, 0)
}

// ChargeTokens takes what a call cost beyond its own token, or puts back tokens
// that were claimed and not used (n < 0). The bucket may be overdrawn by as
// much as it holds: what was spent was spent, and the calls after it wait.
func (s *Store) ChargeTokens(ctx context.Context, mchid pay.MchID, b pay.Budget, n int) error {
	if n == 0 {
		return nil
	}
	_, err := s.spend(ctx, "charge tokens", mchid, b, int64(n)*milli, math.MinInt64)
	return err
}

// spend takes cost from a bucket unless fewer than least would be left.
func (s *Store) spend(ctx context.Context, step string, mchid pay.MchID, b pay.Budget, cost, least int64) (bool, error) {
	return s.onBucket(ctx, step, mchid, b, func(ctx context.Context, k bucket) (sql.Result, error) {
		return s.db.ExecContext(ctx, spendTokensSQL, k.mchid, k.api, k.rate, cost, least)
	})
}

// HalveBudget halves a budget's rate for a while: WeChat Pay said that calls
// come too often. What was halved for longer stays so.
func (s *Store) HalveBudget(ctx context.Context, mchid pay.MchID, b pay.Budget, d time.Duration) error {
	_, err := s.onBucket(ctx, "halve budget", mchid, b, func(ctx context.Context, k bucket) (sql.Result, error) {
		return s.db.ExecContext(ctx, halveBudgetSQL, k.mchid, k.api, k.rate, d.Seconds())
	})
	return err
}

// onBucket changes a bucket that has the configured rate and says whether it
// did. A bucket that has not is given it first.
func (s *Store) onBucket(ctx context.Context, step string, mchid pay.MchID, b pay.Budget, change func(context.Context, bucket) (sql.Result, error)) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k, err := bucketOf(mchid, b)
	if err != nil {
		return false, err
	}
	for {
		changed, err := affected(change(ctx, k))
		if err != nil || changed {
			return changed, failed(ctx, step, err)
		}
		fitted, err := s.fit(ctx, k)
		if err != nil || !fitted {
			return false, err
		}
	}
}

// fit gives a bucket the configured rate and says whether it had another, or
// was not there.
func (s *Store) fit(ctx context.Context, k bucket) (bool, error) {
	fitted, err := affected(s.db.ExecContext(ctx, fitBudgetSQL, k.mchid, k.api, k.rate, k.burst))
	return fitted, failed(ctx, "fit budget", err)
}

// affected says whether a statement touched any row.
func affected(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}
