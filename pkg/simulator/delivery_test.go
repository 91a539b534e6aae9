package simulator_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// place puts an order in the books by the API.
func (b bench) place(t *testing.T, number, notifyURL string) {
	t.Helper()
	body := map[string]any{"appid": b.merchant.Appid, "mchid": b.merchant.Mchid, "description": "tea", "out_trade_no": number,
		"notify_url": notifyURL, "amount": map[string]any{"total": 100}, "payer": map[string]any{"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}}
	text, err := json.Marshal(body)
	require.NoError(t, err)
	status, answer := b.send(t, http.MethodPost, "/v3/pay/transactions/jsapi", string(text))
	require.Equal(t, http.StatusOK, status, answer)
}

func (b bench) notifyURL(r *receiver) string { return r.url + "/notify/v3/" + b.merchant.Mchid }

func TestDuplicatesFollowTheAcknowledgement(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shop := newReceiver(t, noContent)
	b.place(t, "order-1", b.notifyURL(shop))
	status, answer := b.post(t, "/control/orders/order-1/pay", `{"duplicates":3}`)
	require.Equal(t, http.StatusOK, status, answer)
	summary := b.settled(t)
	require.Equal(t, 1, summary.Acknowledged)
	require.Equal(t, 3, summary.Duplicates)
	require.Len(t, summary.AckMs, 4)

	got := shop.all()
	require.Len(t, got, 4)
	nonces := map[string]bool{}
	for _, r := range got {
		require.Equal(t, got[0].body, r.body, "repeats have the same body")
		nonces[r.header.Get("Wechatpay-Nonce")] = true
		require.Equal(t, "Mozilla/4.0", r.header.Get("User-Agent"))
		b.parse(t, r)
	}
	require.Len(t, nonces, 4, "and fresh signatures")
	serials := []string{got[0].header.Get("Wechatpay-Serial"), got[1].header.Get("Wechatpay-Serial")}
	require.ElementsMatch(t, []string{b.merchant.PublicKeyID, b.merchant.PlatformSerial}, serials, "mixed uses both keys")
}

// TestForgeries: the official SDK refuses every kind, and each kind fails for the
// reason that it is named after.
func TestForgeries(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shop := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	b.place(t, "order-1", b.notifyURL(shop))
	_, err := b.simulator.Pay("order-1", simulator.PayRequest{Notify: simulator.ProtocolNone, Forged: 10})
	require.NoError(t, err)
	summary := b.settled(t)
	require.Equal(t, 10, summary.Forged)
	require.Zero(t, summary.ForgedAccepted)
	require.Len(t, summary.Counts, 5, "all five kinds took their turn")

	reasons := map[string]int{}
	for _, r := range shop.all() {
		var claimed map[string]any
		err := b.parseInto(t, r, &claimed)
		require.Error(t, err)
		require.Empty(t, claimed)
		reasons[r.header.Get("Wechatpay-Serial")]++
		require.True(t, json.Valid([]byte(r.body)), "a forgery is well-formed")
	}
	require.Equal(t, 8, reasons[b.merchant.PublicKeyID], "four kinds in five claim the true key")
	require.NotContains(t, reasons, b.merchant.PlatformSerial)
}

func TestForgeriesThatAreBelievedAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shop := newReceiver(t, noContent)
	b.place(t, "order-1", b.notifyURL(shop))
	payment, err := b.simulator.Pay("order-1", simulator.PayRequest{Forged: 5})
	require.NoError(t, err)
	require.Equal(t, 5, b.settled(t).ForgedAccepted)
	ledger := b.simulator.Ledger()
	require.Equal(t, []simulator.Payment{payment}, ledger.Payments, "what forgers claim is not in the ledger")
}

// TestRetrySchedule drives a real HTTP server over in-memory connections in a
// bubble of time, so that 24 hours pass in milliseconds.
func TestRetrySchedule(t *testing.T) {
	t.Parallel()
	merchant, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	waits := []time.Duration{15 * time.Second, 15 * time.Second, 30 * time.Second, 3 * time.Minute, 10 * time.Minute, 20 * time.Minute,
		30 * time.Minute, 30 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 3 * time.Hour, 3 * time.Hour, 6 * time.Hour, 6 * time.Hour}
	rows := map[string]struct {
		speed    float64
		answers  int // the one that acknowledges; 0 is none
		attempts int
	}{
		"never acknowledged":      {1, 0, 16},
		"acknowledged on the 4th": {1, 4, 4},
		"six hundred times":       {600, 0, 16},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var arrivals []time.Time
				var got []received
				client := pipeServer(t, func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					assert.NoError(t, err)
					arrivals, got = append(arrivals, time.Now()), append(got, received{r.URL.Path, r.Header, string(body)})
					if len(arrivals) != row.answers {
						w.WriteHeader(http.StatusServiceUnavailable)
					}
				})
				s, err := simulator.New(simulator.Options{Merchant: merchant, HTTPClient: client, Speed: row.speed})
				require.NoError(t, err)
				paid := payOne(t, s, merchant)
				<-time.After(30 * time.Hour) // the bubble's clock, not the wall's
				synctest.Wait()
				require.Len(t, arrivals, row.attempts)
				require.Equal(t, paid.PaidAt.Unix(), arrivals[0].Unix())
				for i, at := range arrivals[1:] {
					require.Equal(t, time.Duration(float64(waits[i])/row.speed), at.Sub(arrivals[i]))
				}
				requireFresh(t, got, arrivals)
				summary := s.Summary()
				require.Equal(t, row.answers == 0, summary.Abandoned == 1)
				require.Zero(t, summary.Pending)
				require.NoError(t, s.Close())
			})
		})
	}
}

