package certificates_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/certificates"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// shelf and bucket keep things in memory; what the real ones do is shown by
// the tests of store, bus and app/worker.
type shelf struct {
	mu    sync.Mutex
	saved []merchant.PublicKey
	away  atomic.Bool
}

var errAway = errors.New("away")

func (s *shelf) SavePlatformCertificates(_ context.Context, _ pay.MchID, listed []wechatpay.PlatformCertificate, _ time.Time) error {
	if s.away.Load() {
		return errAway
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range listed {
		s.saved = append(s.saved, c.Key)
	}
	return nil
}

func (s *shelf) PlatformCertificates(context.Context, pay.MchID) ([]merchant.PublicKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]merchant.PublicKey(nil), s.saved...), nil
}

type bucket struct{ puts chan []merchant.PublicKey }

func (b *bucket) PutPlatformKeys(_ context.Context, _ pay.MchID, keys []merchant.PublicKey) error {
	b.puts <- keys
	return nil
}

type bundle struct {
	service     *certificates.Service
	shelf       *shelf
	bucket      *bucket
	clock       *testkit.Clock
	credentials *merchant.Credentials
	client      *wechatpay.Client
	simulated   simulator.Merchant
	calls       atomic.Int32
	answer      atomic.Pointer[http.HandlerFunc] // in place of the platform's
}

func (b *bundle) All() []pay.MchID { return []pay.MchID{b.credentials.Merchant.MchID} }

func (b *bundle) Credentials(id pay.MchID) (*merchant.Credentials, bool) {
	return b.credentials, id == b.credentials.Merchant.MchID
}

func (b *bundle) Certificates(pay.MchID) (certificates.WeChat, bool) { return b.client, true }

func setup(t *testing.T) *bundle {
	t.Helper()
	m, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	platform, err := simulator.New(simulator.Options{Merchant: m, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = platform.Close() })
	b := &bundle{shelf: &shelf{}, bucket: &bucket{puts: make(chan []merchant.PublicKey, 64)}, clock: testkit.NewClock(time.Now()), simulated: m}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.calls.Add(1)
		if answer := b.answer.Load(); answer != nil {
			(*answer)(w, r)
			return
		}
		platform.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.credentials = &merchant.Credentials{
		Merchant:   merchant.Merchant{MchID: pay.MchID(m.Mchid), Serial: m.Serial, PlatformCertificates: true},
		PrivateKey: m.PrivateKey, APIv3Keys: []merchant.Secret{merchant.Secret(m.APIv3Key)}, Keyring: merchant.NewKeyring(),
	}
	b.client, err = wechatpay.NewClient(b.credentials, wechatpay.ClientOptions{BaseURL: server.URL})
	require.NoError(t, err)
	b.service = certificates.New(b.shelf, b.bucket, b, slog.New(slog.DiscardHandler), b.clock.Now)
	return b
}

func TestRefresh_fetches_keeps_and_shares(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.service.Refresh(t.Context(), b.credentials.Merchant.MchID))
	_, known := b.credentials.Keyring.Find(b.simulated.PlatformSerial)
	require.True(t, known)
	require.Len(t, b.shelf.saved, 1)
	require.Equal(t, b.simulated.PlatformSerial, (<-b.bucket.puts)[0].ID)
}

func TestRefresh_asks_once_a_minute_and_those_who_wait_share_the_answer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.credentials.Merchant.MchID
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if b.service.Refresh(context.WithoutCancel(t.Context()), id) == nil {
				if _, known := b.credentials.Keyring.Find(b.simulated.PlatformSerial); !known {
					t.Error("Refresh came back before the certificate was there")
				}
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, b.calls.Load())
	b.clock.Advance(59 * time.Second)
	require.NoError(t, b.service.Refresh(t.Context(), id))
	require.EqualValues(t, 1, b.calls.Load())
	b.clock.Advance(2 * time.Second)
	require.NoError(t, b.service.Refresh(t.Context(), id))
	require.EqualValues(t, 2, b.calls.Load())
}

func TestRefresh_takes_what_another_worker_saved_without_asking(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := setup(t)
	require.NoError(t, other.service.Refresh(t.Context(), other.credentials.Merchant.MchID))
	require.NoError(t, b.service.Refresh(t.Context(), b.credentials.Merchant.MchID))
	retired := other.shelf.saved[0]
	retired.ID = "7777777777777777777777777777777777777777"
	b.shelf.saved = append(b.shelf.saved, retired)
	require.NoError(t, b.service.Refresh(t.Context(), b.credentials.Merchant.MchID))
	require.EqualValues(t, 1, b.calls.Load())
	_, known := b.credentials.Keyring.Find(retired.ID)
	require.True(t, known)
}

func TestRefresh_a_merchant_without_certificates_is_fine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	none := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"code":"RESOURCE_NOT_EXISTS","message":"-"}`))
	})
	b.answer.Store(&none)
	require.NoError(t, b.service.Refresh(t.Context(), b.credentials.Merchant.MchID))
	b.credentials.Merchant.PlatformCertificates = false
	b.clock.Advance(time.Hour)
	require.NoError(t, b.service.Refresh(t.Context(), b.credentials.Merchant.MchID))
	require.EqualValues(t, 1, b.calls.Load(), "who uses none is not asked about")
	require.Empty(t, b.bucket.puts)
}

func TestRefresh_shares_nothing_that_was_not_kept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.shelf.away.Store(true)
	require.ErrorIs(t, b.service.Refresh(t.Context(), b.credentials.Merchant.MchID), errAway)
	require.Empty(t, b.bucket.puts)
	require.Zero(t, b.credentials.Keyring.Len())
}

func TestRun_shares_again_when_the_broker_comes_back(t *testing.T) {
	t.Parallel()
	b := setup(t)
	again := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.service.Run(ctx, again) }()
	require.Len(t, <-b.bucket.puts, 1)
	again <- struct{}{}
	require.Len(t, <-b.bucket.puts, 1)
	require.EqualValues(t, 1, b.calls.Load())
	cancel()
	require.NoError(t, <-ended)
}

func TestAnswer_reads_the_question(t *testing.T) {
	t.Parallel()
	b := setup(t)
	answer, err := b.service.Answer(t.Context(), []byte(`{"mchid":"`+b.simulated.Mchid+`"}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"ok":true}`, string(answer))
	_, err = b.service.Answer(t.Context(), []byte(`{`))
	require.Error(t, err)
}
