package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// shelf keeps platform certificates in the database.
type shelf struct{ store *store.Store }

// SavePlatformCertificates keeps what WeChat Pay listed.
func (s shelf) SavePlatformCertificates(ctx context.Context, mchid pay.MchID, listed []wechatpay.PlatformCertificate, fetchedAt time.Time) error {
	rows := make([]store.StoredCertificate, 0, len(listed))
	for _, c := range listed {
		rows = append(rows, store.StoredCertificate{
			Serial: c.Key.ID, PEM: c.PEM, EffectiveAt: c.Key.NotBefore, ExpireAt: c.Key.NotAfter, FetchedAt: fetchedAt,
		})
	}
	return s.store.SavePlatformCertificates(ctx, mchid, rows)
}

// PlatformCertificates gives all that were ever kept, retired ones included.
func (s shelf) PlatformCertificates(ctx context.Context, mchid pay.MchID) ([]merchant.PublicKey, error) {
	rows, err := s.store.PlatformCertificates(ctx, mchid)
	if err != nil {
		return nil, fmt.Errorf("read platform certificates: %w", err)
	}
	keys := make([]merchant.PublicKey, 0, len(rows))
	for _, row := range rows {
		key, err := merchant.ParseCertificatePEM(row.PEM)
		if err != nil {
			return nil, fmt.Errorf("parse platform certificate %s: %w", row.Serial, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}
