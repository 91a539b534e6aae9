package bus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// ServiceConfig says what NATS shows of a service.
type ServiceConfig struct {
	Name        string
	Version     string // of the program; what is no version counts as 0.0.0
	Description string
}

// Handler answers one request; its error reaches the caller as ErrRemote.
type Handler = func(context.Context, []byte) ([]byte, error)

// errStopping is what a caller is told whose request came too late: it asks again,
// and another worker answers.
var errStopping = errors.New("this worker is stopping; ask again")

// ServeService answers requests on several subjects as Serve does, as one NATS
// service, so that the broker's tools find it and show what it does: `nats micro
// ls`, `nats micro info NAME`, `nats micro stats NAME`. The last word of a subject
// names its endpoint. It blocks until ctx ends; what is being answered then is
// finished.
func (b *Bus) ServeService(ctx context.Context, c ServiceConfig, handlers map[string]Handler) error {
	s := &service{bus: b, endpoints: map[string]*endpoint{}}
	for subject, handle := range handlers {
		s.endpoints[subject] = &endpoint{subject: subject, handle: handle, room: make(chan struct{}, maxServing)}
	}
	made, err := micro.AddService(b.conn, micro.Config{
		Name: c.Name, Version: serviceVersion(c.Version), Description: c.Description, QueueGroup: queueGroup,
		StatsHandler: func(e *micro.Endpoint) any { return s.endpoints[e.Subject].told() },
	})
	if err != nil {
		return fmt.Errorf("serve %s: %w", c.Name, classify(err))
	}
	for subject, e := range s.endpoints {
		name := subject[strings.LastIndexByte(subject, '.')+1:]
		if err = made.AddEndpoint(name, micro.HandlerFunc(func(r micro.Request) { s.take(ctx, e, r) }), micro.WithEndpointSubject(subject)); err != nil {
			err = fmt.Errorf("serve %s: %w", subject, classify(err))
			break
		}
	}
	if err == nil {
		<-ctx.Done()
		err = context.Cause(ctx)
	}
	_ = made.Stop() // fails only when the connection is closed
	s.finish()
	return err
}

// service is one life of a NATS service.
type service struct {
	bus       *Bus
	endpoints map[string]*endpoint

	mu       sync.Mutex
	stopping bool
	underWay sync.WaitGroup
}

// begin counts a request as under way; false: the end has begun.
func (s *service) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.underWay.Add(1)
	return true
}

func (s *service) finish() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.underWay.Wait()
}

// take hands a request to a goroutine of its own, when there is room: requests of
// one subject come one after the other. Answers go past micro.Request, which is for
// one goroutine; so the counts that matter are the endpoint's.
func (s *service) take(ctx context.Context, e *endpoint, r micro.Request) {
	if !isInbox(r.Reply()) {
		return
	}
	if !s.begin() {
		s.answer(r, nil, errStopping)
		return
	}
	select {
	case e.room <- struct{}{}:
	case <-ctx.Done():
		s.underWay.Done()
		s.answer(r, nil, errStopping)
		return
	}
	go func() {
		defer s.underWay.Done()
		defer func() { <-e.room }()
		data, err := safely(ctx, r.Data(), e.handle)
		e.count(err)
		s.answer(r, data, err)
	}()
}

func (s *service) answer(r micro.Request, data []byte, failure error) {
	msg := &nats.Msg{Subject: r.Reply(), Data: data, Header: nats.Header{}}
	if failure != nil {
		s.bus.log.Warn("request failed", "subject", r.Subject(), "error", failure)
		msg.Header.Set(headerError, failure.Error())
	}
	if err := s.bus.conn.PublishMsg(msg); err != nil {
		s.bus.log.Warn("no answer to a request", "subject", r.Subject(), "error", err)
	}
}

// endpoint is one subject and what became of its requests.
type endpoint struct {
	subject string
	handle  Handler
	room    chan struct{} // maxServing at the same time

	mu               sync.Mutex
	answered, failed int64
}

func (e *endpoint) count(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.failed++
	} else {
		e.answered++
	}
}

// endpointStats is what the broker's tools show beside their own counts, which are
// of requests that arrived.
type endpointStats struct {
	Answered int64 `json:"answered"`
	Failed   int64 `json:"failed"`
	UnderWay int   `json:"under_way"`
}

func (e *endpoint) told() endpointStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return endpointStats{Answered: e.answered, Failed: e.failed, UnderWay: len(e.room)}
}

// serviceVersion is a version as a NATS service must have one.
func serviceVersion(v string) string {
	v = strings.TrimPrefix(v, "v")
	if !regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$`).MatchString(v) {
		return "0.0.0"
	}
	return v
}
