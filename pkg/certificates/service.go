package certificates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Shelf is where certificates are kept for ever.
type Shelf interface {
	SavePlatformCertificates(ctx context.Context, mchid pay.MchID, certificates []wechatpay.PlatformCertificate, fetchedAt time.Time) error
	PlatformCertificates(ctx context.Context, mchid pay.MchID) ([]merchant.PublicKey, error)
}

// Bucket is what the edge watches.
type Bucket interface {
	PutPlatformKeys(ctx context.Context, mchid pay.MchID, keys []merchant.PublicKey) error
}

// WeChat fetches a merchant's certificates, verified.
type WeChat interface {
	Certificates(ctx context.Context) ([]wechatpay.PlatformCertificate, wechatpay.Answer, error)
}

// Merchants are the merchants as they are configured now.
type Merchants interface {
	All() []pay.MchID
	Credentials(mchid pay.MchID) (*merchant.Credentials, bool)
	Certificates(mchid pay.MchID) (WeChat, bool)
}

// The rhythm.
const (
	// refreshEvery is far below the 12 hours that WeChat Pay asks for, so that
	// a new certificate is known before it is used.
	refreshEvery = time.Hour
	// refreshGap: an unknown serial is anybody's word.
	refreshGap = time.Minute
	// retryAfter a failed round.
	retryAfter = 15 * time.Second
	// callTimeout bounds one merchant's refresh.
	callTimeout = 15 * time.Second
)

// Service keeps the certificates.
type Service struct {
	shelf     Shelf
	bucket    Bucket
	merchants Merchants
	log       *slog.Logger
	now       func() time.Time

	flights singleflight.Group
	mu      sync.Mutex
	asked   map[pay.MchID]time.Time
}

// New makes a Service.
func New(shelf Shelf, bucket Bucket, merchants Merchants, log *slog.Logger, now func() time.Time) *Service {
	return &Service{shelf: shelf, bucket: bucket, merchants: merchants, log: log, now: now, asked: map[pay.MchID]time.Time{}}
}

// Run fetches at once and then every hour, and shares again whenever asked,
// until the context ends.
func (s *Service) Run(ctx context.Context, shareAgain <-chan struct{}) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var err error
		select {
		case <-timer.C:
			err = s.round(ctx)
			timer.Reset(pauseAfter(err))
		case <-shareAgain:
			if err = s.Share(ctx); err != nil {
				timer.Reset(retryAfter)
			}
		case <-ctx.Done():
			return nil
		}
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "platform certificates are not up to date", "error", err, "again_in", retryAfter.String())
		}
	}
}

func pauseAfter(err error) time.Duration {
	if err != nil {
		return retryAfter
	}
	return refreshEvery
}

func (s *Service) round(ctx context.Context) error {
	var failures []error
	for _, mchid := range s.merchants.All() {
		if err := s.fetchOnce(ctx, mchid, always); err != nil {
			failures = append(failures, fmt.Errorf("merchant %s: %w", mchid, err))
		}
	}
	return errors.Join(failures...)
}

// Load puts the certificates of the shelf, retired ones among them, into a
// merchant's keyring.
func (s *Service) Load(ctx context.Context, mchid pay.MchID) error {
	credentials, known := s.merchants.Credentials(mchid)
	if !known {
		return nil
	}
	kept, err := s.shelf.PlatformCertificates(ctx, mchid)
	if err != nil {
		return fmt.Errorf("load platform certificates: %w", err)
	}
	credentials.Keyring.Put(kept...)
	return nil
}

// Refresh brings a merchant's keyring up to date for somebody who saw an
// unknown serial: with what another worker has saved meanwhile, and with what
// WeChat Pay answers, asked at most once a minute.
func (s *Service) Refresh(ctx context.Context, mchid pay.MchID) error {
	if err := s.Load(ctx, mchid); err != nil {
		return err
	}
	return s.fetchOnce(ctx, mchid, s.due)
}

// Answer answers {"mchid"} of an edge that saw an unknown serial. The keys
// themselves reach the edge through the bucket.
func (s *Service) Answer(ctx context.Context, question []byte) ([]byte, error) {
	var q struct {
		MchID pay.MchID `json:"mchid"`
	}
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	if err := s.Refresh(ctx, q.MchID); err != nil {
		return nil, err
	}
	return []byte(`{"ok":true}`), nil
}

func (s *Service) due(mchid pay.MchID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, asked := s.asked[mchid]
	return !asked || s.now().Sub(last) >= refreshGap
}

func always(pay.MchID) bool { return true }

// fetchOnce fetches if it is due, or joins whoever is fetching for the same
// merchant at this moment: who saw an unknown serial wants that answer.
func (s *Service) fetchOnce(ctx context.Context, mchid pay.MchID, due func(pay.MchID) bool) error {
	_, err, _ := s.flights.Do(string(mchid), func() (any, error) {
		if !due(mchid) {
			return nil, nil
		}
		s.mu.Lock()
		s.asked[mchid] = s.now()
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		return nil, s.fetch(ctx, mchid)
	})
	return err
}

// fetch asks WeChat Pay, keeps what it says, and shares it: in this order, so
// that the edge never believes a certificate that no worker knows.
func (s *Service) fetch(ctx context.Context, mchid pay.MchID) error {
	credentials, known := s.merchants.Credentials(mchid)
	wechat, reachable := s.merchants.Certificates(mchid)
	if !known || !reachable || !credentials.Merchant.PlatformCertificates {
		return nil
	}
	fetched, _, err := wechat.Certificates(ctx)
	switch {
	case wechatpay.IsNotExist(err):
		// Since late 2024 new merchants have a public key and no certificates.
		s.log.InfoContext(ctx, "WeChat Pay has no platform certificates for this merchant", "mchid", mchid)
		return nil
	case err != nil:
		return fmt.Errorf("fetch certificates: %w", err)
	}
	if err := s.shelf.SavePlatformCertificates(ctx, mchid, fetched, s.now().UTC()); err != nil {
		return fmt.Errorf("save certificates: %w", err)
	}
	for _, certificate := range fetched {
		credentials.Keyring.Put(certificate.Key)
	}
	s.log.InfoContext(ctx, "platform certificates refreshed", "mchid", mchid, "certificates", len(fetched))
	return s.share(ctx, mchid, credentials.Keyring)
}

// Share gives the edge all certificates that are valid now, of every merchant:
// at the start, and when the broker came back, perhaps without its bucket. It
// reads the shelf first, so as not to take away what another worker fetched.
func (s *Service) Share(ctx context.Context) error {
	var failures []error
	for _, mchid := range s.merchants.All() {
		credentials, known := s.merchants.Credentials(mchid)
		if !known || !credentials.Merchant.PlatformCertificates {
			continue
		}
		err := s.Load(ctx, mchid)
		if err == nil {
			err = s.share(ctx, mchid, credentials.Keyring)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("merchant %s: %w", mchid, err))
		}
	}
	return errors.Join(failures...)
}

func (s *Service) share(ctx context.Context, mchid pay.MchID, ring *merchant.Keyring) error {
	var valid []merchant.PublicKey
	for _, key := range ring.All() {
		if key.IsPlatform() && key.ValidAt(s.now()) {
			valid = append(valid, key)
		}
	}
	if len(valid) == 0 {
		return nil
	}
	if err := s.bucket.PutPlatformKeys(ctx, mchid, valid); err != nil {
		return fmt.Errorf("share certificates: %w", err)
	}
	return nil
}
