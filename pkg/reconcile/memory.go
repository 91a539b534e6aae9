package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// failures counts, for each order, calls in a row that led nowhere. It is this
// process's memory only: what is forgotten is asked about sooner, no more.
type failures struct {
	mu sync.Mutex
	of map[failing]failure
}

type failing struct {
	mchid pay.MchID
	no    pay.OutTradeNo
	api   pay.API
}

type failure struct {
	count int
	last  time.Time
}

// forgetAfter is well above the longest pause between two tries.
const forgetAfter = 10 * time.Minute

// add counts one more and says which it is, from 1.
func (f *failures) add(key failing, now time.Time) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = map[failing]failure{}
	}
	one := failure{count: f.of[key].count + 1, last: now}
	f.of[key] = one
	return one.count
}

func (f *failures) clear(key failing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, key)
}

// forget drops what somebody else resolved.
func (f *failures) forget(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, one := range f.of {
		if now.Sub(one.last) > forgetAfter {
			delete(f.of, key)
		}
	}
}

// gears remembers each merchant's gear as of its last sweep.
type gears struct {
	mu sync.Mutex
	of map[pay.MchID]pay.Gear
}

func (g *gears) set(mchid pay.MchID, gear pay.Gear) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of = map[pay.MchID]pay.Gear{}
	}
	g.of[mchid] = gear
}

// get is tight for a merchant that nobody has looked at yet.
func (g *gears) get(mchid pay.MchID) pay.Gear {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gear, known := g.of[mchid]; known {
		return gear
	}
	return pay.GearTight
}

// said keeps lines that would come with every call to one a minute.
type said struct {
	mu sync.Mutex
	at map[string]time.Time
}

const sayEvery = time.Minute

// again says whether the line may be written.
func (s *said) again(line string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string]time.Time{}
	}
	if last, known := s.at[line]; known && now.Sub(last) < sayEvery {
		return false
	}
	s.at[line] = now
	return true
}

// trouble tells once that the database is away, each minute that it still is,
// and once that it is back: what fails each second must not write each second.
type trouble struct {
	mu     sync.Mutex
	since  time.Time
	lately time.Time
}

func (t *trouble) note(ctx context.Context, log *slog.Logger, what string, err error, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil && !t.since.IsZero():
		log.InfoContext(ctx, "works again", "what", what, "after", now.Sub(t.since).Round(time.Millisecond).String())
		t.since, t.lately = time.Time{}, time.Time{}
	case err == nil || ctx.Err() != nil:
	case t.since.IsZero(), now.Sub(t.lately) >= sayEvery:
		if t.since.IsZero() {
			t.since = now
		}
		t.lately = now
		log.ErrorContext(ctx, "does not work; what is due stays due and is taken up as soon as it works again", "what", what, "error", err)
	}
}

// wanting are the refunds that found too little money in the account, as this
// process last heard; each is forgotten when it should have been tried again.
type wanting struct {
	mu sync.Mutex
	of map[wanted]time.Time // until when that word counts
}

type wanted struct {
	mchid pay.MchID
	no    pay.OutRefundNo
}

func (w *wanting) want(mchid pay.MchID, no pay.OutRefundNo, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[wanted]time.Time{}
	}
	w.of[wanted{mchid, no}] = until
}

func (w *wanting) forget(mchid pay.MchID, no pay.OutRefundNo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.of, wanted{mchid, no})
}

func (w *wanting) count(now time.Time) map[pay.MchID]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := map[pay.MchID]int{}
	for one, until := range w.of {
		if now.After(until) {
			delete(w.of, one)
			continue
		}
		counts[one.mchid]++
	}
	return counts
}
