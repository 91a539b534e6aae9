package devstack

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/simulator"
)

func TestPlanRefunds_gives_back_a_percentage_of_the_orders_in_one_to_three_parts(t *testing.T) {
	t.Parallel()
	full, partial, parts := 0, 0, map[int]int{}
	for range 20 {
		asked := planRefunds("7", DemoOptions{Orders: 200, Refunds: 30})
		sums, counts := map[string]int64{}, map[string]int{}
		numbers := map[string]bool{}
		for _, p := range asked {
			require.Positive(t, p.AmountFen)
			sums[p.OutTradeNo] += p.AmountFen
			counts[p.OutTradeNo]++
			numbers[p.OutRefundNo] = true
		}
		require.Len(t, sums, 60)
		require.Len(t, numbers, len(asked), "every part has a number of its own")
		require.Len(t, asked, 120, "the number of refunds is known beforehand")
		for i := range 200 {
			no := orderNumber("7", i)
			require.LessOrEqual(t, sums[no], amountOf(i))
			if n := counts[no]; n > 0 {
				parts[n]++
			}
			switch sums[no] {
			case 0:
			case amountOf(i):
				full++
			default:
				partial++
			}
		}
	}
	require.Len(t, parts, maxParts)
	require.NotZero(t, full)
	require.NotZero(t, partial)
	require.Empty(t, planRefunds("7", DemoOptions{Orders: 200}))
	require.Len(t, planRefunds("7", DemoOptions{Orders: 4, Refunds: 100}), 1+2+3+1)
}

func TestDoubled_counts_what_the_shop_did_not_ask_for(t *testing.T) {
	t.Parallel()
	asked := []refundPart{{"O1", "R1", 10}, {"O1", "R2", 20}}
	one := simulator.Refund{OutTradeNo: "O1", OutRefundNo: "R1", AmountFen: 10, Status: simulator.RefundSuccess}
	two := simulator.Refund{OutTradeNo: "O1", OutRefundNo: "R2", AmountFen: 20, Status: simulator.RefundProcessing}
	change := func(r simulator.Refund, with func(*simulator.Refund)) simulator.Refund { with(&r); return r }
	for name, row := range map[string]struct {
		ledger []simulator.Refund
		want   int
	}{
		"as asked":           {[]simulator.Refund{one, two}, 0},
		"less than asked":    {[]simulator.Refund{one}, 0},
		"again":              {[]simulator.Refund{one, two, one}, 1},
		"an unknown number":  {[]simulator.Refund{one, two, change(one, func(r *simulator.Refund) { r.OutRefundNo = "R3" })}, 1},
		"more money":         {[]simulator.Refund{change(one, func(r *simulator.Refund) { r.AmountFen++ })}, 1},
		"of another order":   {[]simulator.Refund{change(one, func(r *simulator.Refund) { r.OutTradeNo = "O2" })}, 1},
		"each of them twice": {[]simulator.Refund{one, one, two, two}, 2},
	} {
		require.Equal(t, row.want, doubled(asked, row.ledger), name)
	}
	require.EqualValues(t, 10, refundedBy([]simulator.Refund{one, two}), "only what succeeded went back")
}

func TestMain_refuses_percentages_that_are_none(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--drop=-1", "--drop=101", "--refunds=-1", "--refunds=101"} {
		var stderr bytes.Buffer
		require.Equal(t, 2, Main([]string{"demo", flag}, nil, io.Discard, &stderr), flag)
		require.Contains(t, stderr.String(), "0 to 100")
	}
	for _, flag := range []string{"--speed=0", "--refund-speed=-1"} {
		var stderr bytes.Buffer
		require.NotZero(t, Main([]string{"up", flag}, nil, io.Discard, &stderr), flag)
		require.Contains(t, stderr.String(), "must be positive")
	}
}

// A demo divides every wait of refunds that is configured, and no other wait.
func TestRefundWaits_are_divided_and_named_as_the_roles_read_them(t *testing.T) {
	t.Parallel()
	official, err := config.Load(config.Options{})
	require.NoError(t, err)
	environment := map[string]string{}
	for _, w := range refundWaits(official.Waits, demoSpeed) {
		name, value, _ := strings.Cut(w.variable(), "=")
		environment[name] = value
	}
	hastened, err := config.Load(config.Options{Lookup: func(name string) (string, bool) { v, ok := environment[name]; return v, ok }})
	require.NoError(t, err)
	require.Equal(t, config.Waits{
		RefundGap: time.Second, RefundPoll: time.Second, FrequencyLimited: time.Second, RefundBackoff: 167 * time.Millisecond,
		NotEnough: 30 * time.Second, UnknownQuarantine: 10 * time.Second, AckWait: official.Waits.AckWait,
	}, hastened.Waits)
}

// The shop repeats what is not known yet, with the same body, and nothing else.
func TestShop_repeats_until_the_outcome_is_known(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	bodies := make(chan string, 8) // more than there are attempts
	answers := []int{http.StatusAccepted, http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusCreated}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- string(body)
		w.WriteHeader(answers[calls.Add(1)-1])
		_, _ = w.Write([]byte(`{"out_refund_no":"R1","state":"requested"}`))
	}))
	t.Cleanup(api.Close)
	s := &shop{api: api.URL, client: api.Client()}
	require.NoError(t, s.giveBack(t.Context(), newRefund{OutRefundNo: "R1", OutTradeNo: "O1", AmountFen: 5}))
	close(bodies)
	first := <-bodies
	n := 1
	for body := range bodies {
		require.Equal(t, first, body)
		n++
	}
	require.Equal(t, len(answers), n)

	answers, refused := []int{http.StatusUnprocessableEntity}, s.giveBack
	calls.Store(0)
	bodies = make(chan string, 1)
	require.ErrorContains(t, refused(t.Context(), newRefund{OutRefundNo: "R1"}), "422")
}

func TestShop_follows_a_refund_to_its_end(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			_, _ = w.Write([]byte(`{"out_refund_no":"R1","state":"processing"}`))
		default:
			_, _ = w.Write([]byte(`{"out_refund_no":"` + r.URL.Path[len("/v1/refunds/"):] + `","state":"closed","failure":{"code":"X"}}`))
		}
	}))
	t.Cleanup(api.Close)
	s := &shop{api: api.URL, client: api.Client()}
	ended, err := s.follow(t.Context(), "R1|@")
	require.NoError(t, err)
	require.Equal(t, "R1|@", ended.OutRefundNo)
	require.Equal(t, "closed", ended.State)
	require.Equal(t, "X", ended.Failure.Code)
}
