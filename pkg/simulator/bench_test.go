package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// BenchmarkPrepay includes the caller's own signature, as dear as the answer's.
func BenchmarkPrepay(b *testing.B) {
	merchant, err := simulator.NewTestMerchant()
	require.NoError(b, err)
	s, err := simulator.New(simulator.Options{Merchant: merchant, StateDir: b.TempDir()})
	require.NoError(b, err)
	defer s.Close()
	for i := 0; b.Loop(); i++ {
		body := strings.Replace(goodPrepay, "order-1", "order-"+strconv.Itoa(i), 1)
		require.Equal(b, 200, call(b, s, merchant, "POST", "/v3/pay/transactions/jsapi", body).Code)
	}
}

// BenchmarkNotify pays and delivers over real HTTP, one signature a notification;
// orders are placed outside the measured time.
func BenchmarkNotify(b *testing.B) {
	merchant, err := simulator.NewTestMerchant()
	require.NoError(b, err)
	shop := httptest.NewServer(http.HandlerFunc(noContent))
	defer shop.Close()
	s, err := simulator.New(simulator.Options{Merchant: merchant, StateDir: b.TempDir()})
	require.NoError(b, err)
	defer s.Close()
	for i := range b.N {
		body := strings.Replace(goodPrepay, "order-1", "order-"+strconv.Itoa(i), 1)
		require.Equal(b, http.StatusOK, call(b, s, merchant, http.MethodPost, "/v3/pay/transactions/jsapi", body).Code)
	}
	b.ResetTimer()
	for i := range b.N {
		_, err := s.Pay("order-"+strconv.Itoa(i), simulator.PayRequest{NotifyURL: shop.URL})
		require.NoError(b, err)
	}
	for s.Summary().Acknowledged < b.N {
		runtime.Gosched()
	}
}
