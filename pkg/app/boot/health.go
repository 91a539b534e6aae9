package boot

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// checkWithin bounds one check, so that a hanging part does not hang the probe.
const checkWithin = 2 * time.Second

// Check says whether one thing that the role needs is there; the error says
// what is missing, without secrets.
type Check func(ctx context.Context) error

// Health is the set of a role's checks. Register them before taking traffic:
// without a check the role counts as still starting.
type Health struct {
	mu       sync.Mutex
	checks   []namedCheck
	stopping bool
}

type namedCheck struct {
	name  string
	check Check
}

// NewHealth makes an empty set.
func NewHealth() *Health { return &Health{} }

// Add registers a check under a name such as "nats" or "durability".
func (h *Health) Add(name string, check Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, namedCheck{name: name, check: check})
}

// Stop makes the role unready for good: load balancers look elsewhere while it
// finishes what it has.
func (h *Health) Stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
}

// Readiness is the body of /readyz.
type Readiness struct {
	Ready  bool          `json:"ready"`
	Checks []CheckResult `json:"checks"`
}

// CheckResult is one check's answer.
type CheckResult struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Ready asks all checks at the same time.
func (h *Health) Ready(ctx context.Context) Readiness {
	h.mu.Lock()
	checks, stopping := append([]namedCheck(nil), h.checks...), h.stopping
	h.mu.Unlock()
	switch {
	case stopping:
		return notReady("stopping", "the role was asked to stop")
	case len(checks) == 0:
		return notReady("starting", "the role has not finished starting")
	}
	results := make([]CheckResult, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { results[i] = c.ask(ctx) })
	}
	wg.Wait()
	r := Readiness{Ready: true, Checks: results}
	for _, one := range results {
		r.Ready = r.Ready && one.OK
	}
	return r
}

func notReady(name, detail string) Readiness {
	return Readiness{Checks: []CheckResult{{Name: name, Detail: detail}}}
}

// ask gives the check its time and no more, whether or not it looks at its context.
func (c namedCheck) ask(ctx context.Context) CheckResult {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	answer := make(chan error, 1) // capacity 1: a late answer is dropped
	go func() {
		defer func() {
			if v := recover(); v != nil {
				answer <- fmt.Errorf("the check panicked: %v", v)
			}
		}()
		answer <- c.check(ctx)
	}()
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = fmt.Errorf("no answer within %s", checkWithin)
	}
	if err != nil {
		return CheckResult{Name: c.name, Detail: err.Error()}
	}
	return CheckResult{Name: c.name, OK: true}
}

// ServeHTTP answers /readyz.
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	readiness := h.Ready(r.Context())
	status := http.StatusOK
	if !readiness.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, readiness)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone; nobody is left to tell
}
