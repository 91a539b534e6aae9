package subscribe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrClosed is what Run returns after Close.
var ErrClosed = errors.New("the inbox is closed")

// flushTimeout bounds how long a stop waits for its last acknowledgements to leave.
const flushTimeout = 2 * time.Second

// Inbox takes the events of one consumer. Close it after use.
type Inbox struct {
	o     Options
	table string // quoted
	conn  *nats.Conn
	js    jetstream.JetStream
	pace  pace
	at    func(Step) // called when a step is done: where tests kill the process

	mu       sync.Mutex
	closed   bool
	stop     context.CancelFunc // of the Run under way
	stopped  chan struct{}      // closed when it has ended
	renew    context.CancelFunc // of the pull under way
	awayTold time.Time
}

// pace is every span that is not the caller's to choose.
type pace struct {
	pull        time.Duration // how long one request for events stays open
	heartbeat   time.Duration // of the broker meanwhile; two missing ones end it
	linger      time.Duration // of a request at a stop, for events that are on their way
	lookUp      time.Duration // time-out of finding the consumer
	alive       time.Duration // between signs of life for an event in work; 0: a third of the broker's patience
	first, last time.Duration // pauses while the broker or the database is away
	conflict    time.Duration // first pause of a transaction that lost against another
	prune       time.Duration
}

func defaultPace() pace {
	return pace{
		pull: 30 * time.Second, heartbeat: 5 * time.Second, linger: 250 * time.Millisecond, lookUp: 5 * time.Second,
		first: 250 * time.Millisecond, last: 10 * time.Second, conflict: 2 * time.Millisecond, prune: pruneEvery,
	}
}

// away is the pause after the nth failure in a row, from 0, of broker or database.
func (p pace) away(n int) time.Duration { return doubled(p.first, p.last, n) }

// Open connects to the broker. It also succeeds while the broker is away;
// only wrong options and refused credentials are errors.
func Open(ctx context.Context, o Options) (*Inbox, error) {
	if err := errors.Join(ctx.Err(), o.check()); err != nil {
		return nil, fmt.Errorf("open inbox: %w", err)
	}
	i := &Inbox{o: o.orDefaults(), pace: defaultPace(), at: func(Step) {}}
	var err error
	if i.table, err = quoted(i.o.Table); err != nil {
		return nil, fmt.Errorf("open inbox: %w", err)
	}
	if err := i.connect(); err != nil {
		return nil, fmt.Errorf("open inbox: %w", err)
	}
	if i.js, err = jetstream.NewWithAPIPrefix(i.conn, i.o.APIPrefix); err != nil {
		i.conn.Close()
		return nil, fmt.Errorf("open inbox: API prefix %q: %w", i.o.APIPrefix, err)
	}
	return i, nil
}

// Run hands events to handle until ctx ends or the inbox is closed, and then
// finishes those in hand. It returns nil then: a broker or a database that is
// away, a consumer that is missing and a handler that fails are reported and
// tried again without end.
func (i *Inbox) Run(ctx context.Context, handle Handler) error {
	if handle == nil {
		return errors.New("run inbox: the handler is missing")
	}
	ctx, ended, err := i.begin(ctx)
	if err != nil {
		return fmt.Errorf("run inbox: %w", err)
	}
	defer ended()
	i.ensureTable(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { i.keepShort(ctx) })
	i.receive(ctx, handle)
	wg.Wait()
	_ = i.conn.FlushTimeout(flushTimeout) // what does not leave is handed out again and remembered
	return nil
}

// begin lets one Run at a time in, and lets Close end it.
func (i *Inbox) begin(ctx context.Context) (_ context.Context, ended func(), _ error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.closed:
		return nil, nil, ErrClosed
	case i.stop != nil:
		return nil, nil, errors.New("it is running already: raise Concurrency, or open another")
	}
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	i.stop, i.stopped = cancel, stopped
	return ctx, func() {
		cancel()
		i.mu.Lock()
		i.stop = nil
		i.mu.Unlock()
		close(stopped)
	}, nil
}

func (i *Inbox) ensureTable(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		once, cancel := context.WithTimeout(ctx, i.o.Timeout)
		err := EnsureTable(once, i.o.DB, i.o.Table)
		cancel()
		if err == nil || ctx.Err() != nil {
			return
		}
		again := i.pace.away(n)
		i.report(Failure{Step: StepTable, Err: err, Again: again})
		pause(ctx, again)
	}
}

// Close ends Run, waits for it, and drops the connection. A handler that
// called it would wait for itself.
func (i *Inbox) Close() {
	i.mu.Lock()
	i.closed = true
	stop, stopped := i.stop, i.stopped
	i.mu.Unlock()
	if stop != nil {
		stop()
		<-stopped
	}
	i.conn.Close()
}