// requireFresh: the same body each time, stamped anew with the wall clock.
func requireFresh(t *testing.T, got []received, arrivals []time.Time) {
	t.Helper()
	var signatures []string
	for i, r := range got {
		require.Equal(t, got[0].body, r.body)
		require.Equal(t, strconv.FormatInt(arrivals[i].Unix(), 10), r.header.Get("Wechatpay-Timestamp"))
		signatures = append(signatures, r.header.Get("Wechatpay-Signature"))
	}
	slices.Sort(signatures)
	require.Len(t, slices.Compact(signatures), len(got))
}

func TestSilentReceiversAreGivenFiveSeconds(t *testing.T) {
	t.Parallel()
	merchant, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		client := pipeServer(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // so that the server notices the client leaving
			<-r.Context().Done()
		})
		s, err := simulator.New(simulator.Options{Merchant: merchant, HTTPClient: client})
		require.NoError(t, err)
		payOne(t, s, merchant)
		<-time.After(6 * time.Second) // the bubble's clock
		synctest.Wait()
		attempts := s.Deliveries("order-1")
		require.Len(t, attempts, 1)
		require.InDelta(t, 5000, attempts[0].AnswerMs, 1)
		require.Zero(t, attempts[0].Status)
		require.Contains(t, attempts[0].Error, "deadline")
		require.NoError(t, s.Close())
		require.Equal(t, 1, s.Summary().Pending, "closing is not giving up")
	})
}

// payOne places an order through the handler itself and pays it.
func payOne(t *testing.T, s *simulator.Simulator, m simulator.Merchant) simulator.Payment {
	t.Helper()
	answer := call(t, s, m, http.MethodPost, "/v3/pay/transactions/jsapi", goodPrepay)
	require.Equal(t, http.StatusOK, answer.Code, answer.Body.String())
	payment, err := s.Pay("order-1", simulator.PayRequest{})
	require.NoError(t, err)
	return payment
}

// pipeServer is an HTTP server without sockets, which a bubble can see through.
func pipeServer(t *testing.T, handler http.HandlerFunc) *http.Client {
	t.Helper()
	listener := &pipeListener{connections: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: listener.dial}}
}
