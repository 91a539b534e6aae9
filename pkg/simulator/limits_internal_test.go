package simulator

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDocumentedRates counts what each bucket lets through in its span.
func TestDocumentedRates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	l := newLimits(Options{Limits: true, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	for bucket, want := range map[string]struct {
		count int
		span  time.Duration
	}{
		apiPrepay:         {500, time.Second},
		apiUnifiedOrder:   {600, time.Second},
		apiRefund:         {150, time.Second},
		apiRefundError:    {6, time.Second},
		apiRefundQuery:    {300, time.Second},
		apiAbnormalRefund: {150, time.Second},
		apiOldRefund:      {5000, time.Minute},
	} {
		start := now
		for range want.count {
			require.Nil(t, l.admit(bucket), bucket)
		}
		refused := l.admit(bucket)
		require.NotNil(t, refused, bucket)
		require.Equal(t, http.StatusTooManyRequests, refused.status)
		require.Equal(t, "RATELIMIT_EXCEEDED", refused.code)
		now = start.Add(want.span - 1)
		require.NotNil(t, l.admit(bucket), bucket)
		now = start.Add(want.span)
		require.Nil(t, l.admit(bucket), "%s: a new span", bucket)
	}
	for range 10_000 {
		require.Nil(t, l.admit(apiQuery), "no rate is documented")
	}
}

// TestOldRefunds: payments of more than a month ago have a rate of their own.
func TestOldRefunds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	l := newLimits(Options{Limits: true, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	recent, old := now.Add(-29*day), now.Add(-31*day)
	for range oldRefundRate {
		require.Nil(t, l.refund(old, time.Time{}))
	}
	require.Equal(t, "RATELIMIT_EXCEEDED", l.refund(old, time.Time{}).code)
	require.Nil(t, l.refund(recent, time.Time{}))
}
