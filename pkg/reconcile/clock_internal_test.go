package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestClock_follows_the_databases(t *testing.T) {
	t.Parallel()
	own := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := clock{own: func() time.Time { return own }}
	require.Equal(t, own, c.now(), "nothing heard yet")
	c.heard(time.Time{}, time.Minute)
	require.Equal(t, own, c.now(), "a claim that took nothing says nothing")
	c.heard(own.Add(time.Minute+200*time.Millisecond), time.Minute)
	require.Equal(t, own, c.now(), "jitter")
	c.heard(own.Add(-4*time.Minute+time.Minute), time.Minute)
	require.Equal(t, own.Add(-4*time.Minute), c.now())
	own = own.Add(time.Hour)
	require.Equal(t, own.Add(-4*time.Minute), c.now(), "it goes on")
	own = own.Add(-4 * time.Minute) // corrected
	c.heard(own.Add(time.Minute), time.Minute)
	require.Equal(t, own, c.now())
}
