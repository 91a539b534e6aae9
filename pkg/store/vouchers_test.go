package store_test

import (
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/provision"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// ask comes in as whoever asks for the voucher.
func ask(t *testing.T, url string) error {
	t.Helper()
	s, err := store.Prepare(store.Config{URL: url, MaxConns: 1, Vouched: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	return s.Ping(t.Context())
}

func (b *books) state() pay.BooksState {
	b.t.Helper()
	state, err := b.BooksState(b.t.Context())
	require.NoError(b.t, err)
	return state
}

func TestVoucher_lets_in_whoever_asks_for_it_where_somebody_gave_it(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, pay.BooksState{Fresh: true}, b.state())
	require.NoError(t, ask(t, b.url), "nobody ever compared new books")
	require.NoError(t, b.Vouch(t.Context()))
	require.NoError(t, b.Vouch(t.Context()), "again")
	require.Equal(t, pay.BooksState{Vouched: true}, b.state())
	require.NoError(t, ask(t, b.url))

	require.NoError(t, b.Withdraw(t.Context()))
	require.Equal(t, pay.BooksState{}, b.state())
	refused := ask(t, b.url)
	require.ErrorIs(t, refused, store.ErrRestored)
	require.True(t, store.Retryable(refused), "it passes when they are recovered")
	require.NoError(t, b.Vouch(t.Context()))
	require.NoError(t, ask(t, b.url))
}

// A copy of a database, a dump that was read in again, and a server that was started
// anew are other books until somebody has looked.
func TestVoucher_holds_for_one_life_of_one_database(t *testing.T) {
	t.Parallel()
	pg, url := ownServer(t)
	b := openBooks(t, url)
	require.NoError(t, b.Vouch(t.Context()))
	require.NoError(t, ask(t, url))

	bin, err := provision.Postgres(t.Context(), io.Discard)
	require.NoError(t, err)
	dump := filepath.Join(t.TempDir(), "dump")
	run := func(program string, args ...string) {
		said, err := exec.CommandContext(t.Context(), filepath.Join(bin, program), args...).CombinedOutput()
		require.NoError(t, err, string(said))
	}
	run("pg_dump", "--format=custom", "--file="+dump, url)
	require.NoError(t, b.exec(`DROP SCHEMA public CASCADE`))
	require.NoError(t, b.exec(`CREATE SCHEMA public`))
	run("pg_restore", "--exit-on-error", "--dbname="+url, dump)
	require.ErrorIs(t, ask(t, url), store.ErrRestored, "a dump makes tables anew")
	require.NoError(t, b.Vouch(t.Context()))
	require.NoError(t, ask(t, url))

	require.NoError(t, b.Close())
	require.NoError(t, b.sql.Close()) // the copy is of a database that nobody uses
	require.NoError(t, pg.CloneDatabase(t.Context(), "fenflow", "copy"))
	require.ErrorIs(t, ask(t, pg.URL("copy")), store.ErrRestored, "a copy is another database")
	require.NoError(t, ask(t, url))

	require.NoError(t, pg.Stop())
	require.NoError(t, pg.Restart())
	require.ErrorIs(t, ask(t, url), store.ErrRestored, "who knows what was done to its files")
}

func TestVoucher_is_not_asked_for_on_an_older_schema(t *testing.T) {
	t.Parallel()
	require.NoError(t, ask(t, testkit.Database(t, "", nil)), "that it is older is found out by whoever starts on it")
}

func TestVouch_waits_for_a_recovery_that_the_books_need(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.Withdraw(t.Context()))
	r, err := b.BeginRecovery(t.Context(), noon, pay.RecoveryStretches{Events: pay.Stretch{First: 1, Next: 1, Until: 9}}, "token:ada", "restored")
	require.NoError(t, err)
	require.True(t, r.Needed)
	require.Equal(t, uint64(9), r.Stretches.Events.Until)
	require.NoError(t, b.Vouch(t.Context()))
	require.Equal(t, pay.BooksState{Recovering: true}, b.state())
	r, leased, err := b.LeaseRecovery(t.Context(), r.ID, time.Minute, "token:ada", "on")
	require.NoError(t, err)
	require.True(t, leased)
	r.Trouble(pay.RecoveryProblem{OutTradeNo: "T1", Detail: "look"})
	r.Counts.Orders = 3
	stranger := r
	stranger.Lease = uuid.NewString()
	require.Error(t, b.MoveRecovery(t.Context(), stranger, time.Minute))
	require.Error(t, b.FinishRecovery(t.Context(), stranger, "token:ada", "done"))
	require.NoError(t, b.MoveRecovery(t.Context(), r, time.Minute))
	_, leased, err = b.LeaseRecovery(t.Context(), r.ID, time.Minute, "token:bob", "too")
	require.NoError(t, err)
	require.False(t, leased)
	require.NoError(t, b.FinishRecovery(t.Context(), r, "token:ada", "done"))
	require.Equal(t, pay.BooksState{Vouched: true}, b.state())
	ended, found, err := b.Recovery(t.Context(), r.ID)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, pay.RecoveryDone, ended.Phase)
	require.Equal(t, r.Problems, ended.Problems)
	require.Equal(t, r.Counts, ended.Counts)
	_, found, err = b.Recovery(t.Context(), "")
	require.NoError(t, err)
	require.False(t, found, "none is under way")
}

