package merchant

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// PublicKeyIDPrefix begins the id of a WeChat Pay public key; any other serial
// is a platform certificate's (WeChat Pay doc 4012791882).
const PublicKeyIDPrefix = "PUB_KEY_ID_"

// PublicKey is a key that WeChat Pay signs with: its public key of a merchant,
// or that of a platform certificate.
type PublicKey struct {
	ID                  string // PUB_KEY_ID_…, or a certificate's serial in upper-case hex
	Key                 *rsa.PublicKey
	NotBefore, NotAfter time.Time // zero: no limit
}

// IsPlatform says whether the key is a platform certificate's.
func (k PublicKey) IsPlatform() bool { return !strings.HasPrefix(k.ID, PublicKeyIDPrefix) }

// ValidAt says whether the key's validity covers an instant.
func (k PublicKey) ValidAt(at time.Time) bool {
	return (k.NotBefore.IsZero() || !at.Before(k.NotBefore)) && (k.NotAfter.IsZero() || !at.After(k.NotAfter))
}

// PEM is the key in PKIX form, as ParsePublicKeyPEM reads it.
func (k PublicKey) PEM() ([]byte, error) {
	if k.Key == nil {
		return nil, fmt.Errorf("encode key %s: there is no key", k.ID)
	}
	der, err := x509.MarshalPKIXPublicKey(k.Key)
	if err != nil {
		return nil, fmt.Errorf("encode key %s: %w", k.ID, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// Keyring is the set of keys that may speak for WeChat Pay to one merchant. It
// may be read and written at the same time; a nil Keyring holds no key.
type Keyring struct {
	mu  sync.Mutex // of writers
	set atomic.Pointer[keySet]
}

// keySet is never written to once it is in a ring.
type keySet struct {
	ids  []string // in the order in which they came
	keys map[string]PublicKey
}

// NewKeyring makes a ring; the order of the keys is kept.
func NewKeyring(keys ...PublicKey) *Keyring {
	r := &Keyring{}
	r.set.Store(newKeySet(nil, keys))
	return r
}

func newKeySet(old *keySet, keys []PublicKey) *keySet {
	next := &keySet{keys: map[string]PublicKey{}}
	if old != nil {
		for _, id := range old.ids {
			next.add(old.keys[id])
		}
	}
	for _, k := range keys {
		next.add(k)
	}
	return next
}

func (s *keySet) add(k PublicKey) {
	if k.ID == "" || k.Key == nil {
		return
	}
	if _, known := s.keys[k.ID]; !known {
		s.ids = append(s.ids, k.ID)
	}
	s.keys[k.ID] = k
}

// Put adds keys, or takes them in place of those with the same id. Nothing
// else goes away: a retired certificate still verifies what it once signed.
func (r *Keyring) Put(keys ...PublicKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set.Store(newKeySet(r.set.Load(), keys))
}

// Replace makes the ring hold these keys and no others.
func (r *Keyring) Replace(keys ...PublicKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set.Store(newKeySet(nil, keys))
}

func (r *Keyring) load() *keySet {
	if r == nil {
		return nil
	}
	return r.set.Load()
}

// Find looks a key up by its exact id.
func (r *Keyring) Find(id string) (PublicKey, bool) {
	set := r.load()
	if set == nil {
		return PublicKey{}, false
	}
	k, ok := set.keys[id]
	return k, ok
}

// IDs lists the ids in the order in which they came.
func (r *Keyring) IDs() []string {
	set := r.load()
	if set == nil {
		return nil
	}
	return append([]string(nil), set.ids...)
}

// All lists the keys in the order in which they came.
func (r *Keyring) All() []PublicKey {
	var keys []PublicKey
	for _, id := range r.IDs() {
		if k, ok := r.Find(id); ok {
			keys = append(keys, k)
		}
	}
	return keys
}

// Len counts the keys.
func (r *Keyring) Len() int {
	set := r.load()
	if set == nil {
		return 0
	}
	return len(set.ids)
}

// PublicKeyID is the first WeChat Pay public key, which our calls ask to be
// answered with; ok is false where only platform certificates are known.
func (r *Keyring) PublicKeyID() (id string, ok bool) {
	for _, id := range r.IDs() {
		if strings.HasPrefix(id, PublicKeyIDPrefix) {
			return id, true
		}
	}
	return "", false
}
