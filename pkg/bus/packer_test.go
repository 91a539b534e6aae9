package bus

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// stored reads the stream from the beginning.
func (w world) stored(t testing.TB) (all []wechatpay.Envelope, packs int) {
	t.Helper()
	s, err := w.worker.js.Stream(t.Context(), StreamNotify)
	require.NoError(t, err)
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		msg, err := s.GetMsg(t.Context(), seq)
		require.NoError(t, err)
		require.LessOrEqual(t, len(msg.Data), maxPackBytes)
		parts, err := decodePack(msg.Data)
		require.NoError(t, err)
		require.LessOrEqual(t, len(parts), maxPackEnvelopes)
		for _, part := range parts {
			require.NoError(t, part.err)
			all = append(all, part.envelope)
		}
		packs++
	}
	return all, packs
}

func TestPacker_stores_each_envelope_once_in_few_messages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := NewPacker(w.notify, "1")
	const callers, each = 64, 20
	var wg sync.WaitGroup
	failures := make(chan error, callers*each) // room for every answer
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				failures <- p.Publish(t.Context(), envelope(c*each+i))
			}
		})
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
	all, packs := w.stored(t)
	require.Len(t, all, callers*each)
	require.Less(t, packs, callers*each/4, "concurrent publishes share messages")
	seen := map[string]wechatpay.Envelope{}
	for _, env := range all {
		seen[string(env.DeliveryID)] = env
	}
	for n := range callers * each {
		require.Equal(t, envelope(n), seen[string(envelope(n).DeliveryID)])
	}
}

func TestPacker_starts_a_new_pack_for_what_does_not_fit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := NewPacker(w.notify, "1")
	var wg sync.WaitGroup
	for n := range 12 {
		env := envelope(n)
		env.Body = make([]byte, 100<<10) // two fit in a pack
		wg.Go(func() { require.NoError(t, p.Publish(t.Context(), env)) })
	}
	wg.Wait()
	all, packs := w.stored(t)
	require.Len(t, all, 12)
	require.GreaterOrEqual(t, packs, 6)
	env := envelope(1)
	env.Body = make([]byte, maxPackBytes)
	require.ErrorIs(t, p.Publish(t.Context(), env), ErrTooLarge)
}

func TestPacker_fails_at_once_while_the_broker_is_away(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := NewPacker(w.notify, "1")
	require.NoError(t, p.Publish(t.Context(), envelope(1)))
	require.NoError(t, w.server.Stop())
	require.Eventually(t, func() bool { return !w.notify.Connected() }, soon, often)
	begin := time.Now()
	require.ErrorIs(t, p.Publish(t.Context(), envelope(2)), ErrUnavailable)
	require.Less(t, time.Since(begin), time.Second)
	require.NoError(t, w.server.Restart())
	require.Eventually(t, func() bool { return p.Publish(t.Context(), envelope(3)) == nil }, soon, often)
	w.back(t, w.worker)
	all, _ := w.stored(t)
	require.Equal(t, envelope(1), all[0], "what was acknowledged is there after a restart")
	for _, env := range all {
		require.NotEqual(t, envelope(2).DeliveryID, env.DeliveryID, "what failed is not delivered later")
	}
}

func TestPacker_keeps_what_it_acknowledged_when_the_broker_stops_in_the_middle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := NewPacker(w.notify, "1")
	const callers = 16
	var mu sync.Mutex
	acked := map[string]bool{}
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := 0; ; i++ {
				env := envelope(c*1_000_000 + i)
				if err := p.Publish(t.Context(), env); err != nil {
					require.True(t, errors.Is(err, ErrUnavailable) || errors.Is(err, ErrSlow), "typed: %v", err)
					return
				}
				mu.Lock()
				acked[string(env.DeliveryID)] = true
				if len(acked) == 500 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	require.NoError(t, w.server.Stop())
	wg.Wait()
	require.NoError(t, w.server.Restart())
	w.back(t, w.worker)
	all, _ := w.stored(t)
	for _, env := range all {
		delete(acked, string(env.DeliveryID))
	}
	require.Empty(t, acked)
}

func TestPacker_says_that_the_stream_is_full(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Limits.Notify = 64 << 10 })
	p := NewPacker(w.notify, "1")
	env := envelope(1)
	env.Body = make([]byte, 20<<10)
	require.NoError(t, p.Publish(t.Context(), env))
	var err error
	for range 5 {
		if err = p.Publish(t.Context(), env); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, ErrFull)
	all, _ := w.stored(t)
	require.NotEmpty(t, all)
	require.Equal(t, env.Body, all[0].Body, "the first is still there: nothing old is dropped")
}

func TestPacker_returns_when_its_caller_goes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, NewPacker(w.notify, "1").Publish(ctx, envelope(1)), ErrSlow)
	require.Error(t, NewPacker(w.notify, "a.b").Publish(t.Context(), envelope(1)), "a lane is one token")
}

func TestConnect_waits_for_a_broker_that_is_not_there_yet(t *testing.T) {
	t.Parallel()
	n := broker(t)
	require.NoError(t, n.Stop())
	b := connect(t, n, "notify")
	require.False(t, b.Connected())
	called := make(chan struct{}, 1)
	b.OnReconnect(func() { called <- struct{}{} })
	require.ErrorIs(t, NewPacker(b, "1").Publish(t.Context(), envelope(1)), ErrUnavailable)
	require.NoError(t, n.Restart())
	<-called
	require.True(t, b.Connected())
	_, err := Connect(t.Context(), Config{URL: n.URL(), Role: "notify", Password: "wrong"})
	require.ErrorContains(t, err, "Authorization")
}
