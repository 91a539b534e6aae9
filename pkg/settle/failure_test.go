package settle_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/settle"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

func TestSettle_a_row_that_the_database_refuses_stands_alone_and_its_neighbours_settle(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	s := b.service()
	var batch []wechatpay.Arrival
	for i := range 40 {
		b.order(number(i), 100)
		batch = append(batch, b.platform.pays(t, number(i), transaction(i), 100))
	}
	// One transaction id for two orders: the books refuse the second for good.
	b.order(number(50), 100)
	thief := b.platform.pays(t, number(50), transaction(7), 100)
	batch = append(batch, thief)
	require.NoError(t, s.Settle(t.Context(), batch))

	paid := 0
	for i := range 40 {
		if b.state(number(i)) == pay.OrderPaid {
			paid++
		}
	}
	if b.state(number(50)) == pay.OrderPaid { // whichever of the two came first in the commit
		paid++
	}
	require.Equal(t, 40, paid)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM dead_letters WHERE state = 'open'`))
	require.Equal(t, 40, b.count(`SELECT count(*) FROM payments`))
}

func TestSettle_waits_for_a_database_that_was_stopped_in_the_middle(t *testing.T) {
	t.Parallel()
	server := testkit.OwnPostgres(t)
	require.NoError(t, server.CreateDatabase(t.Context(), "books"))
	require.NoError(t, migrate(t.Context(), server.URL("books")))
	b := setup(t, server.URL("books"))
	s := b.service()
	var batch []wechatpay.Arrival
	for i := range 20 {
		b.order(number(i), 100)
		batch = append(batch, b.platform.pays(t, number(i), transaction(i), 100))
	}
	require.NoError(t, s.Settle(t.Context(), batch[:10]))
	require.NoError(t, server.Kill())
	require.Error(t, s.Settle(t.Context(), batch), "nothing may be acknowledged")
	require.NoError(t, server.Restart())
	require.Eventually(t, func() bool { return s.Settle(t.Context(), batch) == nil }, 30*time.Second, 50*time.Millisecond)
	for i := range 20 {
		require.Equal(t, pay.OrderPaid, b.state(number(i)))
	}
	require.Equal(t, 20, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
	require.Zero(t, b.count(`SELECT count(*) FROM dead_letters`))
}

func TestSettle_counts_attempts_before_it_touches_a_suspect(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	kills := redelivered(b.platform.pays(t, number(1), transaction(1), 100), 6)
	neighbour := redelivered(b.platform.pays(t, number(2), transaction(2), 100), 6)
	b.order(number(1), 100)
	b.order(number(2), 100)
	// A crash is a Settle that never comes back: nothing after the touch happens.
	var touches atomic.Int32
	crash := b.service(func(o *settle.Options) {
		o.Open = func(env wechatpay.Envelope, c *merchant.Credentials) (wechatpay.Notification, error) {
			if env.DeliveryID == kills.Envelope.DeliveryID {
				touches.Add(1)
				select {} // the process is gone, as far as this delivery is concerned
			}
			return wechatpay.Open(env, c)
		}
	})
	for i := range 3 {
		go func() { _ = crash.Settle(context.WithoutCancel(t.Context()), []wechatpay.Arrival{neighbour, kills}) }()
		require.Eventually(t, func() bool { return touches.Load() == int32(i+1) }, 20*time.Second, 5*time.Millisecond)
	}
	// The fourth time it is not touched any more.
	require.NoError(t, crash.Settle(t.Context(), []wechatpay.Arrival{kills, neighbour}))
	require.EqualValues(t, 3, touches.Load())
	reason, state, detail := b.letter(kills.Envelope.DeliveryID)
	require.Equal(t, "internal", reason)
	require.Equal(t, "open", state)
	require.Contains(t, detail, "not read")
	require.Equal(t, pay.OrderPaid, b.state(number(2)))
	require.Equal(t, pay.OrderCreated, b.state(number(1)))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM dead_letters`), "a neighbour that was read each time is not held responsible")
	require.Equal(t, 1, b.count(`SELECT count(*) FROM delivery_attempts`))
}

