package weixin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Fault is what the next calls of an API meet instead of their answer.
type Fault struct {
	API       string `json:"api"`                  // its path; empty: all
	Appid     string `json:"appid,omitempty"`      // empty: all
	Errcode   int    `json:"errcode,omitempty"`    // WeChat's refusal; 0: none
	Status    int    `json:"status,omitempty"`     // an HTTP status instead of JSON
	LatencyMs int    `json:"latency_ms,omitempty"` // before anything else
	Count     int    `json:"count,omitempty"`      // how many calls; 0: until cleared
	Fired     int    `json:"fired"`
}

// gateway is an answer that does not come from WeChat's service at all.
type gateway struct{ status int }

func (g *gateway) Error() string { return fmt.Sprintf("status %d", g.status) }

func (f *Fault) meets(path, appid string) bool {
	return (f.API == "" || f.API == path) && (f.Appid == "" || f.Appid == appid) && (f.Count == 0 || f.Fired < f.Count)
}

// misbehave makes the first fault that meets a call happen. The call itself is not
// done then: its code is not spent.
func (p *Platform) misbehave(c *call) error {
	fault, met := p.fire(c.URL.Path, c.appid)
	if !met {
		return nil
	}
	if err := wait(c, time.Duration(fault.LatencyMs)*time.Millisecond); err != nil {
		return err
	}
	if fault.Status != 0 {
		return &gateway{fault.Status}
	}
	if fault.Errcode != 0 {
		return refuse(fault.Errcode).because("a fault that was switched on")
	}
	return nil
}

func (p *Platform) fire(path, appid string) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.faults, func(f *Fault) bool { return f.meets(path, appid) })
	if i < 0 {
		return Fault{}, false
	}
	p.faults[i].Fired++
	return *p.faults[i], true
}

func wait(c *call, long time.Duration) error {
	if long <= 0 {
		return nil
	}
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.Context().Done():
		return c.Context().Err()
	}
}

func (p *Platform) controlFaults(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	list := []Fault{}
	for _, f := range p.faults {
		list = append(list, *f)
	}
	p.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string][]Fault{"faults": list})
}

func (p *Platform) controlSetFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if !decode(w, r, &f) {
		return
	}
	if f.Errcode == 0 && f.Status == 0 && f.LatencyMs == 0 || f.Count < 0 || f.LatencyMs < 0 || f.Status != 0 && (f.Status < 400 || f.Status > 599) {
		writeProblem(w, http.StatusBadRequest, errors.New("give errcode, status (400 to 599) or latency_ms, and count 1 or more (0: until cleared)"))
		return
	}
	f.Fired = 0
	p.mu.Lock()
	p.faults = append(p.faults, &f)
	p.mu.Unlock()
	writeJSON(w, http.StatusCreated, f)
}

func (p *Platform) controlClearFaults(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	p.faults = nil
	p.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}
