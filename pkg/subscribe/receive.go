package subscribe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// stream is where fenflow publishes events.
const stream = "EVENT"

// minAlive bounds how often signs of life are sent for a consumer of very
// little patience.
const minAlive = 50 * time.Millisecond

// receive takes events from the broker and has each delivered, Concurrency at
// a time, until ctx ends and those in hand are finished. A consumer that is
// gone is looked up again for ever.
func (i *Inbox) receive(ctx context.Context, handle Handler) {
	hands := newHands(i.o.Concurrency)
	defer hands.wait()
	for n := 0; ctx.Err() == nil; n++ {
		got, err := i.pullUntilBroken(ctx, hands, handle)
		if ctx.Err() != nil {
			return
		}
		if got {
			n = 0
		}
		again := i.pace.away(n)
		i.report(Failure{Step: StepReceive, Err: err, Again: again})
		pause(ctx, again)
	}
}

func (i *Inbox) pullUntilBroken(ctx context.Context, hands *hands, handle Handler) (got bool, err error) {
	consumer, alive, err := i.consumer(ctx)
	if err != nil {
		return false, err
	}
	for {
		free := hands.take(ctx)
		if free == 0 {
			return got, context.Cause(ctx)
		}
		n, err := i.pull(ctx, consumer, free, func(msg jetstream.Msg) {
			hands.run(func() { i.deliver(ctx, msg, alive, handle) })
		})
		hands.giveBack(free - n)
		got = got || n > 0
		if err != nil {
			return got, err
		}
	}
}

// consumer finds what fenflow made for us, and how often to give it a sign of
// life. A consumer that would drop or hide events is refused.
func (i *Inbox) consumer(ctx context.Context) (jetstream.Consumer, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, i.pace.lookUp)
	defer cancel()
	consumer, err := i.js.Consumer(ctx, stream, i.o.Consumer)
	if err != nil {
		return nil, 0, fmt.Errorf("find consumer %s: %w", i.o.Consumer, err)
	}
	config := consumer.CachedInfo().Config
	switch {
	case config.AckPolicy != jetstream.AckExplicitPolicy:
		return nil, 0, fmt.Errorf("consumer %s has acknowledgement policy %q and would lose events: it must be explicit", i.o.Consumer, config.AckPolicy)
	case config.MaxDeliver > 0:
		return nil, 0, fmt.Errorf("consumer %s gives an event up after %d deliveries: max_deliver must be -1", i.o.Consumer, config.MaxDeliver)
	}
	alive := i.pace.alive
	if alive == 0 {
		alive = max(config.AckWait/3, minAlive)
	}
	return consumer, alive, nil
}

// pull asks for as many events as there are hands, and hands each on as it
// comes: nothing is fetched ahead, so a crash holds up no more events than
// were in work, and a second instance finds the rest.
func (i *Inbox) pull(ctx context.Context, consumer jetstream.Consumer, n int, hand func(jetstream.Msg)) (got int, _ error) {
	// At a stop, what the broker is just sending should be taken, not left to
	// time out.
	lingering, done := outlive(ctx, i.pace.linger)
	defer done()
	own, cancel := context.WithTimeout(lingering, i.pace.pull)
	defer cancel()
	i.mu.Lock()
	i.renew = cancel
	i.mu.Unlock()
	batch, err := consumer.Fetch(n, jetstream.FetchContext(own), jetstream.FetchHeartbeat(i.pace.heartbeat))
	if err != nil {
		return 0, fmt.Errorf("ask for events: %w", err)
	}
	for msg := range batch.Messages() {
		got++
		i.at(StepReceive)
		hand(msg)
	}
	if err := batch.Error(); err != nil && own.Err() == nil {
		return got, fmt.Errorf("wait for events: %w", explained(err))
	}
	return got, nil
}

func explained(err error) error {
	if errors.Is(err, jetstream.ErrNoHeartbeat) {
		return fmt.Errorf("%w (the broker is away, or the consumer is gone)", err)
	}
	return err
}
