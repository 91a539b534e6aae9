package operator

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// maxBadTokens within badWithin lock an address out for lockedFor. Nobody
	// guesses 256 bits; this is for programs that go on with a revoked token, and
	// it keeps strangers from asking the database all the time.
	maxBadTokens = 10
	badWithin    = time.Minute
	lockedFor    = time.Minute
	// maxPlaces bounds the memory: some 100 bytes each.
	maxPlaces = 10_000
	// tidyEvery is how often a full memory is searched for what is over.
	tidyEvery = time.Second
)

// lockout remembers which addresses sent unknown tokens of late.
type lockout struct {
	now func() time.Time

	mu       sync.Mutex
	places   map[netip.Prefix]tries
	tidiedAt time.Time
}

// tries are the bad tokens of one address since a moment.
type tries struct {
	since time.Time
	bad   int
	until time.Time // locked out till then; zero: not
}

func newLockout(now func() time.Time) *lockout {
	return &lockout{now: now, places: map[netip.Prefix]tries{}}
}

// wait says for how long the place is still locked out.
func (l *lockout) wait(place netip.Prefix) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.places[place].until.Sub(l.now()), 0)
}

// failed counts one unknown token.
func (l *lockout) failed(place netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	t, there := l.places[place]
	if !there {
		l.makeRoom(now)
	}
	if !there || t.over(now) {
		t = tries{since: now}
	}
	t.bad++
	if t.bad >= maxBadTokens {
		t.until = now.Add(lockedFor)
	}
	l.places[place] = t
}

func (t tries) over(now time.Time) bool {
	return now.Sub(t.since) >= badWithin && !now.Before(t.until)
}

// makeRoom forgets what is over; when that is not enough, anybody.
func (l *lockout) makeRoom(now time.Time) {
	if len(l.places) < maxPlaces {
		return
	}
	if now.Sub(l.tidiedAt) >= tidyEvery {
		l.tidiedAt = now
		for place, t := range l.places {
			if t.over(now) {
				delete(l.places, place)
			}
		}
	}
	for place := range l.places {
		if len(l.places) < maxPlaces {
			return
		}
		delete(l.places, place)
	}
}
