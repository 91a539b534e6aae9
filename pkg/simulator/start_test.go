package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// TestStart: a test that wants a platform of its own should not think twice. The
// RSA keys are made once in a test binary; the best of a few starts counts, as
// other tests run at the same time.
func TestStart_takes_less_than_50_ms(t *testing.T) {
	t.Parallel()
	_, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	best := time.Hour
	for range 20 {
		best = min(best, timeToServe(t))
	}
	t.Logf("from nothing to the first answer: %s", best)
	require.Less(t, best, 50*time.Millisecond)
}

func timeToServe(t *testing.T) time.Duration {
	t.Helper()
	started := time.Now()
	merchant, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	s, err := simulator.New(simulator.Options{Merchant: merchant, StateDir: t.TempDir()})
	require.NoError(t, err)
	server := httptest.NewServer(s.Handler())
	response, err := http.Get(server.URL + "/healthz")
	require.NoError(t, err)
	took := time.Since(started)
	require.NoError(t, response.Body.Close())
	server.Close()
	require.NoError(t, s.Close())
	return took
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		merchant, err := simulator.NewTestMerchant()
		require.NoError(b, err)
		s, err := simulator.New(simulator.Options{Merchant: merchant})
		require.NoError(b, err)
		require.NoError(b, s.Close())
	}
}
