package front

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How fast one address may ask, and one buyer.
const (
	// A login is four requests. WeChat exchanges 50,000 codes a minute for one app
	// (its community documentation on web logins), 833 a second; one address, which
	// may be that of a whole mobile network, has a fortieth of it.
	loginsPerSecond = 20
	loginBurst      = 100
	// WeChat posts the messages of all buyers from a handful of addresses.
	messagesPerSecond = 500
	messageBurst      = 1000
	// A page asks for its order each second while it waits.
	requestsPerBuyer = 5
	buyerBurst       = 20
	// maxPaced bounds the memory: some 300 bytes each.
	maxPaced = 20_000
)

// buckets keeps each of many to its speed. When there are too many, whoever has
// not asked for longest is forgotten, and begins anew with a full burst: with
// more addresses than fit, an attacker gains no more than having them.
type buckets struct {
	limit rate.Limit
	burst int
	now   func() time.Time

	mu     sync.Mutex
	order  *list.List // of *paced; who asked last is in front
	places map[string]*list.Element
}

type paced struct {
	who     string
	limiter *rate.Limiter
}

func newBuckets(limit rate.Limit, burst int, now func() time.Time) *buckets {
	return &buckets{limit: limit, burst: burst, now: now, order: list.New(), places: map[string]*list.Element{}}
}

// take says how long somebody must wait; 0: not at all, and it counts.
func (b *buckets) take(who string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	reservation := b.of(who).ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait > 0 {
		reservation.CancelAt(now) // a refusal costs nothing more
	}
	return wait
}

func (b *buckets) of(who string) *rate.Limiter {
	if known, there := b.places[who]; there {
		b.order.MoveToFront(known)
		return pacedOf(known).limiter
	}
	if len(b.places) >= maxPaced {
		last := b.order.Back()
		b.order.Remove(last)
		delete(b.places, pacedOf(last).who)
	}
	one := &paced{who: who, limiter: rate.NewLimiter(b.limit, b.burst)}
	b.places[who] = b.order.PushFront(one)
	return one.limiter
}

// pacedOf: nothing else is in the list.
func pacedOf(e *list.Element) *paced {
	one, _ := e.Value.(*paced)
	return one
}
