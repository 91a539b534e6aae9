package bus

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
)

func publicKey(t testing.TB, id string) merchant.PublicKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return merchant.PublicKey{ID: id, Key: &key.PublicKey, NotBefore: at, NotAfter: at.AddDate(5, 0, 0)}
}

func (w world) watch(t testing.TB) <-chan Platform {
	t.Helper()
	updates := make(chan Platform, 100) // more than any test causes
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.notify.WatchPlatform(ctx, func(p Platform) { updates <- p }) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
	return updates
}

// until reads updates up to the one that is wanted.
func until(t testing.TB, updates <-chan Platform, want func(Platform) bool) Platform {
	t.Helper()
	deadline := time.After(2 * soon)
	for {
		select {
		case p := <-updates:
			if want(p) {
				return p
			}
		case <-deadline:
			require.Fail(t, "no such update")
		}
	}
}

func TestWatchPlatform_shows_what_the_worker_shares(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := publicKey(t, "5157F09EFDC096DE15EBE81A47057A72")
	require.NoError(t, w.worker.PutPlatformKeys(t.Context(), "1900000109", []merchant.PublicKey{key}))
	updates := w.watch(t)
	p := until(t, updates, func(p Platform) bool { return len(p.Keys) == 1 })
	require.Nil(t, p.Verdict, "no verdict is not a good verdict")
	require.Equal(t, []merchant.PublicKey{key}, p.Keys["1900000109"])

	v := w.worker.Prove(t.Context(), []string{w.server.MonitorURL()})
	require.NoError(t, w.worker.PutVerdict(t.Context(), v))
	p = until(t, updates, func(p Platform) bool { return p.Verdict != nil })
	require.Equal(t, v, *p.Verdict)

	second := publicKey(t, "6157F09EFDC096DE15EBE81A47057A72")
	require.NoError(t, w.worker.PutPlatformKeys(t.Context(), "1900000109", []merchant.PublicKey{key, second}))
	require.NoError(t, w.worker.PutPlatformKeys(t.Context(), "1900000110", nil))
	p = until(t, updates, func(p Platform) bool { return len(p.Keys) == 2 })
	require.Len(t, p.Keys["1900000109"], 2)
	require.True(t, p.Verdict.OK)
}

func TestWatchPlatform_looks_again_after_the_broker_returns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	updates := w.watch(t)
	require.NoError(t, w.worker.PutVerdict(t.Context(), Verdict{OK: true}))
	until(t, updates, func(p Platform) bool { return p.Verdict != nil && p.Verdict.OK })
	require.NoError(t, w.server.Restart())
	require.Eventually(t, func() bool {
		return w.worker.PutVerdict(t.Context(), Verdict{Problems: []string{"sync_interval"}}) == nil
	}, soon, often)
	p := until(t, updates, func(p Platform) bool { return p.Verdict != nil && !p.Verdict.OK })
	require.Equal(t, []string{"sync_interval"}, p.Verdict.Problems)
}

func TestPlatformWatch_prefers_what_is_newer_and_believes_a_look_at_all(t *testing.T) {
	t.Parallel()
	w := platformWatch{}
	require.True(t, w.replace(map[string]entry{}), "the first look is news, also when there is nothing")
	require.False(t, w.replace(map[string]entry{}))
	require.True(t, w.replace(map[string]entry{"a": {9, nil}}))
	require.True(t, w.replace(map[string]entry{"a": {1, nil}}), "a bucket that was made anew begins anew")
}
