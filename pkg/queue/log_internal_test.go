package queue

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newLogBundle() (*asynqLog, *bytes.Buffer, *time.Time) {
	var text bytes.Buffer
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	l := newAsynqLog(slog.New(slog.NewTextHandler(&text, nil)), &atomic.Bool{})
	l.now = func() time.Time { return now }
	return l, &text, &now
}

func TestAsynqLog_says_the_same_complaint_once_a_minute(t *testing.T) {
	t.Parallel()
	l, text, now := newLogBundle()
	for range 5 {
		l.Error("Dequeue error: UNKNOWN: redis eval error: OOM")
	}
	l.Warn("Could not remove task id=17 type=\"sweep.orders\"")
	l.Warn("Could not remove task id=18 type=\"sweep.orders\"")
	require.Equal(t, 1, strings.Count(text.String(), "level=ERROR"))
	require.Equal(t, 1, strings.Count(text.String(), "level=WARN"))
	*now = now.Add(time.Minute)
	l.Error("Dequeue error: UNKNOWN: redis eval error: OOM")
	require.Equal(t, 2, strings.Count(text.String(), "level=ERROR"))
	require.Contains(t, text.String(), "swallowed=4")
}

func TestAsynqLog_keeps_the_level_and_is_quiet_while_Redis_is_away(t *testing.T) {
	t.Parallel()
	l, text, _ := newLogBundle()
	l.Info("Starting processing")
	l.Fatal("this must not end the process")
	l.Error("Failed to close redis client connection: redis connection is shared so the Client can't be closed")
	l.away.Store(true)
	l.Error("Failed to write server state data: dial tcp: connection refused")
	l.away.Store(false)
	l.Warn("Lease reset failed for 17")
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	require.Len(t, lines, 3, text)
	require.Contains(t, lines[0], `level=INFO msg="asynq says" line="Starting processing"`)
	require.Contains(t, lines[1], "level=ERROR")
	require.Contains(t, lines[2], "level=WARN")
}

func TestAsynqLog_remembers_a_bounded_number_of_complaints(t *testing.T) {
	t.Parallel()
	l, _, _ := newLogBundle()
	for i := range 10 * maxShapes {
		l.Warn(strings.Repeat("x", i+1))
	}
	require.LessOrEqual(t, len(l.shapes), maxShapes+1)
}

func TestCalendar_rings_for_sweeps_as_told_and_for_upkeep_each_minute(t *testing.T) {
	t.Parallel()
	entries, err := newCalendar([]Kind{SweepOrders, Upkeep}, 3*time.Second)
	require.NoError(t, err)
	configs, err := entries.GetConfigs()
	require.NoError(t, err)
	require.Len(t, configs, 2)
	require.Equal(t, "@every 3s", configs[0].Cronspec)
	require.Equal(t, "* * * * *", configs[1].Cronspec)
	require.Equal(t, "upkeep", configs[1].Task.Type())
}