// A letter is replayed one day, so its signature must be whole: that of a
// 4,096-bit key has 684 characters.
func TestSettle_a_letter_of_a_refused_row_keeps_its_headers(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	key, err := rsa.GenerateKey(rand.Reader, 4096)
	require.NoError(t, err)
	b.platform.key = key
	b.directory.credentials.Keyring.Put(merchant.PublicKey{ID: keyID, Key: &key.PublicKey})
	b.order(number(1), 100)
	b.order(number(2), 100)
	require.NoError(t, b.service().Settle(t.Context(), []wechatpay.Arrival{b.platform.pays(t, number(1), transaction(1), 100)}))
	thief := b.platform.pays(t, number(2), transaction(1), 100)
	require.NoError(t, b.service().Settle(t.Context(), []wechatpay.Arrival{thief}))
	reason, _, _ := b.letter(thief.Envelope.DeliveryID)
	require.Equal(t, "internal", reason)
	for _, table := range []string{"dead_letters", "deliveries"} {
		var headers string
		require.NoError(t, b.db.QueryRowContext(t.Context(), `SELECT headers FROM `+table+` WHERE delivery_id = $1`, string(thief.Envelope.DeliveryID)).Scan(&headers))
		require.Contains(t, headers, thief.Envelope.Headers[wechatpay.HeaderSignature], table)
	}
}

// bookless is a directory whose database is away when it is asked for keys.
type bookless struct {
	*directory
	store *store.Store
}

func (d *bookless) Refresh(ctx context.Context, id pay.MchID) error {
	if _, err := d.store.PlatformCertificates(ctx, id); err != nil {
		return fmt.Errorf("load platform certificates: %w", err)
	}
	return d.directory.Refresh(ctx, id)
}

func TestSettle_keys_that_the_database_could_not_give_are_not_held_against_a_notification(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	key := b.directory.credentials.Keyring.All()
	b.directory.late = key
	b.directory.credentials.Keyring.Replace()
	away, err := store.Open(t.Context(), store.Config{URL: b.url, MaxConns: 1})
	require.NoError(t, err)
	require.NoError(t, away.Close()) // only the keys' way to the database is gone
	b.order(number(1), 100)
	batch := []wechatpay.Arrival{b.platform.pays(t, number(1), transaction(1), 100)}
	err = b.service(func(o *settle.Options) { o.Keys = &bookless{b.directory, away} }).Settle(t.Context(), batch)
	require.ErrorContains(t, err, "keys cannot be looked up")
	require.Zero(t, b.count(`SELECT count(*) FROM dead_letters`))
	require.NoError(t, b.service(func(o *settle.Options) { o.Keys = &bookless{b.directory, b.store} }).Settle(t.Context(), batch))
	require.Equal(t, pay.OrderPaid, b.state(number(1)))
}

// flaky fails a number of times as a database that is away does.
type flaky struct {
	settle.Books
	failures atomic.Int32
}

var errAway = errors.New("connection refused")

func (f *flaky) Settle(ctx context.Context, entries []pay.Entry, policies func(pay.MchID) pay.Policies) (pay.Settled, error) {
	if f.failures.Add(-1) >= 0 {
		return pay.Settled{}, errAway
	}
	return f.Books.Settle(ctx, entries, policies)
}

func TestSettle_a_database_that_is_away_is_not_held_against_a_suspect(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	books := &flaky{Books: b.store}
	books.failures.Store(4)
	s := b.service(func(o *settle.Options) { o.Books = books })
	b.order(number(1), 100)
	suspect := redelivered(b.platform.pays(t, number(1), transaction(1), 100), 9)
	require.NoError(t, s.Settle(t.Context(), []wechatpay.Arrival{suspect}))
	require.Equal(t, pay.OrderPaid, b.state(number(1)))
	attempts, err := b.store.CountAttempt(t.Context(), mchid, suspect.Envelope.DeliveryID)
	require.NoError(t, err)
	require.LessOrEqual(t, attempts, 2, "one attempt was counted for one touch")
}
