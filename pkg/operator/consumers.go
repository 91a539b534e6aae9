package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// A worker answers three questions about subscribers' consumers:
//
//	{"do":"start","name","mchid","from"} → {"stream_at","after","stored_at","from"}
//	{"do":"keep","subscriber_id"}        → {"there"}
//	{"do":"look","of","positions"}       → lookedAnswer

// lookWithin bounds what is shown beside other things: those come without it then.
const lookWithin = 3 * time.Second

type lookQuestion struct {
	Do        string          `json:"do"`
	Of        []lookedAt      `json:"of"`
	Positions []positionAsked `json:"positions"`
}

type lookedAt struct {
	ID     string   `json:"subscriber_id"`
	Name   string   `json:"name"`
	MchID  string   `json:"mchid"`
	Facts  []string `json:"facts,omitempty"`
	Oldest bool     `json:"oldest,omitempty"`
}

type positionAsked struct {
	EventID  string `json:"event_id"`
	Sequence uint64 `json:"sequence"`
}

type lookedAnswer struct {
	StreamAt  time.Time           `json:"stream_at"`
	Last      uint64              `json:"last"`
	Consumers []lookedConsumer    `json:"consumers"`
	Positions []pay.PositionState `json:"positions"`
}

type lookedConsumer struct {
	There       bool      `json:"there"`
	Floor       uint64    `json:"floor"`
	LastAckAt   time.Time `json:"last_ack_at"`
	Pending     uint64    `json:"pending"`
	AckPending  uint64    `json:"ack_pending"`
	Redelivered uint64    `json:"redelivered"`
	OldestAt    time.Time `json:"oldest_at"`
}

// look asks a worker how far subscribers are, and what stands at positions of events.
func (a *API) look(ctx context.Context, subscribers []pay.Subscriber, positions []positionAsked, oldest bool) (lookedAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	q := lookQuestion{Do: "look", Positions: positions, Of: each(subscribers, func(s pay.Subscriber) lookedAt {
		return lookedAt{s.ID, string(s.Name), string(s.MchID), each(s.Facts, func(f pay.Fact) string { return string(f) }), oldest}
	})}
	looked, err := askFor[lookedAnswer](ctx, a, subjectSubscriber, q, askAgain)
	if errors.Is(err, context.DeadlineExceeded) {
		err = problem.Wrap(problem.NoWorker, err, "no answer came within "+lookWithin.String())
	}
	if err == nil && (len(looked.Consumers) != len(subscribers) || len(looked.Positions) != len(positions)) {
		err = problem.Wrap(problem.Internal, fmt.Errorf("the worker answers about %d of %d subscribers", len(looked.Consumers), len(subscribers)), "")
	}
	return looked, err
}

// consumer is what is shown of one.
func (l lookedAnswer) consumer(i int) *consumerDocument {
	c := l.Consumers[i]
	if !c.There {
		return &consumerDocument{State: "missing", LastEvent: l.Last}
	}
	return &consumerDocument{
		State: "ready", AcknowledgedUpTo: c.Floor, LastEvent: l.Last, Pending: c.Pending, AckPending: c.AckPending, Redelivered: c.Redelivered,
		LastAcknowledgedAt: c.LastAckAt, OldestUnacknowledgedAt: c.OldestAt,
	}
}
