package front

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBuckets_forget_whoever_has_not_asked_for_longest(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	b := newBuckets(1, 1, func() time.Time { return now })
	require.Zero(t, b.take("first"))
	for i := range maxPaced - 1 {
		require.Zero(t, b.take(strconv.Itoa(i)))
	}
	require.Positive(t, b.take("first"), "still known, and asked last now")
	require.Zero(t, b.take("one more"))
	require.Positive(t, b.take("first"))
	require.Zero(t, b.take("0"), "forgotten")
	require.Len(t, b.places, maxPaced)
	require.Equal(t, maxPaced, b.order.Len())
}

func TestBuckets_a_refusal_costs_nothing_more(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	b := newBuckets(2, 1, func() time.Time { return now })
	require.Zero(t, b.take("a"))
	for range 100 {
		require.Equal(t, 500*time.Millisecond, b.take("a"))
	}
	now = now.Add(500 * time.Millisecond)
	require.Zero(t, b.take("a"))
}
