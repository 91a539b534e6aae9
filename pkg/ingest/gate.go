package ingest

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Verdict says whether the broker keeps what it acknowledges. The worker
// proves it; the edge only obeys.
type Verdict struct {
	OK        bool
	Problems  []string // each names a setting and its remedy
	Servers   []string // ids of the servers that were looked at
	CheckedAt time.Time
}

// Gate holds the latest verdict. It is shut until a good one arrives: an
// acknowledgement must mean "on disk".
type Gate struct {
	server  func() string
	verdict atomic.Pointer[Verdict]
}

// NewGate returns a shut gate. server names the broker's server that we are
// connected to, empty for none: a server that has started since the verdict
// may run with other settings, so that the verdict says nothing about it.
func NewGate(server func() string) *Gate { return &Gate{server: server} }

// Set replaces the verdict. nil means that there is none.
func (g *Gate) Set(v *Verdict) { g.verdict.Store(v) }

// Open returns nil when traffic may pass, else why not, naming the setting.
// Its text goes into answers: settings and addresses of our own, no secrets.
func (g *Gate) Open() error {
	v, server := g.verdict.Load(), g.server()
	switch {
	case v == nil:
		return &closedError{"no traffic is taken: there is no durability verdict yet; a worker proves the broker's settings and has not done so (see its log)"}
	case !v.OK:
		return &closedError{fmt.Sprintf("no traffic is taken: durability is not proven: %s", strings.Join(v.Problems, "; "))}
	case server != "" && !slices.Contains(v.Servers, server):
		return &closedError{"no traffic is taken: the NATS server in use has started since its settings were proven; a worker proves them again (see its log, and nats.monitor_urls)"}
	}
	return nil
}

// closedError is why the gate is shut.
type closedError struct{ text string }

func (e *closedError) Error() string { return e.text }
