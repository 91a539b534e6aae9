package ingest

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/ingest"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/telemetry"
)

// directory is who is configured now: the watcher replaces it as a whole.
type directory struct{ watcher *config.Watcher }

// ByMchID finds a merchant by its number.
func (d directory) ByMchID(id pay.MchID) (merchant.Merchant, bool) {
	return d.watcher.Current().Directory.ByMchID(id)
}

// ByAPIKey finds whose key this is.
func (d directory) ByAPIKey(plain string) (m merchant.Merchant, keyName string, ok bool) {
	return d.watcher.Current().Directory.ByAPIKey(plain)
}

// All lists the merchants.
func (d directory) All() []merchant.Merchant { return d.watcher.Current().Directory.All() }

// follower brings keys together that come from two sides: configuration and
// the bucket. A platform certificate counts only while the merchant's
// configuration wants platform certificates.
type follower struct {
	*role

	failures *prometheus.CounterVec
	mu       sync.Mutex
	platform map[pay.MchID][]merchant.PublicKey
	wanted   *merchant.Directory
}

func newFollower(r *role) *follower {
	return &follower{role: r, failures: telemetry.Counter(r.Registry, "config_reload_failures", "Configuration or key files that could not be read again; the old ones stay in use.")}
}

// configured takes over what the configuration says.
func (f *follower) configured(s config.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted = s.Directory
	f.keys.SetConfigured(s.PublicKeys)
	f.apply()
}

// shared takes over what the worker shares.
func (f *follower) shared(p bus.Platform) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.platform = p.Keys
	f.apply()
	before := f.gate.Open()
	f.gate.Set(verdictOf(p))
	if after := f.gate.Open(); (before == nil) != (after == nil) || before != nil && before.Error() != after.Error() {
		f.tell(after)
	}
}

func (f *follower) apply() {
	keys := map[pay.MchID][]merchant.PublicKey{}
	for id, k := range f.platform {
		if m, known := f.wanted.ByMchID(id); known && m.PlatformCertificates {
			keys[id] = k
		}
	}
	f.keys.SetPlatform(keys)
}

func (f *follower) tell(shut error) {
	if shut != nil {
		f.Logger.Error("gate is shut", telemetry.Error(shut))
		return
	}
	f.Logger.Info("gate is open: the broker's durability is proven")
}

func verdictOf(p bus.Platform) *ingest.Verdict {
	if p.Verdict == nil {
		return nil
	}
	return &ingest.Verdict{OK: p.Verdict.OK, Problems: p.Verdict.Problems, Servers: p.Verdict.Servers, CheckedAt: p.Verdict.CheckedAt}
}

// follow watches the bucket until the context ends.
func (r *role) follow(ctx context.Context) {
	if err := r.notifyBus.WatchPlatform(ctx, r.follower.shared); err != nil && !errors.Is(err, context.Canceled) {
		r.Logger.ErrorContext(ctx, "platform keys are no longer followed", telemetry.Error(err))
	}
}

func (r *role) reloaded(s config.Snapshot) {
	r.follower.configured(s)
	r.Logger.Info("configuration reloaded", "changed", s.Changed)
}

func (r *role) reloadFailed(err error) {
	if r.follower != nil {
		r.follower.failures.WithLabelValues().Inc()
	}
	r.Logger.Error("keys cannot be read: what was read before stays in use", telemetry.Error(err))
}
