package store_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

// oneOf runs the same call by eight at once and says how many were told yes.
func oneOf(t *testing.T, call func() (bool, error)) int {
	t.Helper()
	var yes atomic.Int64
	var together errgroup.Group
	for range 8 {
		together.Go(func() error {
			told, err := call()
			if told {
				yes.Add(1)
			}
			return err
		})
	}
	require.NoError(t, together.Wait())
	return int(yes.Load())
}

func TestSweepIfIdle_is_given_to_one_when_nobody_sweeps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	idle := func(kind string) func() (bool, error) {
		return func() (bool, error) { return b.SweepIfIdle(t.Context(), kind, 10*time.Second) }
	}
	require.Equal(t, 1, oneOf(t, idle("sweep.orders")), "nobody ever swept")
	require.Zero(t, oneOf(t, idle("sweep.orders")), "the one has begun it")
	require.NoError(t, b.BeginSweep(t.Context(), "sweep.refunds"))
	require.Zero(t, oneOf(t, idle("sweep.refunds")))
	for range 5 {
		require.NoError(t, b.exec(`UPDATE sweeps SET begun_at = now() - interval '11 seconds'`))
		require.Equal(t, 1, oneOf(t, idle("sweep.orders")))
		require.Equal(t, 1, oneOf(t, idle("sweep.refunds")))
	}
	require.NoError(t, b.exec(`UPDATE sweeps SET begun_at = now() - interval '11 seconds'`))
	require.NoError(t, b.BeginSweep(t.Context(), "sweep.orders"))
	require.Zero(t, oneOf(t, idle("sweep.orders")))
}

func TestBeginJob_begins_a_period_once_until_it_fails_or_its_lease_ends(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begin := func() (bool, error) { return b.BeginJob(t.Context(), shop, "bill.fetch", "2026-03-01", time.Minute) }
	finish := func(failed bool) {
		require.NoError(t, b.FinishJob(t.Context(), shop, "bill.fetch", "2026-03-01", "said \x00", failed))
	}
	row := func() string {
		return b.text(`SELECT concat_ws(' ', state, attempts, detail, finished_at IS NOT NULL, leased_until IS NOT NULL) FROM job_runs WHERE period = '2026-03-01'`)
	}
	require.Equal(t, 1, oneOf(t, begin))
	require.Zero(t, oneOf(t, begin), "it runs")
	require.NoError(t, b.exec(`UPDATE job_runs SET leased_until = now()`))
	require.Equal(t, 1, oneOf(t, begin), "its runner is gone")
	finish(true)
	require.Equal(t, "failed 2 said \uFFFD t f", row())
	require.Equal(t, 1, oneOf(t, begin), "it failed")
	finish(false)
	require.Equal(t, "done 3 said \uFFFD t f", row())
	finish(true)
	require.Equal(t, "done 3 said \uFFFD t f", row(), "done stays done")
	require.NoError(t, b.exec(`UPDATE job_runs SET leased_until = now()`))
	require.Zero(t, oneOf(t, begin), "done is never begun again")

	for _, another := range [][3]string{{"", "bill.fetch", "2026-03-01"}, {string(shop), "purge", "2026-03-01"}, {string(shop), "bill.fetch", "2026-03-02"}} {
		require.Equal(t, 1, oneOf(t, func() (bool, error) {
			return b.BeginJob(t.Context(), pay.MchID(another[0]), another[1], another[2], time.Minute)
		}), another)
	}
}

func TestFinishJob_of_a_late_runner_counts_if_it_did_the_work(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begun, err := b.BeginJob(t.Context(), "", "purge", "2026-03-01", time.Minute)
	require.NoError(t, err)
	require.True(t, begun)
	require.NoError(t, b.FinishJob(t.Context(), "", "purge", "2026-03-01", "away", true))
	require.NoError(t, b.FinishJob(t.Context(), "", "purge", "2026-03-01", "late", true))
	require.Equal(t, "failed away", b.text(`SELECT state || ' ' || detail FROM job_runs`))
	require.NoError(t, b.FinishJob(t.Context(), "", "purge", "2026-03-01", "finished after all", false))
	require.Equal(t, "done finished after all", b.text(`SELECT state || ' ' || detail FROM job_runs`))
	require.NoError(t, b.FinishJob(t.Context(), "", "purge", "2026-03-09", "never begun", false))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM job_runs`))
}
