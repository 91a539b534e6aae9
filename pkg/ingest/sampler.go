package ingest

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	// sampleGap: one sample a second per merchant and outcome is enough to see
	// what is being sent, and cannot be used to fill a disk.
	sampleGap = time.Second
	// sampleQueue bounds memory at 64 bodies of at most 128 KiB; what does not
	// fit is dropped and counted.
	sampleQueue = 64
	// sampleWait is the patience for one publish; a sample is never worth more.
	sampleWait = 2 * time.Second
)

// RejectedPublisher keeps samples of what was turned away.
type RejectedPublisher interface {
	PublishRejected(ctx context.Context, r wechatpay.Rejected) error
}

// sampler hands a few of the refused notifications to operators, after their
// answer and without ever holding one up.
type sampler struct {
	publisher RejectedPublisher
	metrics   *Metrics
	logger    *slog.Logger
	now       func() time.Time
	queue     chan wechatpay.Rejected

	mu   sync.Mutex
	last map[sampleKey]time.Time // bounded: configured merchants × outcomes
}

type sampleKey struct {
	mchid   pay.MchID
	outcome Outcome
}

func newSampler(p RejectedPublisher, m *Metrics, l *slog.Logger, now func() time.Time) *sampler {
	return &sampler{publisher: p, metrics: m, logger: l, now: now, queue: make(chan wechatpay.Rejected, sampleQueue), last: map[sampleKey]time.Time{}}
}

// offer takes a sample if its turn has come and there is room.
func (s *sampler) offer(env wechatpay.Envelope, no *refusal) {
	if !s.due(sampleKey{env.MchID, no.outcome}) {
		return
	}
	select {
	case s.queue <- wechatpay.Rejected{Envelope: env, Reason: string(no.outcome), Detail: no.message}:
	default:
		s.metrics.samples.WithLabelValues("dropped").Inc()
	}
}

func (s *sampler) due(key sampleKey) bool {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, seen := s.last[key]; seen && now.Sub(last) < sampleGap {
		return false
	}
	s.last[key] = now
	return true
}

// run publishes samples until the context ends. What is queued then is lost,
// which is what a sample may be.
func (s *sampler) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-s.queue:
			s.publish(ctx, r)
		}
	}
}

func (s *sampler) publish(ctx context.Context, r wechatpay.Rejected) {
	ctx, cancel := context.WithTimeout(ctx, sampleWait)
	defer cancel()
	if err := s.publisher.PublishRejected(ctx, r); err != nil {
		s.metrics.samples.WithLabelValues("failed").Inc()
		s.logger.DebugContext(ctx, "sample not kept", "mchid", r.Envelope.MchID, "reason", r.Reason, "error", err)
		return
	}
	s.metrics.samples.WithLabelValues("kept").Inc()
}
