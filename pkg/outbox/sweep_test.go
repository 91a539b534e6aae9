package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/outbox"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
)

// Nobody hands over the events of a reconciler's commits.
func TestRelay_an_event_without_fast_path_is_out_within_a_second_or_so(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.store)
	for i := range 5 {
		b.order(i)
		b.allPublished(i + 1)
	}
	var median float64
	require.NoError(t, b.db.QueryRowContext(t.Context(), `SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM published_at - created_at)) FROM published`).Scan(&median))
	require.Less(t, median, 1.2, "seconds")
}

// ages is the store, with the ages that it was asked for.
type ages struct {
	*store.Store
	mu    sync.Mutex
	asked []time.Duration
}

func (a *ages) ClaimOutbox(ctx context.Context, olderThan time.Duration, limit int) ([]pay.Outgoing, error) {
	a.mu.Lock()
	a.asked = append(a.asked, olderThan)
	a.mu.Unlock()
	return a.Store.ClaimOutbox(ctx, olderThan, limit)
}

func (a *ages) last() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.asked) == 0 {
		return 0
	}
	return a.asked[len(a.asked)-1]
}

// slow holds the fast path up until it is let go.
type slow struct {
	outbox.Stream
	began, let chan struct{}
}

func (s slow) PublishEvents(ctx context.Context, events []pay.Outgoing) ([]pay.Publication, error) {
	select {
	case s.began <- struct{}{}:
		<-s.let
	default: // not the first
	}
	published, err := s.Stream.PublishEvents(ctx, events)
	if err != nil {
		return published, fmt.Errorf("publish: %w", err)
	}
	return published, nil
}

func TestRelay_the_sweep_leaves_young_events_to_a_fast_path_that_is_behind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows := &ages{Store: b.store}
	stream := slow{Stream: b.bus, began: make(chan struct{}, 1), let: make(chan struct{})}
	relay := outbox.New(rows, stream, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	require.Eventually(t, func() bool { return rows.last() == 250*time.Millisecond }, soon, 5*time.Millisecond)
	relay.Hand(b.order(0))
	<-stream.began
	require.Eventually(t, func() bool { return rows.last() == 2*time.Second }, soon, 5*time.Millisecond)
	close(stream.let)
	b.allPublished(1)
	require.Eventually(t, func() bool { return rows.last() == 250*time.Millisecond }, soon, 5*time.Millisecond)
}

// What a sweep finds published already was in another worker's fast path.
func TestRelay_the_sweep_slows_down_when_it_meets_another_fast_path(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := b.order(0)
	_, err := b.bus.PublishEvents(t.Context(), events) // another worker, which has not marked it yet
	require.NoError(t, err)
	rows := &ages{Store: b.store}
	b.run(rows)
	b.allPublished(1)
	require.Eventually(t, func() bool { return rows.last() == 2*time.Second }, soon, 5*time.Millisecond)
}
