package simulator_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// soon bounds every wait of these tests.
const (
	soon = 10 * time.Second
	tick = 5 * time.Millisecond
)

// bench is one simulator behind a real HTTP server.
type bench struct {
	merchant  simulator.Merchant
	simulator *simulator.Simulator
	url       string
	log       *lockedBuffer
}

func newBench(t *testing.T, change ...func(*simulator.Options)) bench {
	t.Helper()
	b := bench{log: &lockedBuffer{}}
	var err error
	b.merchant, err = simulator.NewTestMerchant()
	require.NoError(t, err)
	options := simulator.Options{Merchant: b.merchant, Logger: b.log.logger()}
	for _, c := range change {
		c(&options)
	}
	b.merchant = options.Merchant
	b.simulator, err = simulator.New(options)
	require.NoError(t, err)
	server := httptest.NewServer(b.simulator.Handler())
	b.url = server.URL
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, b.simulator.Close())
	})
	return b
}

// redirect sends what the SDK addresses to the real platform to the simulator; the
// SDK is otherwise as it comes.
type redirect struct{ to string }

func (r redirect) RoundTrip(request *http.Request) (*http.Response, error) {
	target, err := url.Parse(r.to)
	if err != nil {
		return nil, err
	}
	request = request.Clone(request.Context())
	request.URL.Scheme, request.URL.Host, request.Host = target.Scheme, target.Host, ""
	return http.DefaultTransport.RoundTrip(request)
}

func (b bench) httpClient() *http.Client { return &http.Client{Transport: redirect{b.url}} }

// sdk is the official client in public key mode.
func (b bench) sdk(t *testing.T) *core.Client {
	t.Helper()
	client, err := core.NewClient(context.Background(), option.WithWechatPayPublicKeyAuthCipher(
		b.merchant.Mchid, b.merchant.Serial, b.merchant.PrivateKey, b.merchant.PublicKeyID, &b.merchant.WechatpayKey.PublicKey),
		option.WithHTTPClient(b.httpClient()))
	require.NoError(t, err)
	return client
}

func (b bench) get(t *testing.T, path string) (int, string) {
	t.Helper()
	response, err := http.Get(b.url + path)
	require.NoError(t, err)
	return statusOf(t, response)
}

func (b bench) post(t *testing.T, path, body string) (int, string) {
	t.Helper()
	response, err := http.Post(b.url+path, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	return statusOf(t, response)
}

func statusOf(t *testing.T, r *http.Response) (int, string) {
	t.Helper()
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(body)
}

// settled waits until nothing is left to deliver.
func (b bench) settled(t *testing.T) simulator.Summary {
	t.Helper()
	require.Eventually(t, func() bool { return b.simulator.Summary().Pending == 0 }, soon, tick)
	return b.simulator.Summary()
}

// received is one notification as it arrived.
type received struct {
	path   string
	header http.Header
	body   string
}

func (r received) request() *http.Request {
	request := httptest.NewRequest(http.MethodPost, r.path, strings.NewReader(r.body))
	request.Header = r.header
	return request
}

// receiver is a merchant's notification server.
type receiver struct {
	url string
	mu  sync.Mutex
	got []received
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		r.got = append(r.got, received{request.URL.Path, request.Header, string(body)})
		r.mu.Unlock()
		answer(w, request)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.got...)
}

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
