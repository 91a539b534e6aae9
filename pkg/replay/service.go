package replay

import (
	"context"
	"log/slog"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Archive has the bytes, and the audit log.
type Archive interface {
	FindStored(ctx context.Context, ids []pay.DeliveryID) (map[pay.DeliveryID]pay.Stored, error)
	RecordReplay(ctx context.Context, deliveries []pay.Delivery, actor, why string) error
}

// Settler decides.
type Settler interface {
	Rehearse(ctx context.Context, arrivals []wechatpay.Arrival) ([]pay.Effect, error)
	SettleExpected(ctx context.Context, arrivals []wechatpay.Arrival, act pay.ReplayAct) ([]pay.Effect, error)
}

// Lane carries what is settled in its turn.
type Lane interface {
	PublishReplays(ctx context.Context, envelopes []wechatpay.Envelope) (last uint64, err error)
	ReplayLane(ctx context.Context) (pay.Lane, error)
}

// Options are what a Service is made of.
type Options struct {
	Archive   Archive
	Settler   Settler
	Lane      Lane
	Retryable func(error) bool
	Log       *slog.Logger
}

const (
	// maxChunk is how many messages are decided in one transaction: it holds the rows
	// of so many orders.
	maxChunk = 50
	// maxPublished is how many messages go on the lane in one act.
	maxPublished = 100
	// answerWithin is less than whoever asks waits.
	answerWithin = 15 * time.Second
	// maxAtOnce bounds what is rehearsed and replayed at the same time: each holds a
	// connection and the rows of a chunk.
	maxAtOnce = 2
)

// Service answers operators.
type Service struct {
	Options

	room chan struct{}
}

// New makes a Service.
func New(o Options) *Service { return &Service{Options: o, room: make(chan struct{}, maxAtOnce)} }

// answer has do answer within time and its turn, and tells an error as a problem.
func (s *Service) answer(ctx context.Context, act string, do func(context.Context) (any, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	select {
	case s.room <- struct{}{}:
		defer func() { <-s.room }()
	case <-ctx.Done():
		return refuse(problem.New(problem.RowsBusy, "others rehearse and replay, and no turn came"))
	}
	document, err := do(ctx)
	if err == nil {
		return write(document)
	}
	p := s.problemOf(err)
	if p.Cause != nil {
		s.Log.WarnContext(ctx, "a replay failed", "act", act, "error", p)
	}
	return refuse(p)
}
