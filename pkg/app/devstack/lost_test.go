package devstack

import (
	"context"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rough is a run in which half of the notifications never arrive, half of the
// orders are refunded, and every call to the platform may go wrong.
func rough(p Progress) DemoOptions {
	return DemoOptions{
		Orders: 60, Duplicates: 2, Forged: 12, Drop: 50, Refunds: 50, Trouble: true, PayWithin: 12 * time.Second, Progress: p,
	}
}

func requireRoughRun(t *testing.T, s *Stack, o DemoOptions) Report {
	t.Helper()
	report, err := RunDemo(t.Context(), s, o)
	require.NoError(t, err)
	require.True(t, report.Good(), report.verdict())
	require.Equal(t, 60, report.Events)
	require.Equal(t, 60, report.Refunds, "thirty orders in one, two or three parts")
	require.Positive(t, report.RefundedFen)
	require.Zero(t, report.Anomalies)
	require.NotZero(t, report.Queries, "what was lost was asked for")
	requireNoSecrets(t, s)
	return report
}

// Whatever is killed while refunds are on their way, every payment is found,
// and every refund is made once; Redis forgets everything each second.
func TestDemo_loses_and_doubles_nothing_when_roles_are_killed_and_Redis_forgets(t *testing.T) {
	t.Parallel()
	k := &killer{t: t, paid: []kill{{10, "reconciler"}, {30, "worker"}}, refunded: []kill{{5, "reconciler"}, {12, "worker"}, {20, "ingest"}}}
	o := rough(k)
	stack, err := Start(t.Context(), o.stack(t.TempDir(), testWriter{t}))
	require.NoError(t, err)
	t.Cleanup(stack.Stop)
	k.stack = stack
	ctx, stop := context.WithCancel(t.Context())
	flushed := make(chan int, 1)
	go func() { flushed <- forget(ctx, stack.redis.Port()) }()
	report := requireRoughRun(t, stack, o)
	stop()
	require.NotZero(t, <-flushed)
	k.requireDone()
	require.GreaterOrEqual(t, report.Restarts, 5)
}

// The guarantee does not rest on Redis: it is away for the whole run.
func TestDemo_ends_the_same_without_Redis(t *testing.T) {
	t.Parallel()
	o := rough(&killer{t: t})
	stack, err := Start(t.Context(), o.stack(t.TempDir(), testWriter{t}))
	require.NoError(t, err)
	t.Cleanup(stack.Stop)
	require.NoError(t, stack.redis.Kill())
	requireRoughRun(t, stack, o)
	require.Zero(t, stack.redis.Pid())
}

// Not one notification arrives: everything is known by asking.
func TestDemo_needs_no_notification(t *testing.T) {
	t.Parallel()
	o := DemoOptions{Orders: 30, Duplicates: 2, Forged: 6, Drop: 100, Refunds: 100, PayWithin: 5 * time.Second, Progress: &killer{t: t}}
	stack, err := Start(t.Context(), o.stack(t.TempDir(), testWriter{t}))
	require.NoError(t, err)
	t.Cleanup(stack.Stop)
	report, err := RunDemo(t.Context(), stack, o)
	require.NoError(t, err)
	require.True(t, report.Good(), report.verdict())
	require.Equal(t, 60, report.Refunds)
	require.Zero(t, report.DuplicateNotifications)
	require.Nil(t, report.AckMS.P50, "nothing was acknowledged")
	require.Equal(t, 6, report.ForgedSent)
	// Every open order is asked about each 10 s; twice that leaves room for a
	// slow machine, and shows a schedule that does not run at all.
	require.Less(t, *report.PaidEventMS.P99, 20_000.0)
}

// forget sends FLUSHALL each second and says how often that was answered.
func forget(ctx context.Context, port int) int {
	flushed := 0
	for rest(ctx, time.Second) == nil {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		_, _ = conn.Write([]byte("FLUSHALL\r\nQUIT\r\n"))
		if answer, err := io.ReadAll(conn); err == nil && string(answer) == "+OK\r\n+OK\r\n" {
			flushed++
		}
		_ = conn.Close()
	}
	return flushed
}
