package ingest

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// Keys holds every merchant's public keys of WeChat Pay: those of the
// configuration and the platform certificates that the worker fetched. Both
// kinds verify at the same time.
type Keys struct {
	mu         sync.RWMutex
	configured map[pay.MchID][]merchant.PublicKey
	platform   map[pay.MchID][]merchant.PublicKey
	rings      map[pay.MchID]*merchant.Keyring // never written to once in here
}

// NewKeys returns a holder without keys.
func NewKeys() *Keys {
	return &Keys{
		configured: map[pay.MchID][]merchant.PublicKey{},
		platform:   map[pay.MchID][]merchant.PublicKey{},
		rings:      map[pay.MchID]*merchant.Keyring{},
	}
}

// SetConfigured replaces the keys of the configuration, for all merchants.
func (k *Keys) SetConfigured(keys map[pay.MchID][]merchant.PublicKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.configured = maps.Clone(keys)
	k.rebuild()
}

// SetPlatform replaces the platform certificates, for all merchants.
func (k *Keys) SetPlatform(keys map[pay.MchID][]merchant.PublicKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.platform = maps.Clone(keys)
	k.rebuild()
}

// rebuild makes every ring anew, so that a request sees one set of keys or the
// other. What the configuration says wins over the bucket, should both name
// one id.
func (k *Keys) rebuild() {
	k.rings = map[pay.MchID]*merchant.Keyring{}
	for _, source := range []map[pay.MchID][]merchant.PublicKey{k.platform, k.configured} {
		for id := range source {
			k.rings[id] = merchant.NewKeyring(slices.Concat(k.platform[id], k.configured[id])...)
		}
	}
}

// Of returns a merchant's keyring; nil holds no key.
func (k *Keys) Of(id pay.MchID) *merchant.Keyring {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.rings[id]
}

// Count says how many of a merchant's keys can verify at an instant.
func (k *Keys) Count(id pay.MchID, at time.Time) int {
	usable := 0
	for _, key := range k.Of(id).All() {
		if key.ValidAt(at) {
			usable++
		}
	}
	return usable
}
