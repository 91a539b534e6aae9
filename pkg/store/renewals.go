package store

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/lease_renewal.sql
	leaseRenewalSQL string
	//go:embed queries/end_renewal.sql
	endRenewalSQL string
)

// LeaseRenewal lets one worker make an order's credential anew, until it says that
// it is done or its lease ends; nil: another one does just now.
func (s *Store) LeaseRenewal(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo, lease time.Duration) (end func(context.Context) error, err error) {
	holder, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("name the holder of a lease: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ours, err := affected(s.db.ExecContext(ctx, leaseRenewalSQL, string(mchid), string(no), holder.String(), lease.Seconds()))
	if err != nil || !ours {
		return nil, failed(ctx, "lease a renewal", err)
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		_, err := s.db.ExecContext(ctx, endRenewalSQL, string(mchid), string(no), holder.String())
		return failed(ctx, "end a renewal", err)
	}, nil
}
