package ingest

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	// refreshGap: a forger can name unknown serials as fast as it likes; the
	// worker is asked once a minute per merchant.
	refreshGap = time.Minute
	// refreshWait covers the worker's own call to WeChat Pay.
	refreshWait = 15 * time.Second

	subjectVerifyKeys = "fenflow.verify.keys"
)

// Requester asks a worker something and waits for its answer.
type Requester interface {
	Request(ctx context.Context, subject string, data []byte, timeout time.Duration) ([]byte, error)
}

// refresher has the worker fetch a merchant's platform certificates, in the
// background: no notification waits for it. The new keys arrive through the
// bucket, in time for WeChat Pay's next attempt.
type refresher struct {
	requester Requester
	metrics   *Metrics
	logger    *slog.Logger
	now       func() time.Time

	mu      sync.Mutex
	last    map[pay.MchID]time.Time
	pending sync.WaitGroup
}

func newRefresher(r Requester, m *Metrics, l *slog.Logger, now func() time.Time) *refresher {
	return &refresher{requester: r, metrics: m, logger: l, now: now, last: map[pay.MchID]time.Time{}}
}

// ask starts a refresh unless one began within the last minute.
func (r *refresher) ask(ctx context.Context, id pay.MchID) {
	if !r.due(id) {
		return
	}
	r.pending.Go(func() { r.request(context.WithoutCancel(ctx), id) })
}

func (r *refresher) due(id pay.MchID) bool {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, seen := r.last[id]; seen && now.Sub(last) < refreshGap {
		return false
	}
	r.last[id] = now
	return true
}

func (r *refresher) request(ctx context.Context, id pay.MchID) {
	question, err := json.Marshal(struct {
		MchID pay.MchID `json:"mchid"`
	}{id})
	if err == nil {
		_, err = r.requester.Request(ctx, subjectVerifyKeys, question, refreshWait)
	}
	if err != nil {
		r.metrics.refreshes.WithLabelValues(string(id), "failed").Inc()
		r.logger.WarnContext(ctx, "key refresh failed", "mchid", id, "error", err)
		return
	}
	r.metrics.refreshes.WithLabelValues(string(id), "asked").Inc()
	r.logger.InfoContext(ctx, "key refresh", "mchid", id)
}

// wait returns when no refresh is under way.
func (r *refresher) wait() { r.pending.Wait() }
