package devstack

import (
	"context"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rough is a run in which half of the notifications never arrive, half of the
// orders are refunded in one, two or three parts, and every call to the platform
// may go wrong. It makes about as many refunds as there are orders.
func rough(p Progress, orders int) DemoOptions {
	return DemoOptions{
		Orders: orders, Duplicates: 2, Forged: 12, Drop: 50, Refunds: 50, Trouble: true, PayWithin: min(time.Duration(orders)*200*time.Millisecond, time.Minute), Progress: p,
	}
}

// roughOrders is the size of a rough run; FENFLOW_ROUGH_ORDERS makes it larger.
func roughOrders(t *testing.T) int {
	t.Helper()
	text := os.Getenv("FENFLOW_ROUGH_ORDERS")
	if text == "" {
		return 60
	}
	orders, err := strconv.Atoi(text)
	require.NoError(t, err)
	require.GreaterOrEqual(t, orders, 60)
	return orders
}

func requireRoughRun(t *testing.T, s *Stack, o DemoOptions) Report {
	t.Helper()
	report, err := RunDemo(t.Context(), s, o)
	require.NoError(t, err)
	require.True(t, report.Good(), report.verdict())
	require.Equal(t, o.Orders, report.Events)
	require.Len(t, planRefunds("", o), report.Refunds, "half of the orders in one, two or three parts")
	t.Logf("%d orders, %d refunds of %d fen, %d questions about orders, %d restarts, %.0f s",
		report.Orders, report.Refunds, report.RefundedFen, report.Queries, report.Restarts, *report.Seconds)
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
	orders := roughOrders(t)
	k := &killer{t: t, paid: kills(orders, "reconciler", "worker", "ingest"), refunded: kills(orders/2, "reconciler", "worker", "ingest", "nats", "reconciler")}
	o := rough(k, orders)
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
	require.GreaterOrEqual(t, report.Restarts, 8)
}

// kills spreads them evenly below a count of events.
func kills(below int, roles ...string) (all []kill) {
	for i, role := range roles {
		all = append(all, kill{below * (i + 1) / (len(roles) + 1), role})
	}
	return all
}

// The guarantee does not rest on Redis: it is away for the whole run.
func TestDemo_ends_the_same_without_Redis(t *testing.T) {
	t.Parallel()
	o := rough(&killer{t: t}, 60)
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
