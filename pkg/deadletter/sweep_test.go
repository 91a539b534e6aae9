package deadletter_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/deadletter"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// settler settles straight into the real books; the bytes are not looked at.
type settler struct {
	store *store.Store
	mu    sync.Mutex
	seen  []wechatpay.Arrival
	err   error
}

func (s *settler) Settle(ctx context.Context, arrivals []wechatpay.Arrival) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.seen = append(s.seen, arrivals...)
	var entries []pay.Entry
	for _, a := range arrivals {
		entries = append(entries, entry(a.Envelope))
	}
	_, err := s.store.Settle(ctx, entries, func(pay.MchID) pay.Policies { return pay.Policies{} })
	return err
}

const (
	mchid = pay.MchID("1900000109")
	appid = pay.AppID("wx8888888888888888")
)

// entry reads the order's number from the body.
func entry(e wechatpay.Envelope) pay.Entry {
	return pay.Entry{
		Delivery: &pay.Delivery{ID: e.DeliveryID, MchID: e.MchID, Kind: e.Kind, ReceivedAt: e.ReceivedAt, Headers: e.Headers, Body: e.Body, OutTradeNo: pay.OutTradeNo(e.Body)},
		Observation: &pay.Observation{
			Kind: pay.ObservedPaid, Source: pay.SourceNotification, ObservedAt: e.ReceivedAt, DeliveryID: e.DeliveryID, MchID: mchid, AppID: appid,
			OutTradeNo: pay.OutTradeNo(e.Body), TransactionID: pay.TransactionID("42" + string(e.Body)), Amount: 100, PayerTotal: 100, Currency: pay.CNY, PaidAt: e.ReceivedAt,
		},
	}
}

type bundle struct {
	t       *testing.T
	store   *store.Store
	db      *sql.DB
	settler *settler
	sweeper *deadletter.Sweeper
}

func setup(t *testing.T) *bundle {
	t.Helper()
	url := testkit.Database(t, "deadletter", func(ctx context.Context, url string) error {
		_, err := store.Migrate(ctx, url)
		return err
	})
	books, err := store.Open(t.Context(), store.Config{URL: url, MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(func() { _ = books.Close() })
	db, err := sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	b := &bundle{t: t, store: books, db: db, settler: &settler{store: books}}
	b.sweeper = deadletter.New(books, b.settler, slog.New(slog.DiscardHandler))
	return b
}

// early settles a payment whose order is not there.
func (b *bundle) early(no string) wechatpay.Envelope {
	b.t.Helper()
	id, err := uuid.NewV7()
	require.NoError(b.t, err)
	env := wechatpay.Envelope{
		DeliveryID: pay.DeliveryID(id.String()), MchID: mchid, Kind: pay.DeliveryNotifyV3, ReceivedAt: time.Now().UTC().Truncate(time.Microsecond),
		Headers: map[string]string{wechatpay.HeaderNonce: "n"}, Body: []byte(no),
	}
	require.NoError(b.t, b.settler.Settle(b.t.Context(), []wechatpay.Arrival{{Envelope: env, Deliveries: 1}}))
	require.Equal(b.t, "waiting", b.state(env.DeliveryID))
	b.settler.seen = nil
	return env
}

func (b *bundle) order(no string) {
	b.t.Helper()
	now := time.Now().UTC()
	_, created, _, err := b.store.CreateOrder(b.t.Context(), pay.Order{
		MchID: mchid, OutTradeNo: pay.OutTradeNo(no), AppID: appid, Client: pay.ClientNative, Protocol: pay.ProtocolV3, Description: "tea",
		Amount: 100, Currency: pay.CNY, Digest: "d", PrepayRequest: []byte("{}"), CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(time.Hour), NextCheckAt: now.Add(time.Minute),
	})
	require.NoError(b.t, err)
	require.True(b.t, created)
}

func (b *bundle) state(id pay.DeliveryID) string {
	b.t.Helper()
	var state string
	require.NoError(b.t, b.db.QueryRowContext(b.t.Context(), `SELECT state FROM dead_letters WHERE delivery_id = $1`, string(id)).Scan(&state))
	return state
}

func (b *bundle) exec(statement string) {
	b.t.Helper()
	_, err := b.db.ExecContext(b.t.Context(), statement)
	require.NoError(b.t, err)
}

func TestSweep_settles_the_same_bytes_once_their_order_is_there(t *testing.T) {
	t.Parallel()
	b := setup(t)
	env := b.early("T00000001")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.sweeper.Run(ctx) }()
	b.order("T00000001")
	require.Eventually(t, func() bool { return b.state(env.DeliveryID) == "resolved" }, 30*time.Second, 50*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	b.settler.mu.Lock()
	defer b.settler.mu.Unlock()
	last := b.settler.seen[len(b.settler.seen)-1]
	require.Equal(t, env, last.Envelope, "the same delivery, byte for byte")
	order, _, err := b.store.Order(t.Context(), mchid, "T00000001")
	require.NoError(t, err)
	require.Equal(t, pay.OrderPaid, order.State)
}

func TestSweep_opens_what_has_waited_ten_minutes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	young, old := b.early("T00000001"), b.early("T00000002")
	b.exec(`UPDATE dead_letters SET first_failed_at = first_failed_at - interval '601 seconds' WHERE delivery_id = '` + string(old.DeliveryID) + `'`)
	require.NoError(t, b.sweeper.Sweep(t.Context()))
	require.Equal(t, "waiting", b.state(young.DeliveryID))
	require.Equal(t, "open", b.state(old.DeliveryID))
}

func TestSweep_keeps_letters_when_settling_fails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	env := b.early("T00000001")
	b.exec(`UPDATE dead_letters SET next_retry_at = now()`)
	b.settler.err = errors.New("the database is away")
	require.Error(t, b.sweeper.Sweep(t.Context()))
	require.Equal(t, "waiting", b.state(env.DeliveryID))
	b.settler.err = nil
	b.order("T00000001")
	b.exec(`UPDATE dead_letters SET next_retry_at = now()`)
	require.NoError(t, b.sweeper.Sweep(t.Context()))
	require.Equal(t, "resolved", b.state(env.DeliveryID))
}

func TestRetry_takes_only_the_letters_of_that_order(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine, other := b.early("T00000001"), b.early("T00000002")
	b.order("T00000001")
	n, err := b.sweeper.Retry(t.Context(), mchid, "T00000001")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, "resolved", b.state(mine.DeliveryID))
	require.Equal(t, "waiting", b.state(other.DeliveryID))
	n, err = b.sweeper.Retry(t.Context(), mchid, "T00000001")
	require.NoError(t, err)
	require.Zero(t, n)
}

// What killed its reader once may do so again: settle counts what the bus handed
// out often, and gives up on it in time.
func TestSweep_hands_over_what_was_a_fault_of_ours_as_a_suspect(t *testing.T) {
	t.Parallel()
	b := setup(t)
	env, other := b.early("T00000001"), b.early("T00000002")
	b.exec(`UPDATE dead_letters SET next_retry_at = now()`)
	b.exec(`UPDATE dead_letters SET reason = 'internal' WHERE delivery_id = '` + string(env.DeliveryID) + `'`)
	require.NoError(t, b.sweeper.Sweep(t.Context()))
	require.Len(t, b.settler.seen, 2)
	for _, a := range b.settler.seen {
		require.Equal(t, a.Envelope.DeliveryID == env.DeliveryID, a.Deliveries > 5, "%v is not %v", other.DeliveryID, a.Envelope.DeliveryID)
	}
}
