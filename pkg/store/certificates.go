package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/save_certificates.sql
	saveCertificatesSQL string
	//go:embed queries/read_certificates.sql
	readCertificatesSQL string
)

// StoredCertificate is a platform certificate of WeChat Pay that the worker
// fetched and verified. It is public.
type StoredCertificate struct {
	Serial      string    `db:"serial"`
	PEM         []byte    `db:"pem"`
	EffectiveAt time.Time `db:"effective_at"`
	ExpireAt    time.Time `db:"expire_at"`
	FetchedAt   time.Time `db:"fetched_at"` // last seen in WeChat Pay's list
}

// SavePlatformCertificates keeps what a merchant's list held. Those that are
// no longer in it stay: they verify what was received while they were valid.
func (s *Store) SavePlatformCertificates(ctx context.Context, mchid pay.MchID, certificates []StoredCertificate) error {
	if len(certificates) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var (
		serials                        texts
		pems                           blobs
		effectiveAt, expireAt, fetched instants
	)
	for _, c := range certificates {
		serials = append(serials, c.Serial)
		pems = append(pems, c.PEM)
		effectiveAt = append(effectiveAt, instant(c.EffectiveAt))
		expireAt = append(expireAt, instant(c.ExpireAt))
		fetched = append(fetched, instant(c.FetchedAt))
	}
	_, err := s.db.ExecContext(ctx, saveCertificatesSQL, string(mchid), serials, pems, effectiveAt, expireAt, fetched)
	return failed(ctx, "save platform certificates", err)
}

// PlatformCertificates reads all certificates that a merchant ever had, the newest first.
func (s *Store) PlatformCertificates(ctx context.Context, mchid pay.MchID) ([]StoredCertificate, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []StoredCertificate
	if err := s.db.SelectContext(ctx, &rows, readCertificatesSQL, string(mchid)); err != nil {
		return nil, failed(ctx, "read platform certificates", err)
	}
	for i := range rows {
		rows[i].EffectiveAt, rows[i].ExpireAt, rows[i].FetchedAt = instant(rows[i].EffectiveAt), instant(rows[i].ExpireAt), instant(rows[i].FetchedAt)
	}
	return rows, nil
}