// What the books need is not forgotten when an operator begins from earlier on.
func TestBeginRecovery_carries_the_need_over(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.Withdraw(t.Context()))
	first, err := b.BeginRecovery(t.Context(), noon, pay.RecoveryStretches{}, "token:ada", "restored")
	require.NoError(t, err)
	require.NoError(t, b.exec(`INSERT INTO vouchers (incarnation) VALUES (books_incarnation()) ON CONFLICT (only_one) DO UPDATE SET incarnation = excluded.incarnation`))
	second, err := b.BeginRecovery(t.Context(), noon.Add(-time.Hour), pay.RecoveryStretches{}, "token:ada", "from earlier on")
	require.NoError(t, err)
	require.True(t, second.Needed)
	given, _, err := b.Recovery(t.Context(), first.ID)
	require.NoError(t, err)
	require.True(t, given.Superseded)
	same, err := b.BeginRecovery(t.Context(), noon.Add(-time.Minute), pay.RecoveryStretches{}, "token:bob", "again")
	require.NoError(t, err)
	require.Equal(t, second, same, "it covers what is wanted")

	// A backup may hold a recovery that was under way when it was made: nothing that
	// it had done by then counts.
	require.NoError(t, b.exec(`UPDATE recoveries SET incarnation = 'before', needed = false WHERE state = 'running'`))
	_, leased, err := b.LeaseRecovery(t.Context(), second.ID, time.Minute, "token:ada", "on")
	require.NoError(t, err)
	require.False(t, leased)
	stale, _, err := b.Recovery(t.Context(), second.ID)
	require.NoError(t, err)
	require.True(t, stale.Superseded)
	third, err := b.BeginRecovery(t.Context(), noon, pay.RecoveryStretches{}, "token:ada", "restored")
	require.NoError(t, err)
	require.NotEqual(t, second.ID, third.ID)
}

func TestRestorePublished_puts_back_what_the_books_do_not_know_and_nothing_else(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	b.settle(arrived(payment(o, "4200")))
	events, err := b.ClaimOutbox(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, events, 2)
	at := time.Now().UTC().Truncate(time.Microsecond)
	stored := []pay.ToldEvent{{Outgoing: events[0], Sequence: 7, StoredAt: at}, {Outgoing: events[1], Sequence: 8, StoredAt: at}, {Sequence: 9, StoredAt: at}}
	other := events[1]
	other.EventID = uuid.NewString()
	unknown, err := b.UnknownEvents(t.Context(), []string{events[0].EventID, other.EventID, events[1].EventID})
	require.NoError(t, err)
	require.Equal(t, []string{other.EventID}, unknown)
	n, err := b.RestorePublished(t.Context(), stored)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	repeat := stored[0]
	repeat.Sequence, repeat.StoredAt = 70, at.Add(time.Hour)
	n, err = b.RestorePublished(t.Context(), append(stored, repeat))
	require.NoError(t, err)
	require.Zero(t, n, "once")
	told, err := b.Told(t.Context(), []pay.OrderKey{{MchID: o.MchID, OutTradeNo: o.OutTradeNo}, {MchID: o.MchID, OutTradeNo: "nobody"}})
	require.NoError(t, err)
	require.Len(t, told, 2)
	require.Equal(t, at, told[0].StoredAt)
	// What was told is taken out of the outbox; what was not stays.
	third := b.place()
	fresh, err := b.HushEvents(t.Context(), []string{events[0].EventID, events[1].EventID, b.text(`SELECT event_id FROM outbox WHERE out_trade_no = $1`, string(third.OutTradeNo))})
	require.NoError(t, err)
	require.Equal(t, 1, fresh)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox`))
}

func TestCatchUpOrders_raises_sequences_and_makes_open_orders_due(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open, paid := b.place(), b.place()
	b.settle(arrived(payment(paid, "4200")))
	require.NoError(t, b.exec(`UPDATE orders SET next_check_at = now() + interval '1 hour' WHERE out_trade_no = $1`, string(open.OutTradeNo)))
	key := func(o pay.Order) pay.OrderKey { return pay.OrderKey{MchID: o.MchID, OutTradeNo: o.OutTradeNo} }
	require.NoError(t, b.CatchUpOrders(t.Context(), map[pay.OrderKey]int64{key(open): 0, key(paid): 9, {MchID: shop, OutTradeNo: "nobody"}: 3}))
	require.Equal(t, int64(1), b.order(open).Sequence, "never lowered")
	require.WithinDuration(t, time.Now(), b.order(open).NextCheckAt, time.Minute)
	require.Equal(t, int64(9), b.order(paid).Sequence)
	require.True(t, b.order(paid).NextCheckAt.IsZero())
	late := payment(paid, "4201")
	b.settle(arrived(late))
	require.Greater(t, b.order(paid).Sequence, int64(9), "and it goes on from there")
}

// ownServer is a PostgreSQL that a test may stop.
func ownServer(t *testing.T) (*servers.Postgres, string) {
	t.Helper()
	pg := testkit.OwnPostgres(t)
	require.NoError(t, pg.CreateDatabase(t.Context(), "fenflow"))
	url := pg.URL("fenflow")
	require.NoError(t, migrate(context.Background(), url))
	return pg, url
}
