package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// maxTail is the most events of one page, as schema/openapi.yaml says.
const maxTail = 500

// eventQuestion is how the console asks for events.
type eventQuestion struct {
	MchID  string    `json:"mchid"`
	Fact   string    `json:"fact"`
	Latest bool      `json:"latest"`
	After  uint64    `json:"after"`
	Stream time.Time `json:"stream"`
	Since  time.Time `json:"since"`
	Limit  int       `json:"limit"`
}

// eventAnswer is a page of the stream on its way to the console.
type eventAnswer struct {
	Events    []eventDocument `json:"events"`
	Stream    streamDocument  `json:"stream"`
	Restarted bool            `json:"restarted"`
	Gaps      []gapDocument   `json:"gaps"`
	More      bool            `json:"more"`
	Next      uint64          `json:"next"`
}

type eventDocument struct {
	Sequence   uint64          `json:"sequence"`
	StoredAt   time.Time       `json:"stored_at"`
	MchID      string          `json:"mchid"`
	Fact       string          `json:"fact"`
	Event      json.RawMessage `json:"event,omitempty"`
	Unreadable string          `json:"unreadable,omitempty"`
}

type streamDocument struct {
	MadeAt time.Time `json:"made_at"`
	First  uint64    `json:"first_sequence"`
	Last   uint64    `json:"last_sequence"`
}

type gapDocument struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// tailEvents answers the console with events as they stand in the stream.
func (w *worker) tailEvents(ctx context.Context, raw []byte) ([]byte, error) {
	var q eventQuestion
	if err := json.Unmarshal(raw, &q); err != nil {
		return problem.WriteRefusal(problem.Wrap(problem.Malformed, err, ""))
	}
	page, err := w.parts.bus.ReadEvents(ctx, pay.EventQuery{
		MchID: pay.MchID(q.MchID), Fact: pay.Fact(q.Fact), Latest: q.Latest, After: q.After, Stream: q.Stream, Since: q.Since,
		Limit: min(max(q.Limit, 1), maxTail),
	})
	var beyond *bus.BeyondEndError
	switch {
	case errors.As(err, &beyond):
		return problem.WriteRefusal(problem.Newf(problem.BeyondEnd, "it ends with sequence %d, and what comes after %d was asked for", beyond.Last, beyond.After))
	case err != nil:
		return problem.WriteRefusal(problem.Wrap(problem.BrokerUnavailable, err, "the stream of events cannot be read"))
	}
	answer := eventAnswer{
		Events: []eventDocument{}, Gaps: []gapDocument{}, Stream: streamDocument{page.StreamMade, page.First, page.Last},
		Restarted: page.Restarted, More: page.More, Next: page.Next,
	}
	for _, e := range page.Events {
		answer.Events = append(answer.Events, eventOf(e))
	}
	for _, g := range page.Gaps {
		answer.Gaps = append(answer.Gaps, gapDocument(g))
	}
	return problem.WriteAnswer(http.StatusOK, answer)
}

// eventOf shows what subscribers get. What is no JSON object is only told of:
// it is nothing of fenflow's.
func eventOf(e pay.StoredEvent) eventDocument {
	mchid, fact := bus.FactOf(e.Subject)
	d := eventDocument{Sequence: e.Sequence, StoredAt: e.StoredAt, MchID: string(mchid), Fact: string(fact)}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(e.Payload, &object); err != nil || object == nil {
		d.Unreadable = fmt.Sprintf("the message of %d bytes is no JSON object", len(e.Payload))
		return d
	}
	d.Event = e.Payload
	return d
}
