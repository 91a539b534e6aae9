package devstack

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stranger gives money back in the merchant's console, of which neither the
// shop nor fenflow knows anything.
type stranger struct {
	killer

	platform *platform
	once     sync.Once
}

func (s *stranger) Received(n int) {
	if n == 0 {
		return
	}
	s.once.Do(func() {
		ledger, err := s.platform.ledger(s.t.Context())
		if err != nil || len(ledger.Payments) == 0 {
			s.t.Errorf("no payment in the ledger: %v", err)
			return
		}
		status, answer, err := s.platform.call(s.t.Context(), http.MethodPost, "/control/orders/"+ledger.Payments[0].OutTradeNo+"/refund", []byte(`{"amount_fen":7}`))
		if err != nil || status != http.StatusOK {
			s.t.Errorf("refund in the console: %d %s %v", status, answer, err)
		}
	})
}

// A demo that could not fail would prove nothing.
func TestDemo_fails_by_the_ledger_and_when_nothing_moves(t *testing.T) {
	t.Parallel()
	stack := startForTest(t)
	console := &platform{base: stack.SimulatorURL(), client: http.DefaultClient}
	report, err := RunDemo(t.Context(), stack, DemoOptions{
		Orders: 5, PayWithin: time.Second, Progress: &stranger{killer: killer{t: t}, platform: console},
	})
	require.NoError(t, err)
	require.Empty(t, report.Error)
	require.Equal(t, 1, report.RefundsDoubled, "the shop asked for no refund")
	require.False(t, report.Good())
	require.Contains(t, report.verdict(), "nobody asked for")

	report, err = RunDemo(t.Context(), stack, DemoOptions{
		Orders: 1, Drop: 100, PayWithin: time.Millisecond, Patience: 2 * time.Second, Progress: &killer{t: t},
	})
	require.NoError(t, err)
	require.False(t, report.Good())
	require.Contains(t, report.Error, "nothing has moved for 2s: 1 of 1 orders are placed, 1 paid")
}
