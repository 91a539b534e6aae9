package operator

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Subscribers are the business systems that are told of events.
type Subscribers interface {
	AddSubscriber(ctx context.Context, s pay.Subscriber, startStoredAt time.Time, reason string) (pay.Subscriber, pay.SubscriberOutcome, error)
	RemoveSubscriber(ctx context.Context, id, actor, reason string, unacknowledged *uint64) (bool, error)
	Subscribers(ctx context.Context, f pay.SubscriberFilter) ([]pay.Subscriber, error)
	Subscriber(ctx context.Context, name pay.SubscriberName) (pay.Subscriber, bool, error)
	FirstAcks(ctx context.Context, questions []pay.AckQuestion) ([]time.Time, error)
	LastAcks(ctx context.Context, ids []string) (map[string]pay.AckSample, error)
}

func (a *API) routeSubscribers(r chi.Router) {
	a.routeMethods(r, "/operator/v1/subscribers", map[string]handler{http.MethodGet: a.listSubscribers, http.MethodPost: a.addSubscriber})
	a.route(r, http.MethodGet, "/operator/v1/subscribers/{name}", a.subscriber)
	a.route(r, http.MethodPost, "/operator/v1/subscribers/{name}/remove", a.removeSubscriber)
	a.route(r, http.MethodGet, "/operator/v1/subscribers/{name}/told/{out_trade_no}", a.told)
}

type subscriberDocument struct {
	Name        string            `json:"name"`
	MchID       string            `json:"mchid"`
	NKey        string            `json:"nkey"`
	Facts       []string          `json:"facts,omitempty"`
	FromAt      time.Time         `json:"from_at,omitzero"`
	CreatedAt   time.Time         `json:"created_at"`
	CreatedBy   string            `json:"created_by"`
	LastSample  *sampleDocument   `json:"last_sample,omitempty"`
	Consumer    *consumerDocument `json:"consumer,omitempty"`
	Connect     *connectDocument  `json:"connect,omitempty"`
	NATSAccount string            `json:"nats_account,omitempty"`
}

type sampleDocument struct {
	AcknowledgedUpTo uint64    `json:"acknowledged_up_to"`
	At               time.Time `json:"at"`
}

type consumerDocument struct {
	State                  string    `json:"state"`
	AcknowledgedUpTo       uint64    `json:"acknowledged_up_to"`
	LastEvent              uint64    `json:"last_event"`
	Pending                uint64    `json:"pending"`
	AckPending             uint64    `json:"ack_pending"`
	Redelivered            uint64    `json:"redelivered"`
	LastAcknowledgedAt     time.Time `json:"last_acknowledged_at,omitzero"`
	OldestUnacknowledgedAt time.Time `json:"oldest_unacknowledged_at,omitzero"`
}

// connectDocument is what a business system must set beside its key.
type connectDocument struct {
	Stream      string `json:"stream"`
	Consumer    string `json:"consumer"`
	APIPrefix   string `json:"api_prefix"`
	InboxPrefix string `json:"inbox_prefix"`
}

type subscriberPage struct {
	Subscribers []subscriberDocument `json:"subscribers"`
	NextCursor  string               `json:"next_cursor,omitempty"`
}

func (a *API) listSubscribers(w http.ResponseWriter, c *call) error {
	q := c.query
	after := q.cursor("subscribers", func(c cursor) bool { return uuidShape.MatchString(c.ID) })
	f := pay.SubscriberFilter{MchID: q.mchid(), Since: q.since(), AfterAt: after.At, AfterID: after.ID}
	limit := q.limit()
	f.Limit = limit + 1 // the one more says whether there is another page
	if err := q.done(); err != nil {
		return err
	}
	subscribers, err := a.Books.Subscribers(c.Context(), f)
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	subscribers, next := page(subscribers, limit, func(s pay.Subscriber) cursor {
		return cursor{Of: "subscribers", At: s.CreatedAt, ID: s.ID}
	})
	documents, err := a.described(c.Context(), w, subscribers, false)
	if err != nil {
		return err
	}
	return answer(w, subscriberPage{documents, next})
}

func (a *API) subscriber(w http.ResponseWriter, c *call) error {
	s, err := a.namedSubscriber(w, c)
	if err != nil {
		return err
	}
	if err := c.query.done(); err != nil {
		return err
	}
	documents, err := a.described(c.Context(), w, []pay.Subscriber{s}, true)
	if err != nil {
		return err
	}
	return answer(w, withAccount(documents[0], s))
}

// namedSubscriber finds the living subscriber that the address names.
func (a *API) namedSubscriber(w http.ResponseWriter, c *call) (pay.Subscriber, error) {
	text := pathValue(c.Request, "name")
	name, err := pay.ParseSubscriberName(text)
	if err != nil { // such a name nobody has
		return pay.Subscriber{}, problem.Newf(problem.UnknownSubscriber, "%s", shown(text))
	}
	note(w, slog.String("subscriber", string(name)))
	s, found, err := a.Books.Subscriber(c.Context(), name)
	switch {
	case err != nil:
		return pay.Subscriber{}, err //nolint:wrapcheck // the step is the route, which the log line names
	case !found || !s.RemovedAt.IsZero():
		return pay.Subscriber{}, problem.Newf(problem.UnknownSubscriber, "%s", name)
	}
	return s, nil
}

// described adds how far each is: by the latest sample, and by the broker, where a
// worker answers.
func (a *API) described(ctx context.Context, w http.ResponseWriter, subscribers []pay.Subscriber, oldest bool) ([]subscriberDocument, error) {
	last, err := a.Books.LastAcks(ctx, each(subscribers, func(s pay.Subscriber) string { return s.ID }))
	if err != nil {
		return nil, err //nolint:wrapcheck // the step is the route, which the log line names
	}
	documents := each(subscribers, subscriberOf)
	for i, s := range subscribers {
		if sample, there := last[s.ID]; there {
			documents[i].LastSample = &sampleDocument{sample.Floor, sample.At}
		}
	}
	if len(subscribers) == 0 {
		return documents, nil
	}
	looked, err := a.look(ctx, subscribers, nil, oldest)
	if err != nil {
		note(w, slog.String("consumers", err.Error()))
		return documents, nil
	}
	for i := range documents {
		documents[i].Consumer = looked.consumer(i)
	}
	return documents, nil
}

func subscriberOf(s pay.Subscriber) subscriberDocument {
	return subscriberDocument{
		Name: string(s.Name), MchID: string(s.MchID), NKey: s.NKey, Facts: each(s.Facts, func(f pay.Fact) string { return string(f) }),
		FromAt: s.From, CreatedAt: s.CreatedAt, CreatedBy: s.CreatedBy,
	}
}

// withAccount adds what NATS and the business system need.
func withAccount(d subscriberDocument, s pay.Subscriber) subscriberDocument {
	d.Connect = &connectDocument{Stream: "EVENT", Consumer: string(s.Name), APIPrefix: "fenflow.events", InboxPrefix: "_INBOX_" + string(s.Name)}
	d.NATSAccount = NATSAccount(s)
	return d
}
