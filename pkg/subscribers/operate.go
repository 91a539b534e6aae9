package subscribers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// What the console asks.
const (
	doStart = "start" // where would a new subscriber begin?
	doKeep  = "keep"  // make or delete the consumer of this one now
	doLook  = "look"  // how far are these, and what stands at these positions?
)

type question struct {
	Do        string          `json:"do"`
	Name      string          `json:"name,omitempty"`
	MchID     string          `json:"mchid,omitempty"`
	From      string          `json:"from,omitempty"` // all, now, or an instant of RFC 3339
	ID        string          `json:"subscriber_id,omitempty"`
	Of        []lookedAt      `json:"of,omitempty"`
	Positions []positionAsked `json:"positions,omitempty"`
}

type lookedAt struct {
	ID     string   `json:"subscriber_id"`
	Name   string   `json:"name"`
	MchID  string   `json:"mchid,omitempty"`
	Facts  []string `json:"facts,omitempty"`
	Oldest bool     `json:"oldest,omitempty"` // find the oldest event that is not acknowledged
}

type positionAsked struct {
	EventID  string `json:"event_id"`
	Sequence uint64 `json:"sequence"`
}

type startAnswer struct {
	StreamAt time.Time `json:"stream_at"`
	After    uint64    `json:"after"`
	StoredAt time.Time `json:"stored_at,omitzero"` // of the message at After
	From     time.Time `json:"from,omitzero"`
}

type keepAnswer struct {
	There bool `json:"there"` // the consumer
}

type lookAnswer struct {
	StreamAt  time.Time           `json:"stream_at"`
	Last      uint64              `json:"last"`
	Consumers []consumerAnswer    `json:"consumers"` // as asked
	Positions []pay.PositionState `json:"positions"` // as asked
}

type consumerAnswer struct {
	There       bool      `json:"there"`
	Floor       uint64    `json:"floor"`
	LastAckAt   time.Time `json:"last_ack_at,omitzero"`
	Pending     uint64    `json:"pending"`
	AckPending  uint64    `json:"ack_pending"`
	Redelivered uint64    `json:"redelivered"`
	OldestAt    time.Time `json:"oldest_at,omitzero"`
}

// Operate answers the console.
func (k *Keeper) Operate(ctx context.Context, raw []byte) ([]byte, error) {
	var q question
	if err := json.Unmarshal(raw, &q); err != nil {
		return problem.WriteRefusal(problem.Wrap(problem.Malformed, err, "")) //nolint:wrapcheck // it says what failed
	}
	var document any
	var err error
	switch q.Do {
	case doStart:
		document, err = k.answerStart(ctx, q)
	case doKeep:
		document, err = k.answerKeep(ctx, q)
	case doLook:
		document, err = k.answerLook(ctx, q)
	default:
		err = problem.New(problem.Malformed, "this worker does not know what to do; compare the versions of console and worker")
	}
	if err != nil {
		return problem.WriteRefusal(err) //nolint:wrapcheck // it says what failed
	}
	return problem.WriteAnswer(http.StatusOK, document) //nolint:wrapcheck // it says what failed
}

// answerStart finds where a new subscriber begins, and refuses one that could not.
func (k *Keeper) answerStart(ctx context.Context, q question) (startAnswer, error) {
	name, err := pay.ParseSubscriberName(q.Name)
	if err != nil {
		return startAnswer{}, problem.InvalidFields(problem.Field{Field: "name", Message: err.Error()})
	}
	if !k.known(pay.MchID(q.MchID)) {
		return startAnswer{}, problem.InvalidFields(problem.Field{Field: "mchid", Message: "is no merchant that the worker is configured with"})
	}
	state, there, err := k.broker.SubscriberState(ctx, name)
	switch {
	case err != nil:
		return startAnswer{}, brokerAway(err)
	case there && state.SubscriberID == "":
		return startAnswer{}, problem.Newf(problem.SubscriberTaken, "the stream of events has a consumer %s that fenflow did not make", name)
	}
	stream, err := k.broker.EventStream(ctx)
	if err != nil {
		return startAnswer{}, brokerAway(err)
	}
	a := startAnswer{StreamAt: stream.CreatedAt}
	switch q.From {
	case "all":
		a.After = max(stream.First, 1) - 1
	case "now":
		a.After, a.From = stream.Last, time.Now().UTC()
	default:
		if a.From, err = time.Parse(time.RFC3339, q.From); err != nil {
			return startAnswer{}, problem.InvalidFields(problem.Field{Field: "from", Message: "is neither all, now, nor an instant of RFC 3339"})
		}
		if a.After, err = k.broker.EventsBefore(ctx, a.From); err != nil {
			return startAnswer{}, brokerAway(err)
		}
	}
	at, err := k.broker.EventsAt(ctx, []uint64{a.After})
	if err != nil {
		return startAnswer{}, brokerAway(err)
	}
	a.StoredAt = at[0].StoredAt
	return a, nil
}

