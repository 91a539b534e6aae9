package operator

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/testkit"
)

func TestLockout_memory_is_bounded(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(time.Unix(1_800_000_000, 0))
	l := newLockout(clock.Now)
	for i := range 3 * maxPlaces {
		l.failed(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
		clock.Advance(time.Millisecond)
	}
	require.Len(t, l.places, maxPlaces)
	clock.Advance(badWithin)
	l.failed(httpedge.PlaceOf("192.0.2.1:1"))
	require.Len(t, l.places, 1, "what is over is forgotten when room is needed")
}

func TestLockout_counts_within_a_minute_only(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(time.Unix(1_800_000_000, 0))
	l := newLockout(clock.Now)
	here := httpedge.PlaceOf("192.0.2.1:1")
	for range 3 {
		for range maxBadTokens - 1 {
			l.failed(here)
		}
		require.Zero(t, l.wait(here))
		clock.Advance(badWithin)
	}
}

func TestPace_memory_is_bounded(t *testing.T) {
	t.Parallel()
	p := newPace(time.Now)
	for i := range 3 * maxPaced {
		p.allow(fmt.Sprint(i))
	}
	require.LessOrEqual(t, len(p.tokens), maxPaced)
}
