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

const (
	subscriberAckWait    = 30 * time.Second
	subscriberAckPending = 1000

	// subscriberKey is the consumer's own note of whose it is: a name may be given
	// again, and a broker that was restored brings back the consumer of before.
	subscriberKey = "fenflow_subscriber"
)

// ErrNoEvents is a broker that has no stream of events yet; a worker makes it.
var ErrNoEvents = errors.New("there is no stream of events")

// consumerOf is what a subscriber's consumer must be: it is handed its merchant's
// events and no other, and keeps each until it is acknowledged.
func consumerOf(s pay.Subscriber) (jetstream.ConsumerConfig, error) {
	if err := errors.Join(token("subscriber", string(s.Name)), token("mchid", string(s.MchID)), token("subscriber id", s.ID)); err != nil {
		return jetstream.ConsumerConfig{}, err
	}
	c := jetstream.ConsumerConfig{
		Durable:       string(s.Name),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       subscriberAckWait,
		MaxDeliver:    -1,
		MaxAckPending: subscriberAckPending,
		Metadata:      map[string]string{subscriberKey: s.ID},
	}
	filters, err := filtersOf(s)
	if len(filters) == 1 {
		c.FilterSubject = filters[0]
	} else {
		c.FilterSubjects = filters
	}
	return c, err
}

func filtersOf(s pay.Subscriber) ([]string, error) {
	if len(s.Facts) == 0 {
		return []string{subjectEvent + string(s.MchID) + ".>"}, nil
	}
	var filters []string
	for _, f := range s.Facts {
		subject, err := eventSubject(pay.Outgoing{MchID: s.MchID, Fact: f})
		if err != nil {
			return nil, err
		}
		filters = append(filters, subject)
	}
	return filters, nil
}

// KeepSubscriber makes a subscriber's consumer where it is missing, or another's, and
// mends its settings. made says that it was made; start is asked then where it begins.
func (b *Bus) KeepSubscriber(ctx context.Context, s pay.Subscriber, start func(context.Context) (pay.ConsumerStart, error)) (state pay.ConsumerState, made bool, err error) {
	want, err := consumerOf(s)
	if err != nil {
		return state, false, fmt.Errorf("keep subscriber %s: %w", s.Name, err)
	}
	info, err := b.consumer(ctx, s.Name)
	if err == nil && info != nil && info.Config.Metadata[subscriberKey] != s.ID {
		b.log.Warn("a consumer of this name is another subscriber's and is made anew", "subscriber", s.Name, "subscriber_id", s.ID)
		if err = b.deleteConsumer(ctx, s.Name); err == nil {
			info = nil
		}
	}
	switch {
	case err != nil:
	case info == nil:
		info, err = b.makeConsumer(ctx, want, start)
		made = err == nil
	case !sameConsumer(info.Config, want):
		b.log.Warn("settings of a subscriber's consumer were mended", "subscriber", s.Name)
		info, err = b.mendConsumer(ctx, info.Config, want)
	}
	if err != nil {
		return state, false, fmt.Errorf("keep subscriber %s: %w", s.Name, classify(err))
	}
	return stateOf(info), made, nil
}

// consumer is nil where there is none.
func (b *Bus) consumer(ctx context.Context, name pay.SubscriberName) (*jetstream.ConsumerInfo, error) {
	c, err := b.js.Consumer(ctx, StreamEvent, string(name))
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, nil //nolint:nilnil // none is an answer
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, ErrNoEvents
	case err != nil:
		return nil, err
	}
	return c.CachedInfo(), nil
}

func (b *Bus) makeConsumer(ctx context.Context, want jetstream.ConsumerConfig, where func(context.Context) (pay.ConsumerStart, error)) (*jetstream.ConsumerInfo, error) {
	start, err := where(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("find where it begins: %w", err)
	case start.After > 0:
		want.DeliverPolicy, want.OptStartSeq = jetstream.DeliverByStartSequencePolicy, start.After+1
	case !start.From.IsZero():
		want.DeliverPolicy, want.OptStartTime = jetstream.DeliverByStartTimePolicy, &start.From
	default:
		want.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	c, err := b.js.CreateConsumer(ctx, StreamEvent, want)
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}

// mendConsumer leaves where it began as it was: that cannot be changed, and need not.
func (b *Bus) mendConsumer(ctx context.Context, have, want jetstream.ConsumerConfig) (*jetstream.ConsumerInfo, error) {
	want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = have.DeliverPolicy, have.OptStartSeq, have.OptStartTime
	c, err := b.js.UpdateConsumer(ctx, StreamEvent, want)
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}

func sameConsumer(have, want jetstream.ConsumerConfig) bool {
	filters := func(c jetstream.ConsumerConfig) []string {
		all := slices.Clone(c.FilterSubjects)
		if c.FilterSubject != "" {
			all = append(all, c.FilterSubject)
		}
		slices.Sort(all)
		return all
	}
	return have.AckPolicy == want.AckPolicy && have.AckWait == want.AckWait && have.MaxDeliver == want.MaxDeliver &&
		have.MaxAckPending == want.MaxAckPending && !have.HeadersOnly && have.InactiveThreshold == 0 && len(have.BackOff) == 0 &&
		slices.Equal(filters(have), filters(want))
}

func stateOf(info *jetstream.ConsumerInfo) pay.ConsumerState {
	state := pay.ConsumerState{
		SubscriberID: info.Config.Metadata[subscriberKey], Floor: info.AckFloor.Stream,
		Pending: info.NumPending, AckPending: uint64(info.NumAckPending), Redelivered: uint64(info.NumRedelivered),
	}
	if info.AckFloor.Last != nil {
		state.LastAckAt = whole(*info.AckFloor.Last)
	}
	return state
}

// DropSubscriber deletes a subscriber's consumer. One of the same name that is another
// subscriber's stays.
func (b *Bus) DropSubscriber(ctx context.Context, s pay.Subscriber) error {
	info, err := b.consumer(ctx, s.Name)
	if err == nil && info != nil && info.Config.Metadata[subscriberKey] == s.ID {
		err = b.deleteConsumer(ctx, s.Name)
	}
	if err != nil && !errors.Is(err, ErrNoEvents) { // with the stream all consumers are gone
		return fmt.Errorf("drop subscriber %s: %w", s.Name, classify(err))
	}
	return nil
}

func (b *Bus) deleteConsumer(ctx context.Context, name pay.SubscriberName) error {
	err := b.js.DeleteConsumer(ctx, StreamEvent, string(name))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return err
}

// SubscriberState tells how far the consumer of a name is, whoever's it is.
func (b *Bus) SubscriberState(ctx context.Context, name pay.SubscriberName) (pay.ConsumerState, bool, error) {
	info, err := b.consumer(ctx, name)
	if err != nil {
		return pay.ConsumerState{}, false, fmt.Errorf("look at subscriber %s: %w", name, classify(err))
	}
	if info == nil {
		return pay.ConsumerState{}, false, nil
	}
	return stateOf(info), true, nil
}

// whole is an instant of the broker's as books keep it, so that the two compare.
func whole(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
