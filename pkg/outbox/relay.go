package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Rows are the outbox and published tables.
type Rows interface {
	ClaimOutbox(ctx context.Context, olderThan time.Duration, limit int) ([]pay.Outgoing, error)
	MarkPublished(ctx context.Context, receipts []pay.Publication) error
}

// Stream is the EVENT stream.
type Stream interface {
	PublishEvents(ctx context.Context, events []pay.Outgoing) ([]pay.Publication, error)
}

// Limits of one relay.
const (
	// maxBatch is the most events in one publish: JetStream's knee for atomic
	// batches, and half of what it admits (1,000).
	maxBatch = 500
	// handed holds the events of the last commits. What does not fit waits
	// for the sweep, so that settling never waits for the broker.
	handedCommits = 128
	// publishTimeout bounds one publish with its receipt.
	publishTimeout = 10 * time.Second
	// maxUnmarked bounds the receipts kept in memory. While the database is away
	// nothing new is committed, so a few batches are the rule.
	maxUnmarked = 50_000
	// drainTimeout bounds what a stopping relay still does with events in hand.
	drainTimeout = 3 * time.Second
)

// Relay carries events from the outbox to the stream.
type Relay struct {
	rows    Rows
	stream  Stream
	log     *slog.Logger
	metrics metrics
	handed  chan []pay.Outgoing

	mu       sync.Mutex
	unmarked map[string]pay.Publication // receipts that could not be written down yet, by event id
	// Of the sweep: it takes younger rows while no fast path is behind.
	publishing int
	busyUntil  time.Time
}

// New makes a relay. Run must be called for it to do anything.
func New(rows Rows, stream Stream, log *slog.Logger, registry prometheus.Registerer) *Relay {
	return &Relay{
		rows: rows, stream: stream, log: log, metrics: newMetrics(registry),
		handed: make(chan []pay.Outgoing, handedCommits), unmarked: map[string]pay.Publication{},
	}
}

// Hand gives the relay the events of a commit just made. It never waits: the
// rows are in the outbox, and the sweep takes what finds no room here.
func (r *Relay) Hand(events []pay.Outgoing) {
	if len(events) == 0 {
		return
	}
	select {
	case r.handed <- events:
	default:
		r.metrics.dropped.Add(float64(len(events)))
	}
}

// Run relays until the context ends, then publishes what it still holds.
func (r *Relay) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { r.relayHanded(ctx); return nil })
	group.Go(func() error { r.sweepForever(ctx); return nil })
	return group.Wait()
}

func (r *Relay) relayHanded(ctx context.Context) {
	// A stop lets the publish in hand finish: publishTimeout bounds it.
	working := context.WithoutCancel(ctx)
	for {
		select {
		case first := <-r.handed:
			r.relayFast(working, r.withWhatIsThere(first))
		case <-ctx.Done():
			r.drain(working)
			return
		}
	}
}

// drain publishes what was handed over before the end. What it cannot is the
// next sweep's, here or in another worker.
func (r *Relay) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case first := <-r.handed:
			r.relayFast(ctx, r.withWhatIsThere(first))
		default:
			return
		}
	}
}

// withWhatIsThere adds what was handed over meanwhile, and never waits for more.
func (r *Relay) withWhatIsThere(batch []pay.Outgoing) []pay.Outgoing {
	batch = slices.Clip(batch)
	for len(batch) < maxBatch {
		select {
		case more := <-r.handed:
			batch = append(batch, more...)
		default:
			return batch
		}
	}
	return batch
}

func (r *Relay) relayFast(ctx context.Context, batch []pay.Outgoing) {
	r.busy(1)
	defer r.busy(-1)
	for part := range slices.Chunk(batch, maxBatch) {
		if err := r.relay(ctx, part, pathFast); err != nil {
			r.log.WarnContext(ctx, "events wait for the sweep", "events", len(part), "error", err)
		}
	}
}

// busy counts the publishes of the fast path that are under way.
func (r *Relay) busy(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.publishing += n
}

// relay publishes one batch and marks what has a receipt. What has one from
// before is only marked: the database may be away for longer than the broker
// remembers event ids.
func (r *Relay) relay(ctx context.Context, batch []pay.Outgoing, path string) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	receipts, unsent := r.recall(batch)
	published, err := r.stream.PublishEvents(ctx, unsent)
	r.metrics.count(published, path)
	if path == pathSweep {
		r.heed(published, time.Now())
	}
	if receipts = append(receipts, published...); len(receipts) > 0 {
		if markErr := r.rows.MarkPublished(ctx, receipts); markErr != nil {
			r.remember(receipts)
			return fmt.Errorf("mark %d events published: %w", len(receipts), markErr)
		}
		r.forget(receipts)
	}
	if err != nil {
		return fmt.Errorf("publish %d events: %w", len(unsent), err)
	}
	return nil
}
