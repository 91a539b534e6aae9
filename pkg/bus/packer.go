package bus

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// maxQueuedBytes bounds what waits behind a slow publish. A pack takes about a
// millisecond, so this is seconds of traffic, and callers give up after two.
const maxQueuedBytes = 64 << 20

// Packer publishes envelopes to one lane, many to a message.
//
// While one publish is in flight, what arrives becomes the next pack. There is
// no timer: an envelope that finds the lane idle leaves at once and alone.
type Packer struct {
	bus  *Bus
	lane string

	mu      sync.Mutex
	waiting []*parcel
	queued  int // bytes in waiting
	busy    bool
}

// parcel is one caller's envelope with the place for its answer.
type parcel struct {
	ctx    context.Context //nolint:containedctx // lets a pack leave out callers that have gone
	record []byte
	answer chan error // room for one, so that nobody waits for a caller that left
}

// NewPacker makes a packer for a lane, such as "1". One lane per process is
// right for a single broker, two to four for a replicated one.
func NewPacker(b *Bus, lane string) *Packer {
	return &Packer{bus: b, lane: lane}
}

// Publish returns nil after the PubAck of the pack that holds env.
//
// When ctx ends first it returns at once with ErrSlow, and env may still be
// stored: the caller answers 5xx, the sender repeats, and the repeat is one
// more delivery of the same fact.
func (p *Packer) Publish(ctx context.Context, env wechatpay.Envelope) error {
	if err := token("lane", p.lane); err != nil {
		return fmt.Errorf("publish envelope: %w", err)
	}
	record, err := encodeEnvelope(env)
	if err != nil {
		return err
	}
	one := &parcel{ctx: ctx, record: record, answer: make(chan error, 1)}
	if err := p.enqueue(one); err != nil {
		return err
	}
	select {
	case err := <-one.answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("publish envelope: %w: %w", ErrSlow, context.Cause(ctx))
	}
}

func (p *Packer) enqueue(one *parcel) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queued+len(one.record) > maxQueuedBytes {
		return fmt.Errorf("publish envelope: %d bytes wait already: %w", p.queued, ErrSlow)
	}
	p.waiting = append(p.waiting, one)
	p.queued += len(one.record)
	if !p.busy {
		p.busy = true
		go p.run()
	}
	return nil
}

// run publishes pack after pack until nothing waits.
func (p *Packer) run() {
	for {
		pack := p.next()
		if pack == nil {
			return
		}
		err := p.send(pack)
		for _, one := range pack {
			one.answer <- err
		}
	}
}

// next takes what waits, as far as it fits in one pack and is still wanted.
// An envelope that is too big for the room left starts the next pack.
func (p *Packer) next() []*parcel {
	p.mu.Lock()
	defer p.mu.Unlock()
	var pack []*parcel
	size, taken := packHead, 0
	for _, one := range p.waiting {
		if len(pack) == maxPackEnvelopes || size+len(one.record) > maxPackBytes {
			break
		}
		taken++
		p.queued -= len(one.record)
		if one.ctx.Err() != nil {
			continue // its caller has answered already
		}
		pack = append(pack, one)
		size += len(one.record)
	}
	clear(p.waiting[:taken])
	p.waiting = p.waiting[taken:]
	if len(pack) == 0 {
		p.waiting, p.busy = nil, false
	}
	return pack
}

func (p *Packer) send(pack []*parcel) error {
	records := make([][]byte, len(pack))
	for i, one := range pack {
		records[i] = one.record
	}
	// Not one caller's context: the pack belongs to all of them. The bus
	// bounds it by its publish time-out.
	msg := &nats.Msg{Subject: subjectLive + p.lane, Data: encodePack(records)}
	if err := p.bus.publish(context.Background(), msg, StreamNotify); err != nil {
		return fmt.Errorf("publish pack of %d: %w", len(pack), err)
	}
	return nil
}
