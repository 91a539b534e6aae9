package simulator

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// How long a notice waits for what a fault wants to see first, unless delay_ms says.
const (
	noticeDelay  = 10 * time.Second
	reorderDelay = 30 * time.Second
)

// spoiledBy pairs the faults that spoil an attempt with how they do it.
type spoiledBy struct {
	kind    FaultKind
	forgery Forgery
}

// attemptFaults lists what can be wrong with an attempt of a protocol. v2 has
// neither serials nor timestamps, and its probe is unknown.
func attemptFaults(p Protocol) []spoiledBy {
	if p == ProtocolV2 {
		return []spoiledBy{{FaultNoticeTampered, ForgedTamperedBody}}
	}
	return []spoiledBy{
		{FaultNoticeSigntest, ForgedSigntest},
		{FaultNoticeTampered, ForgedTamperedBody},
		{FaultNoticeWrongSerial, ForgedUnknownSerial},
		{FaultNoticeClockBehind, ForgedClockBehind},
		{FaultNoticeClockAhead, ForgedClockAhead},
	}
}

// errLost is why an attempt that a fault took away has no answer.
var errLost = errors.New("lost on its way, by a fault")

// mishap decides what is wrong with one attempt of a genuine notice: it is lost, or
// it is spoilt and goes out as a forgery of itself.
func (p *postOffice) mishap(n *Notice, a *Attempt) error {
	if !p.faults.armed.Load() || a.Kind == Forged {
		return nil
	}
	for _, kind := range []FaultKind{FaultPlatformDown, FaultNoticeDrop} {
		if _, fires := p.faults.fires(kind, "", n.OutTradeNo); fires {
			a.Fault, a.SentAt = kind, p.now().UTC()
			return errLost
		}
	}
	if a.Kind != Genuine {
		return nil
	}
	for _, spoiled := range attemptFaults(n.Protocol) {
		if n.Protocol == ProtocolV2 && n.OutRefundNo != "" {
			break // nothing in it is signed
		}
		if _, fires := p.faults.fires(spoiled.kind, "", n.OutTradeNo); fires {
			n.Kind, n.Forgery = Forged, spoiled.forgery
			a.Kind, a.Forgery, a.Fault = Forged, spoiled.forgery, spoiled.kind
			return nil
		}
	}
	return nil
}

// loses says whether a fault takes a whole notice away. It is on record as one attempt
// that was lost, and is given up: the retry schedule would bring it in the end.
func (p *postOffice) loses(n noticeState) bool {
	if n.Kind != Genuine || n.tries > 0 || !p.faults.armed.Load() {
		return false
	}
	if _, fires := p.faults.fires(FaultNoticeLost, "", n.OutTradeNo); !fires {
		return false
	}
	a := n.attempt(Genuine)
	a.Fault, a.SentAt, a.Error = FaultNoticeLost, p.now().UTC(), errLost.Error()
	p.enter(a)
	p.queue.note(n)
	p.abandon(n.Notice)
	return true
}

// tamperV2 changes the total of a v2 payment notice, and so breaks its sign.
func tamperV2(body []byte) []byte {
	const total = "<total_fee><![CDATA["
	return bytes.Replace(body, []byte(total), []byte(total+"1"), 1)
}

// queue remembers which notices were sent, for those that wait for others.
type queue struct {
	mu      sync.Mutex
	started uint64          // numbers notices as they come
	sent    uint64          // the highest number of a notice that was sent
	held    bool            // one notice is held back to change the order
	refunds map[string]bool // orders of which a refund notice was sent
	moved   chan struct{}   // closed and replaced at each first attempt
}

func newQueue() *queue { return &queue{refunds: map[string]bool{}, moved: make(chan struct{})} }

// number gives a notice its place in the order of coming.
func (q *queue) number() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.started++
	return q.started
}

// note enters a first attempt.
func (q *queue) note(n noticeState) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sent = max(q.sent, n.number)
	if n.OutRefundNo != "" {
		q.refunds[n.OutTradeNo] = true
	}
	close(q.moved)
	q.moved = make(chan struct{})
}

// look answers what happened, and where to wait for more.
func (q *queue) look(outTradeNo string) (sent uint64, refunded bool, moved <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sent, q.refunds[outTradeNo], q.moved
}

// take asks for the one place of a notice out of order, if it is free: two that
// waited for each other would both be late and in order.
func (q *queue) take(ask func() bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held {
		return false
	}
	q.held = ask()
	return q.held
}

func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = false
}

// hold lets a genuine notice wait before its first attempt, if faults say so. It
// returns false if the office closed meanwhile.
func (p *postOffice) hold(n noticeState) bool {
	if n.Kind != Genuine || n.tries > 0 || !p.faults.armed.Load() {
		return true
	}
	if f, fires := p.faults.fires(FaultNoticeDelay, "", n.OutTradeNo); fires {
		p.holdUntil(f, f.delayOr(noticeDelay), func() (bool, <-chan struct{}) { return false, nil })
	}
	if n.OutRefundNo == "" {
		if f, fires := p.faults.fires(FaultRefundNoticeFirst, "", n.OutTradeNo); fires {
			p.holdUntil(f, f.delay(), func() (bool, <-chan struct{}) {
				_, refunded, moved := p.queue.look(n.OutTradeNo)
				return refunded, moved
			})
		}
	}
	p.holdOutOfOrder(n)
	return p.ctx.Err() == nil
}

func (p *postOffice) holdOutOfOrder(n noticeState) {
	var f Fault
	if !p.queue.take(func() (fires bool) {
		f, fires = p.faults.fires(FaultNoticeReorder, "", n.OutTradeNo)
		return fires
	}) {
		return
	}
	defer p.queue.release()
	p.holdUntil(f, f.delayOr(reorderDelay), func() (bool, <-chan struct{}) {
		sent, _, moved := p.queue.look(n.OutTradeNo)
		return sent > n.number, moved
	})
}

// holdUntil waits until done, for at most d if that is not 0, or until the fault is
// cleared or the office closes.
func (p *postOffice) holdUntil(f Fault, d time.Duration, done func() (bool, <-chan struct{})) {
	ctx, cancel := context.WithCancel(p.ctx)
	if d > 0 {
		ctx, cancel = context.WithTimeout(p.ctx, d)
	}
	defer cancel()
	for {
		on, changed := p.faults.stillOn(f.ID)
		finished, moved := done()
		if finished || !on {
			return
		}
		select {
		case <-moved:
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// stillOn says whether a fault was not cleared, and where to wait for a change.
func (f *faults) stillOn(id string) (on bool, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.active, func(fault *Fault) bool { return fault.ID == id }), f.changed
}
