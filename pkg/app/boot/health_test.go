package boot_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/boot"
)

func TestHealth_waits_for_no_check_longer_than_its_time(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := boot.NewHealth()
		h.Add("deaf", func(context.Context) error { <-release; return nil })
		h.Add("slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		h.Add("broken", func(context.Context) error { panic("no map") })
		began := time.Now()
		r := h.Ready(t.Context())
		require.Equal(t, 2*time.Second, time.Since(began), "the checks run at the same time")
		require.False(t, r.Ready)
		require.Equal(t, boot.CheckResult{Name: "deaf", Detail: "no answer within 2s"}, r.Checks[0])
		require.False(t, r.Checks[1].OK)
		require.Contains(t, r.Checks[2].Detail, "no map")
		close(release)
		synctest.Wait()
	})
}
