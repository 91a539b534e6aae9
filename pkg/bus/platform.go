package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	keyKeys = "keys." // and the mchid

	// resync is how often all keys are read again, in case an update was
	// missed without the connection being lost.
	resync      = 30 * time.Second
	resyncRetry = time.Second
)

// Platform is what the worker shares with the edge: all of it, each time.
type Platform struct {
	Verdict *Verdict // nil: no worker has written one
	Keys    map[pay.MchID][]merchant.PublicKey
}

type keyWire struct {
	ID        string     `json:"id"`
	PEM       string     `json:"pem"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
}

// PutPlatformKeys replaces the shared keys of one merchant. They are public.
func (b *Bus) PutPlatformKeys(ctx context.Context, mchid pay.MchID, keys []merchant.PublicKey) error {
	if err := token("mchid", string(mchid)); err != nil {
		return fmt.Errorf("put platform keys: %w", err)
	}
	wire := make([]keyWire, len(keys))
	for i, k := range keys {
		text, err := k.PEM()
		if err != nil {
			return fmt.Errorf("put platform keys: %w", err)
		}
		wire[i] = keyWire{ID: k.ID, PEM: string(text), NotBefore: optional(k.NotBefore), NotAfter: optional(k.NotAfter)}
	}
	data, err := json.Marshal(wire)
	if err != nil {
		return fmt.Errorf("put platform keys: %w", err)
	}
	if err := b.putKey(ctx, keyKeys+string(mchid), data); err != nil {
		return fmt.Errorf("put platform keys: %w", err)
	}
	return nil
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func readKeys(data []byte) ([]merchant.PublicKey, error) {
	var wire []keyWire
	if err := json.Unmarshal(data, &wire); err != nil {
		return nil, fmt.Errorf("read platform keys: %w", err)
	}
	keys := make([]merchant.PublicKey, 0, len(wire))
	for _, w := range wire {
		key, err := merchant.ParsePublicKeyPEM([]byte(w.PEM))
		if err != nil {
			return nil, fmt.Errorf("read platform key %s: %w", w.ID, err)
		}
		k := merchant.PublicKey{ID: w.ID, Key: key}
		if w.NotBefore != nil {
			k.NotBefore = *w.NotBefore
		}
		if w.NotAfter != nil {
			k.NotAfter = *w.NotAfter
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// WatchPlatform calls f with the shared keys and the durability verdict, first
// as soon as they can be read, then after each change, and again after each
// return of the broker. It blocks until ctx ends. Role notify may use it.
func (b *Bus) WatchPlatform(ctx context.Context, f func(Platform)) error {
	changes := make(chan *nats.Msg, 64) // a full one only means a look at all keys
	sub, err := b.conn.ChanSubscribe(keysChanged+">", changes)
	if err != nil {
		return fmt.Errorf("watch platform keys: %w", classify(err))
	}
	defer func() { _ = sub.Unsubscribe() }()
	again := make(chan struct{}, 1) // one pending look is enough
	b.OnReconnect(func() {
		select {
		case again <- struct{}{}:
		default:
		}
	})
	w := &platformWatch{log: b.log}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var moved bool
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case msg := <-changes:
			moved = w.take(strings.TrimPrefix(msg.Subject, keysChanged), msg)
		case <-again:
			timer.Reset(0)
		case <-timer.C:
			all, err := b.readAllKeys(ctx)
			if err != nil {
				b.log.Warn("platform keys cannot be read yet", "error", err)
				timer.Reset(resyncRetry)
				continue
			}
			moved = w.replace(all)
			timer.Reset(resync)
		}
		if moved {
			f(w.platform())
		}
	}
}

// readAllKeys asks the bucket for the last value of each key. It goes through
// the subject that deploy/nats.conf gives to the edge: reading is all it can do.
func (b *Bus) readAllKeys(ctx context.Context) (map[string]entry, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.PublishTimeout)
	defer cancel()
	inbox := b.conn.NewInbox()
	sub, err := b.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, classify(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	request := []byte(`{"multi_last":["` + keyPrefix + `>"],"batch":1000}`)
	if err := b.conn.PublishRequest(keysRead, inbox, request); err != nil {
		return nil, classify(err)
	}
	all := map[string]entry{}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, classify(err)
		}
		switch status := msg.Header.Get("Status"); status {
		case "":
			key := strings.TrimPrefix(msg.Header.Get("Nats-Subject"), keyPrefix)
			all[key] = entry{sequenceOf(msg), msg.Data}
		case "204", "404": // the end, or an empty bucket
			return all, nil
		default:
			return nil, fmt.Errorf("read platform keys: status %s %s", status, msg.Header.Get("Description"))
		}
	}
}

type entry struct {
	sequence uint64
	data     []byte
}

func sequenceOf(msg *nats.Msg) uint64 {
	n, _ := strconv.ParseUint(msg.Header.Get("Nats-Sequence"), 10, 64) // 0: older than anything
	return n
}

type platformWatch struct {
	entries map[string]entry // nil before the first look at all keys
	log     *slog.Logger
}

// replace takes a look at all keys as the truth: sequences begin anew with a
// bucket that was made anew.
func (w *platformWatch) replace(all map[string]entry) (moved bool) {
	moved = w.entries == nil || !maps.EqualFunc(w.entries, all, func(a, b entry) bool { return a.sequence == b.sequence })
	w.entries = all
	return moved
}

// take keeps one changed value. An older one than we have is no news: a look
// at all keys may overtake a change.
func (w *platformWatch) take(key string, msg *nats.Msg) (moved bool) {
	n := sequenceOf(msg)
	if w.entries == nil || w.entries[key].sequence >= n {
		return false
	}
	w.entries[key] = entry{n, msg.Data}
	return true
}

func (w *platformWatch) platform() Platform {
	p := Platform{Keys: map[pay.MchID][]merchant.PublicKey{}}
	var problems []error
	for key, e := range w.entries {
		switch mchid, isKeys := strings.CutPrefix(key, keyKeys); {
		case key == keyDurability:
			var v Verdict
			if err := json.Unmarshal(e.data, &v); err != nil {
				problems = append(problems, fmt.Errorf("read durability verdict: %w", err))
				continue
			}
			p.Verdict = &v
		case isKeys:
			keys, err := readKeys(e.data)
			if err != nil {
				problems = append(problems, fmt.Errorf("merchant %s: %w", mchid, err))
				continue
			}
			p.Keys[pay.MchID(mchid)] = keys
		}
	}
	if len(problems) > 0 {
		w.log.Warn("platform keys are damaged", "error", errors.Join(problems...))
	}
	return p
}