// answerKeep looks at one subscriber now, and does not wait until it is due.
func (k *Keeper) answerKeep(ctx context.Context, q question) (keepAnswer, error) {
	s, found, err := k.books.KeptSubscriber(ctx, q.ID)
	switch {
	case err != nil:
		return keepAnswer{}, k.booksFailed(err)
	case !found:
		return keepAnswer{}, nil // removed, and its consumer with it
	}
	if err := k.Keep(ctx, s); err != nil {
		return keepAnswer{}, brokerAway(err)
	}
	return keepAnswer{There: s.RemovedAt.IsZero()}, nil
}

func (k *Keeper) answerLook(ctx context.Context, q question) (lookAnswer, error) {
	stream, err := k.broker.EventStream(ctx)
	if err != nil {
		return lookAnswer{}, brokerAway(err)
	}
	a := lookAnswer{StreamAt: stream.CreatedAt, Last: stream.Last, Consumers: make([]consumerAnswer, len(q.Of)), Positions: make([]pay.PositionState, len(q.Positions))}
	if err := k.lookAtPositions(ctx, stream, q.Positions, a.Positions); err != nil {
		return lookAnswer{}, err
	}
	for i, of := range q.Of {
		if a.Consumers[i], err = k.lookAt(ctx, of); err != nil {
			return lookAnswer{}, err
		}
	}
	return a, nil
}

func (k *Keeper) lookAtPositions(ctx context.Context, stream pay.EventStream, asked []positionAsked, into []pay.PositionState) error {
	sequences := make([]uint64, len(asked))
	for i, p := range asked {
		sequences[i] = p.Sequence
	}
	found, err := k.broker.EventsAt(ctx, sequences)
	if err != nil {
		return brokerAway(err)
	}
	for i, p := range asked {
		switch {
		case found[i].EventID != "" && found[i].EventID == p.EventID:
			into[i] = pay.PositionHolds
		case found[i].Sequence == 0 && p.Sequence < stream.First:
			into[i] = pay.PositionGone
		default:
			into[i] = pay.PositionOther
		}
	}
	return nil
}

func (k *Keeper) lookAt(ctx context.Context, of lookedAt) (consumerAnswer, error) {
	state, there, err := k.broker.SubscriberState(ctx, pay.SubscriberName(of.Name))
	if err != nil {
		return consumerAnswer{}, brokerAway(err)
	}
	if !there || state.SubscriberID != of.ID { // a former one of that name is as good as none
		return consumerAnswer{}, nil
	}
	a := consumerAnswer{
		There: true, Floor: state.Floor, LastAckAt: state.LastAckAt, Pending: state.Pending, AckPending: state.AckPending, Redelivered: state.Redelivered,
	}
	if of.Oldest && state.Outstanding() > 0 {
		s := pay.Subscriber{Name: pay.SubscriberName(of.Name), MchID: pay.MchID(of.MchID)}
		for _, f := range of.Facts {
			s.Facts = append(s.Facts, pay.Fact(f))
		}
		oldest, _, err := k.broker.FirstEvent(ctx, s, state.Floor+1)
		if err != nil {
			return consumerAnswer{}, brokerAway(err)
		}
		a.OldestAt = oldest.StoredAt
	}
	return a, nil
}

func brokerAway(err error) error {
	return problem.Wrap(problem.BrokerUnavailable, err, "the stream of events could not be asked")
}

func (k *Keeper) booksFailed(err error) error {
	if k.retryable(err) {
		return problem.Wrap(problem.DatabaseUnavailable, err, "")
	}
	return problem.Wrap(problem.Internal, fmt.Errorf("read subscriber: %w", err), "")
}
