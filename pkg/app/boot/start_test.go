package boot_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/problem"
)

func TestStart_insists_with_growing_pauses_and_tells_once(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			start boot.Start
			said  bytes.Buffer
			tries []time.Time
		)
		require.EqualError(t, start.Check(t.Context()), "starting")
		err := start.Insist(t.Context(), slog.New(slog.NewTextHandler(&said, nil)), "open it", func(error) bool { return true }, func() error {
			tries = append(tries, time.Now())
			if len(tries) > 1 {
				require.EqualError(t, start.Check(t.Context()), "waiting: open it: away")
			}
			if len(tries) == 8 {
				return nil
			}
			return errors.New("away")
		})
		require.NoError(t, err)
		require.Equal(t, 200*time.Millisecond, tries[1].Sub(tries[0]))
		require.Equal(t, 5*time.Second, tries[7].Sub(tries[6]), "and no longer than that")
		require.Equal(t, 1, strings.Count(said.String(), "waiting"))
		start.Done()
		require.NoError(t, start.Check(t.Context()))
	})
}

func TestStart_gives_up_what_waiting_cannot_mend(t *testing.T) {
	t.Parallel()
	var start boot.Start
	log := slog.New(slog.DiscardHandler)
	refused := errors.New("password refused")
	require.ErrorIs(t, start.Insist(t.Context(), log, "open it", func(error) bool { return false }, func() error { return refused }), refused)
	pending := problem.New(problem.MigrationsPending, "2 are pending")
	require.ErrorIs(t, start.Insist(t.Context(), log, "open it", func(error) bool { return true }, func() error { return pending }), pending)
	ctx, stop := context.WithCancel(t.Context())
	require.ErrorIs(t, start.Insist(ctx, log, "open it", func(error) bool { return true }, func() error { stop(); return refused }), context.Canceled)
}
