package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// held is one pack that we have taken and not yet acknowledged.
type held struct {
	msg      jetstream.Msg
	arrivals []wechatpay.Arrival
}

// hand keeps all packs that are taken, so that the broker can be told, every
// third of AckWait, that they are being worked on.
type hand struct {
	mu   sync.Mutex
	held map[*held]struct{}
}

func newHand() *hand { return &hand{held: map[*held]struct{}{}} }

func (h *hand) take(msg jetstream.Msg) *held {
	one := &held{msg: msg, arrivals: arrivalsOf(msg)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[one] = struct{}{}
	return one
}

func (h *hand) drop(batch []*held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range batch {
		delete(h.held, one)
	}
}

// ack and giveBack ignore errors: an acknowledgement that is lost only brings
// the pack back, and settling it again changes nothing.
func (h *hand) ack(batch []*held) {
	h.drop(batch)
	for _, one := range batch {
		_ = one.msg.Ack()
	}
}

func (h *hand) giveBack(batch []*held) {
	h.drop(batch)
	for _, one := range batch {
		_ = one.msg.Nak()
	}
}

// release gives back all that is still held.
func (h *hand) release() {
	h.mu.Lock()
	var rest []*held
	for one := range h.held {
		rest = append(rest, one)
	}
	h.mu.Unlock()
	h.giveBack(rest)
}

func (h *hand) keepAlive(every time.Duration) (stop func()) {
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				h.progress()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

func (h *hand) progress() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for one := range h.held {
		_ = one.msg.InProgress()
	}
}

// arrivalsOf reads a pack. What cannot be read arrives all the same, marked,
// so that it becomes a letter instead of being lost or in the way.
func arrivalsOf(msg jetstream.Msg) []wechatpay.Arrival {
	at, deliveries, position := place(msg)
	return readPack(msg.Data(), at, deliveries, position)
}

func readPack(data []byte, at time.Time, deliveries int, position pay.Position) []wechatpay.Arrival {
	parts, err := decodePack(data)
	if err != nil {
		parts = []unpacked{{raw: data, err: err}}
	}
	arrivals := make([]wechatpay.Arrival, len(parts))
	for i, part := range parts {
		position.Index = i
		arrivals[i] = wechatpay.Arrival{Envelope: part.envelope, Position: position, Deliveries: deliveries}
		if part.err == nil {
			continue
		}
		arrivals[i].Unreadable = part.err.Error()
		arrivals[i].Envelope = wechatpay.Envelope{
			DeliveryID: derivedID(position, at),
			ReceivedAt: at,
			Body:       slices.Clone(part.raw),
		}
	}
	return arrivals
}

func place(msg jetstream.Msg) (at time.Time, deliveries int, position pay.Position) {
	meta, err := msg.Metadata()
	if err != nil { // no JetStream message; cannot come from a consumer
		return time.Time{}, 1, pay.Position{}
	}
	return meta.Timestamp.UTC(), int(meta.NumDelivered),
		pay.Position{Stream: meta.Stream, Sequence: meta.Sequence.Stream}
}

// derivedID is a UUIDv7 made of when and where the broker stored a message:
// the same for each redelivery.
func derivedID(p pay.Position, at time.Time) pay.DeliveryID {
	id := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d/%d", p.Stream, p.Sequence, p.Index, at.UnixNano()))
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	s := hex.EncodeToString(id[:16])
	return pay.DeliveryID(s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:32])
}
