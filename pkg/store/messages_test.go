package store_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestMessageSeen_knows_what_was_remembered_of_this_app_alone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	seen := func(appid, key string) bool {
		t.Helper()
		is, err := b.MessageSeen(t.Context(), pay.AppID("wx"+appid), key)
		require.NoError(t, err)
		return is
	}
	require.False(t, seen("1", "k"))
	var twins sync.WaitGroup
	for range 10 {
		twins.Go(func() {
			if err := b.RememberMessage(t.Context(), "wx1", "k", noon); err != nil {
				t.Errorf("remember: %v", err)
			}
		})
	}
	twins.Wait()
	require.True(t, seen("1", "k"))
	require.False(t, seen("1", "other"))
	require.False(t, seen("2", "k"))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM messages_seen`))
}

func TestMessagesSeen_takes_no_key_that_is_none(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for key, rule := range map[string]string{"": "messages_seen_key_is_set", strings.Repeat("x", 513): "messages_seen_key_fits_its_index"} {
		require.Equal(t, rule, refusedBy(t, b.RememberMessage(t.Context(), "wx1", key, noon)))
	}
	require.Equal(t, "messages_seen_appid_is_set", refusedBy(t, b.RememberMessage(t.Context(), "", "k", noon)))
}

func TestForgetMessages_drops_what_is_older_than_a_week_in_bites(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for key, age := range map[string]time.Duration{"new": time.Hour, "edge": 7*24*time.Hour - time.Second, "old": 7*24*time.Hour + time.Second, "older": 30 * 24 * time.Hour} {
		require.NoError(t, b.RememberMessage(t.Context(), "wx1", key, noon.Add(-age)))
	}
	for _, want := range []int64{1, 1, 0} {
		dropped, err := b.ForgetMessages(t.Context(), noon, 1)
		require.NoError(t, err)
		require.Equal(t, want, dropped)
	}
	require.Equal(t, 2, b.count(`SELECT count(*) FROM messages_seen WHERE dedup_key IN ('new', 'edge')`))
}
