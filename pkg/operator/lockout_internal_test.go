package operator

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	l.failed(placeOf("192.0.2.1:1"))
	require.Len(t, l.places, 1, "what is over is forgotten when room is needed")
}

func TestLockout_counts_within_a_minute_only(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(time.Unix(1_800_000_000, 0))
	l := newLockout(clock.Now)
	here := placeOf("192.0.2.1:1")
	for range 3 {
		for range maxBadTokens - 1 {
			l.failed(here)
		}
		require.Zero(t, l.wait(here))
		clock.Advance(badWithin)
	}
}

func TestPlaceOf_takes_the_whole_network_that_somebody_has(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"192.0.2.1:80":              "192.0.2.1/32",
		"[::ffff:192.0.2.1]:80":     "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":         "fe80::/64",
		"@":                         "invalid Prefix",
	} {
		require.Equal(t, want, fmt.Sprint(placeOf(remote)))
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
