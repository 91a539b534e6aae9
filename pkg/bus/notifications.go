package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Defaults of ConsumeOptions.
const (
	defaultAckWait = 60 * time.Second
	defaultBatch   = 500 // the knee of the settlement's batch size
	defaultWorkers = 2
	defaultGrace   = 20 * time.Second
	// holdFor is how long a failing batch is retried in hand. Giving it back
	// lets a worker take it whose database is there; not at once, because a
	// hand-out counts as a sign that an envelope kills whoever touches it.
	holdFor = 5 * time.Minute

	// Packs fetched ahead. Under a backlog a batch is 500 packs of one
	// envelope or two full packs.
	prefetchPacks = 512
	prefetchBytes = 4 << 20
	// maxAckPending bounds what all workers together have in hand.
	maxAckPending = 16 * prefetchPacks

	pullExpiry    = 10 * time.Second
	pullHeartbeat = 2 * time.Second
)

// ConsumeOptions tune a consumer of notifications; zero values are defaults.
type ConsumeOptions struct {
	Subject  string        // SubjectLive (default) or SubjectReplay
	AckWait  time.Duration // 60 s; renewed every third of it while a pack is in hand
	MaxBatch int           // 500 envelopes
	Workers  int           // handlers at the same time: 2
	Grace    time.Duration // for the batches in hand after ctx ends: 20 s
}

func (o ConsumeOptions) orDefaults() ConsumeOptions {
	o.Subject = cmp.Or(o.Subject, SubjectLive)
	o.AckWait = cmp.Or(o.AckWait, defaultAckWait)
	o.MaxBatch = cmp.Or(o.MaxBatch, defaultBatch)
	o.Workers = cmp.Or(o.Workers, defaultWorkers)
	o.Grace = cmp.Or(o.Grace, defaultGrace)
	return o
}

func (o ConsumeOptions) durable() (string, error) {
	switch o.Subject {
	case SubjectLive:
		return durableLive, nil
	case SubjectReplay:
		return durableReplay, nil
	}
	return "", fmt.Errorf("no consumer for subject %q", o.Subject)
}

// ConsumeNotifications hands out single envelopes, as many as are there, up to
// MaxBatch, and never waits for more. It blocks until ctx ends.
//
// Packs are acknowledged after handle returns nil for a batch with all of
// their envelopes. After an error the same batch is handed out again, with a
// growing pause, while the broker is told that it is in hand; so Deliveries
// grows by crashes, not by a database that is away. After ctx ends, batches in
// hand are finished (their context lives Grace longer), the rest is given
// back. A pack that cannot be read arrives with its bytes: see
// [wechatpay.Arrival].
func (b *Bus) ConsumeNotifications(ctx context.Context, o ConsumeOptions, handle func(context.Context, []wechatpay.Arrival) error) error {
	o = o.orDefaults()
	durable, err := o.durable()
	if err != nil {
		return err
	}
	config := settleConsumer(durable, o.Subject, o.AckWait)
	hand := newHand()
	defer hand.release()
	stop := hand.keepAlive(o.AckWait / 3)
	defer stop()

	queue, cancel := newBatcher(ctx, o.MaxBatch)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		b.fetch(ctx, StreamNotify, config, func(msg jetstream.Msg) bool {
			return queue.put(hand.take(msg))
		}, jetstream.PullMaxMessagesWithBytesLimit(prefetchPacks, prefetchBytes))
	})
	for range o.Workers {
		wg.Go(func() { b.work(ctx, o, queue, hand, handle) })
	}
	wg.Wait()
	return context.Cause(ctx)
}

// fetch keeps one iterator open on a durable consumer and hands on what it
// gives, until ctx ends or next is false. A consumer or a stream that is gone
// is made again: nothing here ends for a broker's sake.
func (b *Bus) fetch(ctx context.Context, stream string, config jetstream.ConsumerConfig, next func(jetstream.Msg) bool, limit jetstream.PullMessagesOpt) {
	for n := 0; ctx.Err() == nil; n++ {
		got, err := b.iterate(ctx, stream, config, next, limit)
		if ctx.Err() != nil {
			return
		}
		if got {
			n = 0
		}
		b.log.Warn("consumer interrupted", "stream", stream, "consumer", config.Durable, "error", err)
		if !pause(ctx, backoff(n)) {
			return
		}
	}
}

func (b *Bus) iterate(ctx context.Context, stream string, config jetstream.ConsumerConfig, next func(jetstream.Msg) bool, limit jetstream.PullMessagesOpt) (got bool, err error) {
	consumer, err := b.js.CreateOrUpdateConsumer(ctx, stream, config)
	if err != nil {
		return false, fmt.Errorf("ensure consumer: %w", classify(err))
	}
	it, err := consumer.Messages(limit, jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return false, fmt.Errorf("open consumer: %w", classify(err))
	}
	defer it.Stop()
	for {
		msg, err := it.Next(jetstream.NextContext(ctx))
		switch {
		case errors.Is(err, jetstream.ErrNoHeartbeat) && !b.Connected():
			continue // the iterator resumes with the connection
		case err != nil:
			return got, err
		}
		got = true
		if !next(msg) {
			return got, nil
		}
	}
}

func (b *Bus) work(ctx context.Context, o ConsumeOptions, queue *batcher, hand *hand, handle func(context.Context, []wechatpay.Arrival) error) {
	for {
		batch := queue.next()
		if batch == nil {
			return
		}
		if b.settle(ctx, o, batch, handle) {
			hand.ack(batch)
		} else {
			hand.giveBack(batch)
		}
	}
}

// settle has a batch handled until it succeeds. It is false when the batch
// must go back to the broker.
func (b *Bus) settle(ctx context.Context, o ConsumeOptions, batch []*held, handle func(context.Context, []wechatpay.Arrival) error) bool {
	var arrivals []wechatpay.Arrival
	for _, pack := range batch {
		arrivals = append(arrivals, pack.arrivals...)
	}
	giveUp := time.Now().Add(holdFor)
	for n := 0; ; n++ {
		err := withGrace(ctx, o.Grace, func(ctx context.Context) error { return handle(ctx, arrivals) })
		if err == nil {
			return true
		}
		b.log.Warn("batch failed, will be tried again", "envelopes", len(arrivals), "failures", n+1, "error", err)
		if time.Now().After(giveUp) || !pause(ctx, backoff(n)) {
			return false
		}
	}
}

// withGrace runs f under a context that outlives ctx by grace, so that a
// batch in hand is finished at a stop.
func withGrace(ctx context.Context, grace time.Duration, f func(context.Context) error) error {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(own, func() { timer.Stop() })
	})
	defer stop()
	return f(own)
}
