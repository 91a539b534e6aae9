package subscribe

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
)

// Two instances have the same event in hand: the first has written its row and
// its effect and has not committed when the broker, out of patience, hands the
// event to the second.
func TestInbox_makes_a_twin_wait_for_the_first(t *testing.T) {
	t.Parallel()
	for name, isolation := range map[string]sql.IsolationLevel{
		"default": sql.LevelDefault, "read committed": sql.LevelReadCommitted,
		"repeatable read": sql.LevelRepeatableRead, "serializable": sql.LevelSerializable,
	} {
		for outcome, fails := range map[string]bool{"that commits": false, "that fails": true} {
			t.Run(name+" "+outcome, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				with := func(o *Options) { o.Isolation = isolation }
				first, _ := w.open(t, with)
				first.pace.alive = time.Hour // as an instance that hangs
				second, seen := w.open(t, with)
				facts := []fact{{"TWIN1", "order.paid", 3}}
				w.publish(t, facts...)

				atWork, goOn := make(chan struct{}, 9), make(chan struct{})
				firstCalls, secondCalls := atomic.Int64{}, atomic.Int64{}
				run(t, first, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
					if err := shop(ctx, tx, e); err != nil || firstCalls.Add(1) > 1 {
						return err
					}
					atWork <- struct{}{}
					<-goOn
					if fails {
						return errors.New("no tea left")
					}
					return nil
				})
				letGo := sync.OnceFunc(func() { close(goOn) })
				t.Cleanup(letGo)
				<-atWork
				run(t, second, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
					secondCalls.Add(1)
					return shop(ctx, tx, e)
				})
				w.awaitLockWait(t)
				require.Zero(t, secondCalls.Load(), "the second must not act while the first is at it")
				letGo()
				w.drained(t)
				w.requireOneEffect(t, facts)
				if !fails {
					require.Zero(t, secondCalls.Load(), "the second must see what the first has committed")
					require.Empty(t, seen.of(""), "a lost race is no failure")
				}
			})
		}
	}
}

// awaitLockWait waits until a session waits for another's transaction.
func (w *world) awaitLockWait(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		err := w.db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO %fenflow_inbox%'`).Scan(&n)
		return err == nil && n > 0
	}, soon, often)
}

func TestInbox_shares_the_work_of_two_instances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	facts := storyOf(150)
	one, _ := w.open(t)
	two, _ := w.open(t)
	var calls [2]atomic.Int64
	for n, i := range []*Inbox{one, two} {
		run(t, i, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
			calls[n].Add(1)
			return shop(ctx, tx, e)
		})
	}
	w.publish(t, disordered(facts)...)
	w.drained(t)
	w.requireOneEffect(t, facts)
	for n := range calls {
		require.Positive(t, calls[n].Load(), "instance %d did nothing", n)
	}
}

// Two systems share a database: what one has done the other has not.
func TestInbox_remembers_for_each_name(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	facts := storyOf(5)
	w.publish(t, facts...)
	for n, name := range []string{"shop", "ledger"} {
		var calls atomic.Int64
		i, _ := w.open(t, func(o *Options) { o.Name = name })
		stop := run(t, i, func(context.Context, *sql.Tx, event.Event) error { calls.Add(1); return nil })
		require.Eventually(t, func() bool { return w.remembered(t) == (n+1)*distinct(facts) }, soon, often)
		w.drained(t)
		stop()
		require.EqualValues(t, distinct(facts), calls.Load())
		w.publish(t, facts...)
	}
}

// Each transaction reads a number and writes it back: under SERIALIZABLE and
// REPEATABLE READ all but one of those at work must fail and be repeated.
func TestInbox_repeats_serialization_failures(t *testing.T) {
	t.Parallel()
	for name, isolation := range map[string]sql.IsolationLevel{"repeatable read": sql.LevelRepeatableRead, "serializable": sql.LevelSerializable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, err := w.db.ExecContext(t.Context(), `CREATE TABLE stock (n bigint NOT NULL); INSERT INTO stock VALUES (0)`)
			require.NoError(t, err)
			i, _ := w.open(t, func(o *Options) { o.Isolation, o.Concurrency = isolation, 8 })
			facts := storyOf(40)
			w.publish(t, facts...)
			var conflicts atomic.Int64
			run(t, i, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
				var n int64
				if err := tx.QueryRowContext(ctx, `SELECT n FROM stock`).Scan(&n); err != nil {
					return err
				}
				_, err := tx.ExecContext(ctx, `UPDATE stock SET n = $1`, n+1)
				if isConflict(err) {
					conflicts.Add(1)
				}
				if err != nil {
					return err
				}
				return shop(ctx, tx, e)
			})
			w.drained(t)
			w.requireOneEffect(t, facts)
			var n int
			require.NoError(t, w.db.QueryRowContext(t.Context(), `SELECT n FROM stock`).Scan(&n))
			require.Equal(t, distinct(facts), n)
			require.Positive(t, conflicts.Load(), "no two transactions met: the test proves nothing")
		})
	}
}
