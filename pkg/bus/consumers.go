package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fenflow/fenflow/pkg/pay"
)

func settleConsumer(durable, subject string, ackWait time.Duration) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       durable,
		FilterSubject: subject,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxDeliver:    -1, // with a limit the broker hides a message for ever
		MaxAckPending: maxAckPending,
	}
}

func commandConsumer(mchid pay.MchID, o CommandOptions) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       "command-" + string(mchid),
		FilterSubject: subjectCommand + "*.*." + string(mchid),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       o.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: o.PerMerchant,
	}
}

// ConsumerState is one durable consumer of the worker's, against what it must be.
type ConsumerState struct {
	Stream, Name string
	Missing      bool
	Drifts       []string  // settings that are not what they must be
	Pending      uint64    // messages that nobody has acknowledged, those in hand included
	OldestAt     time.Time // when the oldest of them was stored; zero: there is none
}

// Consumer names what a worker consumes from.
type Consumer struct {
	stream string
	config jetstream.ConsumerConfig
}

// Name is the durable's.
func (c Consumer) Name() string { return c.config.Durable }

// WorkerConsumers lists the consumers that a worker makes for these merchants.
func WorkerConsumers(ackWait time.Duration, mchids []pay.MchID) []Consumer {
	all := []Consumer{
		{StreamNotify, settleConsumer(durableLive, SubjectLive, ackWait)},
		{StreamNotify, settleConsumer(durableReplay, SubjectReplay, ackWait)},
	}
	for _, id := range mchids {
		all = append(all, Consumer{StreamCommand, commandConsumer(id, CommandOptions{AckWait: ackWait, PerMerchant: defaultPerMerchant})})
	}
	return all
}

// ConsumerState looks at one consumer. Role worker may.
func (b *Bus) ConsumerState(ctx context.Context, c Consumer) (ConsumerState, error) {
	state := ConsumerState{Stream: c.stream, Name: c.config.Durable}
	consumer, err := b.js.Consumer(ctx, c.stream, c.config.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		state.Missing = true
		return state, nil
	}
	if err != nil {
		return state, fmt.Errorf("look at consumer %s: %w", c.config.Durable, classify(err))
	}
	info := consumer.CachedInfo()
	state.Drifts = consumerDrifts(c.config, info.Config)
	state.Pending = info.NumPending + uint64(info.NumAckPending)
	if state.Pending == 0 {
		return state, nil
	}
	stream, err := b.js.Stream(ctx, c.stream)
	if err != nil {
		return state, fmt.Errorf("look at stream %s: %w", c.stream, classify(err))
	}
	msg, err := stream.GetMsg(ctx, info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(c.config.FilterSubject))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound): // acknowledged meanwhile
	case err != nil:
		return state, fmt.Errorf("read the oldest message of %s: %w", c.config.Durable, classify(err))
	default:
		state.OldestAt = msg.Time.UTC()
	}
	return state, nil
}

func consumerDrifts(want, have jetstream.ConsumerConfig) []string {
	var drifts []string
	check := func(setting string, h, w any) {
		if h != w {
			drifts = append(drifts, fmt.Sprintf("%s is %v, must be %v", setting, h, w))
		}
	}
	filters := have.FilterSubjects
	if have.FilterSubject != "" {
		filters = append(slices.Clone(filters), have.FilterSubject)
	}
	if !slices.Equal(filters, []string{want.FilterSubject}) {
		check("filter_subject", fmt.Sprint(filters), want.FilterSubject)
	}
	check("ack_policy", have.AckPolicy, want.AckPolicy)
	check("ack_wait", have.AckWait, want.AckWait)
	check("max_deliver", have.MaxDeliver, want.MaxDeliver)
	check("max_ack_pending", have.MaxAckPending, want.MaxAckPending)
	check("deliver_policy", have.DeliverPolicy, want.DeliverPolicy)
	check("paused", have.PauseUntil != nil && have.PauseUntil.After(time.Now()), false)
	return drifts
}
