package operator

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

type toldDocument struct {
	Subscriber       string      `json:"subscriber"`
	MchID            string      `json:"mchid"`
	OutTradeNo       string      `json:"out_trade_no"`
	AcknowledgedUpTo uint64      `json:"acknowledged_up_to"`
	Events           []toldEvent `json:"events"`
}

type toldEvent struct {
	EventID        string    `json:"event_id"`
	Fact           string    `json:"fact"`
	CreatedAt      time.Time `json:"created_at"`
	PublishedAt    time.Time `json:"published_at,omitzero"`
	StreamSequence uint64    `json:"stream_sequence,omitempty"`
	Told           string    `json:"told"`
	At             time.Time `json:"at,omitzero"`
}

// told answers whether a subscriber has acknowledged what an order told of.
func (a *API) told(w http.ResponseWriter, c *call) error {
	s, err := a.namedSubscriber(w, c)
	if err != nil {
		return err
	}
	text, mchid := pathValue(c.Request, "out_trade_no"), c.query.mchid()
	if mchid != "" && mchid != s.MchID {
		c.query.bad("mchid", "is %s; %s is told of merchant %s", mchid, s.Name, s.MchID)
	}
	if !isNumber(text) {
		c.query.bad("out_trade_no", "must be 1 to %d visible ASCII characters", maxNumber)
	}
	if err := c.query.done(); err != nil {
		return err
	}
	no := pay.OutTradeNo(text)
	note(w, slog.String("out_trade_no", text))
	events, err := a.eventsOf(c.Context(), s.MchID, no)
	if err != nil {
		return err
	}
	of, err := a.tell(c.Context(), []pay.Subscriber{s}, events)
	if err != nil {
		return err
	}
	d := toldDocument{string(s.Name), string(s.MchID), text, of.floors[0], []toldEvent{}}
	for i, e := range events {
		d.Events = append(d.Events, toldEvent{e.EventID, e.What, e.At, e.PublishedAt, e.StreamSequence, string(of.told[0][i].told), of.told[0][i].at})
	}
	return answer(w, d)
}

// eventsOf are the events of an order that there is.
func (a *API) eventsOf(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) ([]pay.Moment, error) {
	_, there, err := a.Books.Story(ctx, mchid, no)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read story: %w", err)
	case !there:
		return nil, problem.Newf(problem.UnknownNumber, "merchant %s has no order of this out_trade_no", mchid)
	}
	timeline, err := a.Books.Timeline(ctx, mchid, no)
	if err != nil {
		return nil, fmt.Errorf("read timeline: %w", err)
	}
	return eventsIn(timeline), nil
}

func eventsIn(timeline []pay.Moment) []pay.Moment {
	var events []pay.Moment
	for _, m := range timeline {
		if m.Kind == pay.MomentEvent {
			events = append(events, m)
		}
	}
	return events
}

// telling says of each subscriber and each event whether it was told.
type telling struct {
	floors []uint64
	told   [][]toldAt
}

type toldAt struct {
	told pay.Told
	at   time.Time
}

// tell puts together what the broker says now and what samples say of before.
func (a *API) tell(ctx context.Context, subscribers []pay.Subscriber, events []pay.Moment) (telling, error) {
	looked, err := a.look(ctx, subscribers, each(events, func(m pay.Moment) positionAsked { return positionAsked{m.EventID, m.StreamSequence} }), false)
	if err != nil {
		return telling{}, err
	}
	questions := make([]pay.AckQuestion, 0, len(subscribers)*len(events))
	for _, s := range subscribers {
		for _, m := range events {
			questions = append(questions, pay.AckQuestion{SubscriberID: s.ID, StreamAt: looked.StreamAt, Sequence: m.StreamSequence, PublishedAt: m.PublishedAt})
		}
	}
	seen, err := a.Books.FirstAcks(ctx, questions)
	if err != nil {
		return telling{}, fmt.Errorf("read samples: %w", err)
	}
	of := telling{floors: make([]uint64, len(subscribers)), told: make([][]toldAt, len(subscribers))}
	for i, s := range subscribers {
		of.floors[i] = looked.Consumers[i].Floor
		for j, m := range events {
			told, at := s.Tell(pay.ToldEvidence{
				Fact: pay.Fact(m.What), PublishedAt: m.PublishedAt, Sequence: m.StreamSequence, Position: looked.Positions[j],
				StreamAt: looked.StreamAt, Floor: looked.Consumers[i].Floor, SeenAt: seen[i*len(events)+j],
			})
			of.told[i] = append(of.told[i], toldAt{told, at})
		}
	}
	return of, nil
}

type acknowledgedDocument struct {
	Subscriber string    `json:"subscriber"`
	At         time.Time `json:"at,omitzero"`
}

// Whether a story says who was told.
const (
	acknowledgementsKnown   = "known"
	acknowledgementsUnknown = "unknown"
)

// toldIn adds to a story which subscribers have acknowledged each event. A broker or a
// worker that is away breaks no story: it says that it does not know.
func (a *API) toldIn(ctx context.Context, w http.ResponseWriter, mchid pay.MchID, d *storyDocument) error {
	subscribers, err := a.Books.Subscribers(ctx, pay.SubscriberFilter{MchID: mchid, Limit: maxPerPage})
	if err != nil {
		return fmt.Errorf("read subscribers: %w", err)
	}
	var events []pay.Moment
	var places []int
	for i, m := range d.Timeline {
		if m.Kind == pay.MomentEvent {
			events, places = append(events, pay.Moment{What: m.What, EventID: m.EventID, PublishedAt: m.PublishedAt, StreamSequence: m.StreamSequence}), append(places, i)
		}
	}
	if len(subscribers) == 0 || len(events) == 0 {
		return nil
	}
	of, err := a.tell(ctx, subscribers, events)
	if err != nil {
		note(w, slog.String("acknowledgements", err.Error()))
		d.Acknowledgements = acknowledgementsUnknown
		return nil
	}
	d.Acknowledgements = acknowledgementsKnown
	for j, place := range places {
		for i, s := range subscribers {
			m := &d.Timeline[place]
			switch of.told[i][j].told {
			case pay.ToldAcknowledged:
				m.AcknowledgedBy = append(m.AcknowledgedBy, acknowledgedDocument{string(s.Name), of.told[i][j].at})
			case pay.ToldNotYet, pay.ToldNotPublished:
				m.ToldNotYet = append(m.ToldNotYet, string(s.Name))
			default: // of the others nothing is said
			}
		}
	}
	return nil
}
