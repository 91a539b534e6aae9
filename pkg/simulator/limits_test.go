package simulator_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

func limited(c *handClock) func(*simulator.Options) {
	return func(o *simulator.Options) { o.Now, o.Limits = c.now, true }
}

func TestMinuteBetweenPartialRefunds(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	b := newBench(t, limited(clock))
	service := b.refunds(t)
	refund := func(number, refund string) error {
		_, _, err := service.Create(t.Context(), refundOf(number, refund, 10))
		return err
	}
	for _, number := range []string{"spaced-1", "spaced-2"} {
		b.paid(t, number, "https://shop.example/n", 0)
	}
	require.NoError(t, refund("spaced-1", "spaced-1-a"))
	requireCode(t, refund("spaced-1", "spaced-1-b"), http.StatusTooManyRequests, "FREQUENCY_LIMITED")
	require.Contains(t, b.log.String(), "minute between partial refunds")
	require.NoError(t, refund("spaced-1", "spaced-1-a"), "a repeat is no new refund")
	require.NoError(t, refund("spaced-2", "spaced-2-a"), "another order has its own minute")
	clock.advance(59 * time.Second)
	requireCode(t, refund("spaced-1", "spaced-1-b"), http.StatusTooManyRequests, "FREQUENCY_LIMITED")
	clock.advance(time.Second)
	require.NoError(t, refund("spaced-1", "spaced-1-b"))
	require.Len(t, b.simulator.Ledger().Refunds, 3)
}

// TestRefundErrorRate: of more than six failing refunds in a second the seventh
// hears nothing but that it is one too many.
func TestRefundErrorRate(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	b := newBench(t, limited(clock))
	service := b.refunds(t)
	refund := func() error {
		_, _, err := service.Create(t.Context(), refundOf("no-such-order", "no-such-refund", 10))
		return err
	}
	for range 6 {
		requireCode(t, refund(), http.StatusNotFound, "RESOURCE_NOT_EXISTS")
	}
	requireCode(t, refund(), http.StatusTooManyRequests, "RATELIMIT_EXCEEDED")
	require.Contains(t, b.log.String(), "instead_of=RESOURCE_NOT_EXISTS")
	clock.advance(time.Second)
	requireCode(t, refund(), http.StatusNotFound, "RESOURCE_NOT_EXISTS")
}

func TestRefundQueryRate(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	b := newBench(t, limited(clock))
	counts := map[int]int{}
	for range 302 {
		status, _ := b.send(t, http.MethodGet, "/v3/refund/domestic/refunds/no-such-refund", "")
		counts[status]++
	}
	require.Equal(t, map[int]int{http.StatusNotFound: 300, http.StatusTooManyRequests: 2}, counts)
	require.Contains(t, b.log.String(), "limit=refund_query allowed=300 per=1s this_is_number=301")
}

func TestNoLimitsUnlessAsked(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	b := newBench(t, func(o *simulator.Options) { o.Now = clock.now })
	b.paid(t, "free-01", "https://shop.example/n", 0)
	service := b.refunds(t)
	for _, refund := range []string{"free-01-a", "free-01-b"} {
		_, _, err := service.Create(t.Context(), refundOf("free-01", refund, 10))
		require.NoError(t, err)
	}
	for range 8 {
		_, _, err := service.Create(t.Context(), refundOf("no-such-order", "no-such-refund", 10))
		requireCode(t, err, http.StatusNotFound, "RESOURCE_NOT_EXISTS")
	}
}
