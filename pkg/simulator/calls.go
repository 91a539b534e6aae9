package simulator

import (
	"maps"
	"net/http"
	"sync"
)

// calls counts the requests to each operation since the start, v3 and v2 together:
// those that were understood and believed, whatever a fault or a limit then made of
// them. A restart begins at 0.
type calls struct {
	mu sync.Mutex
	of map[string]int
}

func (c *calls) count(api string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[api]++
}

// Calls is how often each operation was asked for, by its name in faults: prepay,
// query, close, refund, refund_query and so on.
func (s *Simulator) Calls() map[string]int {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	all := map[string]int{}
	maps.Copy(all, s.calls.of)
	return all
}

func (s *Simulator) controlCalls(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]map[string]int{"calls": s.Calls()})
}
