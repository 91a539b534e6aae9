package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

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

// errBusy is what a caller is told when too many ask at once.
var errBusy = errors.New("too many ask at the same time; ask again in a moment")

const (
	// maxWaiting bounds the requests of a subject that wait for a place. The front
	// door's come from strangers: they must not fill this process, nor a queue that
	// is worked through long after they left.
	maxWaiting = 4 * maxServing
	// waitsAtMost: callers wait 4.5 to 8 s for their answer, and the work takes its
	// part of that. What begins later is done for nobody, and may spend a login code.
	waitsAtMost = 3 * time.Second
)

// ServeService answers requests on several subjects as Serve does, as one NATS
// service, so that the broker's tools find it and show what it does: `nats micro
// ls`, `nats micro info NAME`, `nats micro stats NAME`. The last word of a subject
// names its endpoint. It blocks until ctx ends; what is being answered then is
// finished.
func (b *Bus) ServeService(ctx context.Context, c ServiceConfig, handlers map[string]Handler) error {
	s := &service{bus: b, endpoints: map[string]*endpoint{}}
	for subject, handle := range handlers {
		s.endpoints[subject] = newEndpoint(subject, handle)
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

// take hands a request to a goroutine of its own, which waits for a place; it never
// waits itself, so that the broker's client holds no queue of old requests. Answers go
// past micro.Request, which is for one goroutine; so the counts that matter are the
// endpoint's.
func (s *service) take(ctx context.Context, e *endpoint, r micro.Request) {
	if !isInbox(r.Reply()) {
		return
	}
	if !s.begin() {
		s.answer(r, nil, errStopping)
		return
	}
	select {
	case e.line <- struct{}{}:
	default:
		s.underWay.Done()
		e.count(errBusy)
		s.answer(r, nil, errBusy)
		return
	}
	go func() {
		defer s.underWay.Done()
		defer func() { <-e.line }()
		data, err := e.serve(ctx, r.Data())
		e.count(err)
		s.answer(r, data, err)
	}()
}

func (s *service) answer(r micro.Request, data []byte, failure error) {
	msg := &nats.Msg{Subject: r.Reply(), Data: data, Header: nats.Header{}}
	if failure != nil {
		level := slog.LevelWarn
		if errors.Is(failure, errBusy) { // the caller logs it; a flood fills one log, not two
			level = slog.LevelDebug
		}
		s.bus.log.Log(context.Background(), level, "request failed", "subject", r.Subject(), "error", failure)
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
	line    chan struct{} // maxServing and maxWaiting together
	room    chan struct{} // maxServing at the same time

	mu               sync.Mutex
	answered, failed int64
}

func newEndpoint(subject string, handle Handler) *endpoint {
	return &endpoint{subject: subject, handle: handle, line: make(chan struct{}, maxServing+maxWaiting), room: make(chan struct{}, maxServing)}
}

// serve waits for a place, for a while, and then has the request answered.
func (e *endpoint) serve(ctx context.Context, question []byte) ([]byte, error) {
	patience, enough := context.WithTimeout(ctx, waitsAtMost)
	defer enough()
	select {
	case e.room <- struct{}{}:
		defer func() { <-e.room }()
		return safely(ctx, question, e.handle)
	case <-patience.Done():
	}
	if ctx.Err() != nil {
		return nil, errStopping
	}
	return nil, errBusy
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
