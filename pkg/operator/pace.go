package operator

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How fast one token may ask: a script may go through a list, and not take the
// database away from the roles that move money.
const (
	requestsPerSecond = 50
	requestBurst      = 100
	// maxPaced tokens are kept in mind. There are as many as operators made.
	maxPaced = 1000
)

// pace keeps each token to its speed.
type pace struct {
	now func() time.Time

	mu     sync.Mutex
	tokens map[string]*rate.Limiter // by the token's id
}

func newPace(now func() time.Time) *pace {
	return &pace{now: now, tokens: map[string]*rate.Limiter{}}
}

func (p *pace) allow(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	limiter, there := p.tokens[id]
	if !there {
		if len(p.tokens) >= maxPaced {
			clear(p.tokens) // everybody gets a new burst
		}
		limiter = rate.NewLimiter(requestsPerSecond, requestBurst)
		p.tokens[id] = limiter
	}
	return limiter.AllowN(p.now(), 1)
}
