package simulator

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is one switched-on fault. It lasts as long as the process, or until it is
// cleared or used up: a restart is a way out of every fault.
type Fault struct {
	ID   string    `json:"id"`
	Kind FaultKind `json:"kind"`
	// Probability that it happens when it could; 0 means always.
	Probability float64 `json:"probability,omitempty"`
	// Count is how often it happens at most; 0 means without end.
	Count int `json:"count,omitempty"`
	// OutTradeNo limits it to one order.
	OutTradeNo string `json:"out_trade_no,omitempty"`
	// API limits a fault of API calls to one operation, such as prepay or refund.
	API string `json:"api,omitempty"`
	// DelayMs means what FaultKinds says of the kind. It is wall-clock time, which
	// Speed leaves alone.
	DelayMs int64 `json:"delay_ms,omitempty"`
	// Status replaces the HTTP status of an error answer.
	Status int `json:"status,omitempty"`
	// Fired counts how often it happened.
	Fired int `json:"fired"`
}

func (f Fault) delay() time.Duration { return time.Duration(f.DelayMs) * time.Millisecond }

func (f Fault) delayOr(d time.Duration) time.Duration {
	if f.DelayMs > 0 {
		return f.delay()
	}
	return d
}

func (f Fault) statusOr(status int) int {
	if f.Status != 0 {
		return f.Status
	}
	return status
}

// usedUp says that the fault has happened as often as it may.
func (f Fault) usedUp() bool { return f.Count > 0 && f.Fired >= f.Count }

// maxFaultDelay bounds delay_ms: longer is a mistyped unit.
const maxFaultDelay = 24 * time.Hour

func (f Fault) check() error {
	var problems []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	refuse(!knownFault(f.Kind), "kind %q is unknown; GET /control/faults lists the kinds", f.Kind)
	refuse(!(f.Probability >= 0 && f.Probability <= 1), "probability must be between 0 and 1; 0 or nothing means always")
	refuse(f.API != "" && !slices.Contains(apis(), f.API), "api %q is unknown; there are %v", f.API, apis())
	refuse(f.Count < 0, "count must not be negative")
	refuse(f.DelayMs < 0 || f.DelayMs > maxFaultDelay.Milliseconds(), "delay_ms must be between 0 and %d", maxFaultDelay.Milliseconds())
	refuse(f.Status != 0 && (f.Status < 400 || f.Status > 599), "status must be between 400 and 599")
	return errors.Join(problems...)
}

// faults decides what goes wrong. A decision depends on the seed, the kind, the
// order and how often it was asked for that order, and on nothing else: not on
// which of many goroutines came first. The same orders under the same seed meet
// the same faults.
type faults struct {
	seed  uint64
	log   *slog.Logger
	armed atomic.Bool // spares the lock while there is no fault

	mu      sync.Mutex
	active  []*Fault
	asked   map[string]uint64 // by fault and order, of faults with a probability
	last    int
	changed chan struct{} // closed and replaced when a fault is set or cleared
}

// openFaults draws a seed, unless there is one, and sets what the options ask for.
func openFaults(o Options) (*faults, error) {
	f := &faults{seed: o.Seed, log: o.Logger, asked: map[string]uint64{}, changed: make(chan struct{})}
	for f.seed == 0 {
		drawn, err := random{o.Rand}.bytes(8)
		if err != nil {
			return nil, err
		}
		f.seed = binary.BigEndian.Uint64(drawn) >> 11 // JSON numbers are exact up to 2^53
	}
	for _, fault := range o.Faults {
		if _, err := f.set(fault); err != nil {
			return nil, fmt.Errorf("fault %s: %w", fault.Kind, err)
		}
	}
	return f, nil
}

// fault says whether a fault of this kind happens now, to this order or (with an
// empty number) to what belongs to no order. Asking is what counts it: ask once for
// each time that it could happen.
func (s *Simulator) fault(kind FaultKind, outTradeNo string) bool {
	_, fires := s.faults.fires(kind, "", outTradeNo)
	return fires
}

// faultOf is fault for those who need its parameters.
func (s *Simulator) faultOf(kind FaultKind, outTradeNo string) (Fault, bool) {
	return s.faults.fires(kind, "", outTradeNo)
}

// fires asks the faults of a kind in the order in which they were set. The first
// that happens is the one.
func (f *faults) fires(kind FaultKind, api, outTradeNo string) (Fault, bool) {
	return f.firesIf(kind, api, outTradeNo, func(Fault) bool { return true })
}

// firesIf leaves out faults that do not apply, and does not count them.
func (f *faults) firesIf(kind FaultKind, api, outTradeNo string, applies func(Fault) bool) (Fault, bool) {
	if !f.armed.Load() {
		return Fault{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range f.active {
		if fault.Kind == kind && applies(*fault) && f.happens(fault, api, outTradeNo) {
			fault.Fired++
			f.log.Info("fault happens", "kind", kind, "out_trade_no", outTradeNo, "api", api, "fault", fault.ID, "fired", fault.Fired)
			return *fault, true
		}
	}
	return Fault{}, false
}

func (f *faults) happens(fault *Fault, api, outTradeNo string) bool {
	switch {
	case fault.usedUp(),
		fault.OutTradeNo != "" && fault.OutTradeNo != outTradeNo,
		fault.API != "" && fault.API != api:
		return false
	case fault.Probability == 0 || fault.Probability == 1:
		return true
	}
	key := fault.ID + " " + api + " " + outTradeNo
	f.asked[key]++
	return f.draw(fault.Kind, api, outTradeNo, f.asked[key]) < fault.Probability
}

// draw is a number from [0,1), fixed by its arguments and the seed.
func (f *faults) draw(kind FaultKind, api, outTradeNo string, nth uint64) float64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s\n%s\n%s\n%d", f.seed, kind, api, outTradeNo, nth))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}

func (f *faults) set(fault Fault) (Fault, error) {
	if err := fault.check(); err != nil {
		return Fault{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	fault.ID, fault.Fired = strconv.Itoa(f.last), 0
	f.active = append(f.active, &fault)
	f.stir()
	f.log.Info("fault set", "fault", fault.ID, "kind", fault.Kind, "probability", fault.Probability, "count", fault.Count,
		"out_trade_no", fault.OutTradeNo, "api", fault.API, "delay_ms", fault.DelayMs, "status", fault.Status)
	return fault, nil
}

// clear takes away the faults that match and says how many they were.
func (f *faults) clear(match func(Fault) bool) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(f.active)
	f.active = slices.DeleteFunc(f.active, func(fault *Fault) bool { return match(*fault) })
	f.stir()
	if n := before - len(f.active); n > 0 {
		f.log.Info("faults cleared", "count", n)
	}
	return before - len(f.active)
}

// stir wakes those who wait for a change. The lock must be held.
func (f *faults) stir() {
	f.armed.Store(len(f.active) > 0)
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *faults) list() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]Fault, 0, len(f.active))
	for _, fault := range f.active {
		list = append(list, *fault)
	}
	return list
}

// SetFault switches a fault on.
func (s *Simulator) SetFault(f Fault) (Fault, error) { return s.faults.set(f) }

// ClearFaults switches all faults off, or those of the given kinds.
func (s *Simulator) ClearFaults(kinds ...FaultKind) int {
	return s.faults.clear(func(f Fault) bool { return len(kinds) == 0 || slices.Contains(kinds, f.Kind) })
}

// Faults are those that are switched on, used-up ones included.
func (s *Simulator) Faults() []Fault { return s.faults.list() }
