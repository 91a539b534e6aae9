package bus

import (
	"context"
	"sync"
)

// maxWaitingBytes bounds what is fetched ahead of the handlers.
const maxWaitingBytes = 16 << 20

// batcher holds fetched packs for the workers, who take what is there. It
// fills up while they are busy, and then the fetcher waits.
type batcher struct {
	limit int // envelopes in a batch

	mu        sync.Mutex
	changed   sync.Cond
	ctx       context.Context //nolint:containedctx // ends the waiting of both sides
	packs     []*held
	envelopes int
	bytes     int
}

func newBatcher(ctx context.Context, limit int) (q *batcher, stop func() bool) {
	q = &batcher{limit: limit, ctx: ctx}
	q.changed.L = &q.mu
	return q, context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.changed.Broadcast()
	})
}

// put waits for room: one batch more than is being taken. It is false once
// ctx has ended.
func (q *batcher) put(pack *held) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.ctx.Err() == nil && (q.envelopes >= 2*q.limit || q.bytes >= maxWaitingBytes) {
		q.changed.Wait()
	}
	if q.ctx.Err() != nil {
		return false // the pack is given back by the hand
	}
	q.add(pack, 1)
	q.packs = append(q.packs, pack)
	q.changed.Broadcast()
	return true
}

// next waits for one pack and takes what else is there: whole packs, up to
// limit envelopes, at least one pack. It is nil once ctx has ended.
func (q *batcher) next() []*held {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.packs) == 0 && q.ctx.Err() == nil {
		q.changed.Wait()
	}
	if q.ctx.Err() != nil {
		return nil
	}
	size, n := 0, 0
	for n < len(q.packs) && (n == 0 || size+len(q.packs[n].arrivals) <= q.limit) {
		size += len(q.packs[n].arrivals)
		q.add(q.packs[n], -1)
		n++
	}
	batch := append([]*held(nil), q.packs[:n]...)
	clear(q.packs[:n])
	q.packs = q.packs[n:]
	q.changed.Broadcast()
	return batch
}

func (q *batcher) add(pack *held, sign int) {
	q.envelopes += sign * len(pack.arrivals)
	q.bytes += sign * len(pack.msg.Data())
}
