package config

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// watchEvery is how often files are read again unasked.
const watchEvery = time.Minute

// Snapshot is the merchants and their keys at one time. It is immutable, save
// for the key rings.
type Snapshot struct {
	Directory   *merchant.Directory
	PublicKeys  map[pay.MchID][]merchant.PublicKey  // from configuration; all roles
	Credentials map[pay.MchID]*merchant.Credentials // worker and reconciler; nil elsewhere
	SessionKeys []ed25519.PublicKey                 // that buyers' sessions are verified with; roles that verify them
	VerifyFiles []string                            // of the front door
	Changed     []pay.MchID                         // who differs from the snapshot before
}

// Snapshot reads the key files that the role may read. A snapshot comes back
// even with an error: a merchant whose files are broken then has no keys in it.
func (c Config) Snapshot() (Snapshot, error) {
	directory, err := c.Directory()
	if err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{Directory: directory, PublicKeys: map[pay.MchID][]merchant.PublicKey{}, VerifyFiles: c.Front.VerifyFiles}
	s.SessionKeys, err = c.Front.SessionPublicKeys()
	problems := []error{err}
	if c.loaded.role.holdsSecrets() {
		s.Credentials, err = c.AllCredentials()
		problems = append(problems, err)
	}
	for _, m := range directory.All() {
		if credentials := s.Credentials[m.MchID]; credentials != nil {
			s.PublicKeys[m.MchID] = credentials.Keyring.All()
			continue
		}
		keys, err := c.PublicKeys(m.MchID)
		if s.Credentials == nil {
			problems = append(problems, err) // else it was told with the credentials
		}
		s.PublicKeys[m.MchID] = keys
	}
	return s, errors.Join(problems...)
}

// Watcher reads the merchants and their key files again, so that keys and API
// keys are rotated without a restart. Other settings need one.
type Watcher struct {
	config  Config
	every   time.Duration
	reload  <-chan struct{}
	current atomic.Pointer[Snapshot]
}

// WatchOptions say when a Watcher looks.
type WatchOptions struct {
	Every  time.Duration   // zero: each minute
	Reload <-chan struct{} // look at once, such as on SIGHUP
}

// NewWatcher starts from a snapshot that was taken with c.
func NewWatcher(c Config, first Snapshot, o WatchOptions) *Watcher {
	if o.Every <= 0 {
		o.Every = watchEvery
	}
	w := &Watcher{config: c, every: o.Every, reload: o.Reload}
	w.current.Store(&first)
	return w
}

// Current is the newest snapshot.
func (w *Watcher) Current() Snapshot { return *w.current.Load() }

// Run looks until ctx ends. onChange is called with each snapshot that
// differs; onError with what is wrong, while the old keys stay in use. Both
// are called from this goroutine.
func (w *Watcher) Run(ctx context.Context, onChange func(Snapshot), onError func(error)) {
	ticker := time.NewTicker(w.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-w.reload:
		}
		next, err := w.Look()
		if err != nil {
			onError(err)
		}
		if len(next.Changed) > 0 {
			onChange(next)
		}
	}
}

// Look reads everything once. A merchant whose files cannot be read keeps the
// keys it had; a file that does not parse changes nothing at all.
func (w *Watcher) Look() (Snapshot, error) {
	before := w.Current()
	before.Changed = nil
	c, err := Load(w.config.loaded.options.withRole(w.config.loaded.role))
	if err != nil {
		return before, fmt.Errorf("reload configuration: %w", err)
	}
	next, err := c.Snapshot()
	if next.Directory == nil {
		return before, fmt.Errorf("reload merchants: %w", err)
	}
	if len(next.SessionKeys) < len(c.Front.SessionPublicKeyFiles) { // one of them is broken now
		next.SessionKeys = before.SessionKeys
	}
	next.keep(before, err != nil)
	next.Changed = changes(before, next)
	w.current.Store(&next)
	if err != nil {
		return next, fmt.Errorf("reload keys, the old ones stay in use: %w", err)
	}
	return next, nil
}

func (o Options) withRole(r Role) Options {
	o.Role = r
	return o
}

// keep carries over what must outlive a reload: the keys of merchants whose
// files are broken now, and the key rings, which hold platform certificates
// that were fetched since.
func (s *Snapshot) keep(before Snapshot, failed bool) {
	for _, m := range s.Directory.All() {
		id := m.MchID
		if failed && len(s.PublicKeys[id]) < len(before.PublicKeys[id]) {
			s.PublicKeys[id] = before.PublicKeys[id]
		}
		if s.Credentials == nil {
			continue
		}
		old, now := before.Credentials[id], s.Credentials[id]
		switch {
		case now == nil && old != nil:
			s.Credentials[id] = old
		case now != nil && old != nil:
			now.Keyring = carry(old.Keyring, before.PublicKeys[id], s.PublicKeys[id])
		}
	}
}

// carry keeps the ring itself, which others hold, and changes in it only what
// the configuration changed.
func carry(ring *merchant.Keyring, before, now []merchant.PublicKey) *merchant.Keyring {
	if slices.EqualFunc(before, now, samePublicKey) {
		return ring
	}
	keys := slices.Clone(now)
	for _, k := range ring.All() {
		if k.IsPlatform() {
			keys = append(keys, k)
		}
	}
	ring.Replace(keys...)
	return ring
}
