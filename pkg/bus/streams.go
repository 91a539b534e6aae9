package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Limits are the bytes each stream may hold. The broker reserves them against
// its max_file_store.
type Limits struct {
	Notify, Command, Event, Rejected, Message int64
}

// Defaults of Limits: NOTIFY holds about two million notifications of 1 KB.
const (
	defaultNotifyBytes   = 2 << 30
	defaultEventBytes    = 2 << 30
	defaultCommandBytes  = 512 << 20
	defaultRejectedBytes = 64 << 20
	defaultMessageBytes  = 512 << 20 // a quarter of a million messages of 2 KB
	keysBytes            = 16 << 20
)

func (l Limits) orDefaults() Limits {
	return Limits{
		Notify:   cmp.Or(l.Notify, defaultNotifyBytes),
		Command:  cmp.Or(l.Command, defaultCommandBytes),
		Event:    cmp.Or(l.Event, defaultEventBytes),
		Rejected: cmp.Or(l.Rejected, defaultRejectedBytes),
		Message:  cmp.Or(l.Message, defaultMessageBytes),
	}
}

const (
	eventAge   = 90 * 24 * time.Hour
	messageAge = 7 * 24 * time.Hour
	// eventDuplicates covers the relay's repeats after a crash between
	// publish and mark. Subscribers act on event ids, not on this window.
	eventDuplicates = 5 * time.Minute
	duplicates      = 2 * time.Minute // the server's own default
)

// streamConfigs is what the streams must be.
//
// Limits retention throughout: with work queues an acknowledgement costs an
// fsync under sync_interval "always" (5.7 k/s instead of 204 k/s measured),
// and "discard old" would silently drop what nobody has settled.
func (b *Bus) streamConfigs() []jetstream.StreamConfig {
	l := b.config.Limits
	notify := b.stream(StreamNotify, l.Notify, "pay.notify.>")
	notify.MaxMsgSize = maxPackBytes + headerRoom
	command := b.stream(StreamCommand, l.Command, "pay.command.>")
	event := b.stream(StreamEvent, l.Event, "pay.event.>")
	event.MaxAge = eventAge
	event.Duplicates = eventDuplicates
	event.AllowAtomicPublish = true
	event.DenyPurge = true
	rejected := b.stream(StreamRejected, l.Rejected, "pay.rejected.>")
	rejected.Discard = jetstream.DiscardOld
	keys := b.stream(streamKeys, keysBytes, keyPrefix+">")
	keys.MaxMsgsPerSubject = 1
	keys.AllowDirect = true
	keys.AllowRollup = true // a key-value bucket to other tools, too
	keys.RePublish = &jetstream.RePublish{Source: keyPrefix + ">", Destination: keysChanged + ">"}
	message := b.stream(StreamMessage, l.Message, "pay.message.>")
	message.MaxAge = messageAge
	message.DenyPurge = true
	return []jetstream.StreamConfig{notify, command, event, rejected, keys, message}
}

func (b *Bus) stream(name string, maxBytes int64, subject string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              name,
		Subjects:          []string{subject},
		Storage:           jetstream.FileStorage,
		PersistMode:       jetstream.DefaultPersistMode, // "async" overrides sync_interval "always" silently
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardNew,
		Replicas:          b.config.Replicas,
		MaxBytes:          maxBytes,
		MaxMsgs:           -1,
		MaxMsgsPerSubject: -1,
		MaxConsumers:      -1,
		MaxMsgSize:        -1,
		Duplicates:        duplicates,
		DenyDelete:        true,
	}
}

// EnsureStreams makes the streams that are missing and mends the settings that
// may be changed without losing a message. What it cannot mend is for Prove to
// report. The worker calls it.
func (b *Bus) EnsureStreams(ctx context.Context) error {
	for _, want := range b.streamConfigs() {
		if err := b.ensureStream(ctx, want); err != nil {
			return fmt.Errorf("ensure stream %s: %w", want.Name, classify(err))
		}
	}
	if err := b.EnsureSubscriber(ctx, SubscriberConsumer, "pay.event.>"); err != nil {
		return err
	}
	return b.ensureReader(ctx, StreamMessage, MessageConsumer, "pay.message.>")
}

func (b *Bus) ensureStream(ctx context.Context, want jetstream.StreamConfig) error {
	stream, err := b.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = b.js.CreateStream(ctx, want)
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		stream, err = b.js.Stream(ctx, want.Name) // another worker was faster
	}
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	mended, drifts := mend(want, info)
	changed := false
	for _, d := range drifts {
		if d.safe {
			changed = true
			b.log.Info("stream setting mended", "stream", want.Name, "setting", d.Setting, "was", d.Have, "is", d.Want)
		}
	}
	if !changed {
		return nil
	}
	_, err = b.js.UpdateStream(ctx, mended)
	return err
}

// EnsureSubscriber makes a durable pull consumer on EVENT for a business
// system, which may fetch and acknowledge but not make one itself.
func (b *Bus) EnsureSubscriber(ctx context.Context, name, filter string) error {
	return b.ensureReader(ctx, StreamEvent, name, filter)
}

func (b *Bus) ensureReader(ctx context.Context, stream, name, filter string) error {
	if err := token("subscriber", name); err != nil {
		return err
	}
	_, err := b.js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: filter,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       subscriberAckWait,
		MaxDeliver:    -1,
		MaxAckPending: subscriberAckPending,
	})
	if err != nil {
		return fmt.Errorf("ensure subscriber %s: %w", name, classify(err))
	}
	return nil
}

const (
	// headerRoom is for the message headers of a pack: trace, expected stream,
	// and the client information that the broker adds.
	headerRoom = 4 << 10
)
