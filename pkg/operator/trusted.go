package operator

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

const (
	// trustedFor is how long a good token goes on being asked about although its
	// address is locked out: somebody else there, behind the same proxy, may be
	// the one who sends bad ones.
	trustedFor = time.Hour
	maxTrusted = 1000
)

// trusted remembers which tokens were good of late, and where. Each request's
// token is still looked up: a revoked one is refused at once.
type trusted struct {
	now func() time.Time

	mu sync.Mutex
	at map[trust]time.Time
}

type trust struct {
	place netip.Prefix
	sum   [sha256.Size]byte
}

func newTrusted(now func() time.Time) *trusted {
	return &trusted{now: now, at: map[trust]time.Time{}}
}

func (t *trusted) add(who trust) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, there := t.at[who]; !there && len(t.at) >= maxTrusted {
		clear(t.at) // everybody proves it again
	}
	t.at[who] = t.now()
}

func (t *trusted) drop(who trust) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.at, who)
}

func (t *trusted) has(who trust) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, there := t.at[who]
	return there && t.now().Sub(at) < trustedFor
}
