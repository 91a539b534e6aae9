package ingest_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/ingest"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// movable is a clock that a test moves.
type movable struct{ offset atomic.Int64 }

func (m *movable) now() time.Time          { return now().Add(time.Duration(m.offset.Load())) }
func (m *movable) forward(d time.Duration) { m.offset.Add(int64(d)) }

func forged(change func(http.Header)) *http.Request {
	r := genuine(notice)
	change(r.Header)
	return r
}

func unknownSerial(h http.Header) { h.Set(wechatpay.HeaderSerial, "FF"+serial[2:]) }

func TestKeyRefresh_is_asked_once_a_minute_for_any_number_of_unknown_serials(t *testing.T) {
	t.Parallel()
	var clock movable
	e := newEdge(t, func(c *ingest.NotifyConfig) { c.Now = clock.now })
	e.worker.answer = func(string, []byte) ([]byte, error) { return []byte(`{}`), nil }
	var senders sync.WaitGroup
	for range 50 {
		senders.Go(func() {
			e.ServeHTTP(discard{}, forged(unknownSerial))
		})
	}
	senders.Wait()
	asked := func() float64 { return e.count("fenflow_key_refreshes_total", "asked") }
	require.Eventually(t, func() bool { return asked() == 1 }, 5*time.Second, time.Millisecond)
	clock.forward(59 * time.Second)
	e.send(forged(unknownSerial))
	clock.forward(time.Second)
	e.send(forged(unknownSerial))
	require.Eventually(t, func() bool { return asked() == 2 }, 5*time.Second, time.Millisecond)
	require.Len(t, e.worker.questions(), 2)
}

func TestKeyRefresh_is_no_help_for_an_unknown_public_key_which_raises_an_alert(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	require.Equal(t, http.StatusServiceUnavailable, e.send(forged(func(h http.Header) { h.Set(wechatpay.HeaderSerial, "PUB_KEY_ID_77") })).Code)
	require.InDelta(t, 1, e.count("fenflow_unknown_public_keys_total", string(mchid)), 0)
	require.Empty(t, e.worker.questions())
}

func TestKeys_that_arrive_later_verify_at_once(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	r := func() *http.Request {
		return forged(func(h http.Header) { stamp(h, rsaKeys().stranger, "AB"+serial[2:], now(), notice) })
	}
	require.Equal(t, http.StatusServiceUnavailable, e.send(r()).Code)
	e.keys.SetPlatform(map[pay.MchID][]merchant.PublicKey{mchid: {{ID: "AB" + serial[2:], Key: &rsaKeys().stranger.PublicKey}}})
	require.Equal(t, http.StatusNoContent, e.send(r()).Code)
	require.Equal(t, http.StatusNoContent, e.send(genuine(notice)).Code, "the configured key goes on verifying")
	e.keys.SetConfigured(nil)
	require.Equal(t, http.StatusServiceUnavailable, e.send(genuine(notice)).Code, "a key that was taken away does not")
}

func TestSamples_are_one_a_second_per_merchant_and_reason(t *testing.T) {
	t.Parallel()
	var clock movable
	e := newEdge(t, func(c *ingest.NotifyConfig) { c.Now = clock.now })
	e.run()
	tampered := func(h http.Header) { h.Set(wechatpay.HeaderNonce, "other") }
	for range 20 {
		e.send(forged(tampered))
		e.send(forged(unknownSerial))
	}
	<-e.shelf.sampled
	<-e.shelf.sampled
	clock.forward(time.Second)
	e.send(forged(tampered))
	<-e.shelf.sampled
	var reasons []string
	for _, s := range e.shelf.samples() {
		reasons = append(reasons, s.Reason)
	}
	require.Equal(t, []string{"bad_signature", "unknown_serial", "bad_signature"}, reasons)
	require.InDelta(t, 21, e.count("fenflow_notifications_total", "bad_signature"), 0, "metrics count all")
}

func TestSamples_are_dropped_when_nobody_takes_them_and_hold_up_no_answer(t *testing.T) {
	t.Parallel()
	var clock movable
	e := newEdge(t, func(c *ingest.NotifyConfig) { c.Now = clock.now }) // Run does not run
	for range 100 {
		clock.forward(time.Second)
		require.Equal(t, http.StatusUnauthorized, e.send(forged(func(h http.Header) { h.Set(wechatpay.HeaderNonce, "other") })).Code)
	}
	require.InDelta(t, 36, e.count("fenflow_rejected_samples_total", "dropped"), 0)
}

func TestRun_ends_with_its_context(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e.Run(ctx)
}

func TestReady_wants_one_merchant_with_a_key_that_is_valid(t *testing.T) {
	t.Parallel()
	k := ingest.NewKeys()
	require.ErrorContains(t, ingest.CheckKeys(directory(t), k, now()), "wechatpay_public_keys")
	k.SetPlatform(map[pay.MchID][]merchant.PublicKey{otherMch: {{ID: serial, Key: &rsaKeys().platform.PublicKey, NotAfter: now().Add(-time.Second)}}})
	require.Error(t, ingest.CheckKeys(directory(t), k, now()), "a certificate that has run out is none")
	k.SetPlatform(map[pay.MchID][]merchant.PublicKey{otherMch: {{ID: serial, Key: &rsaKeys().platform.PublicKey}}})
	require.NoError(t, ingest.CheckKeys(directory(t), k, now()))
}

// discard is a ResponseWriter for answers that nobody looks at.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
