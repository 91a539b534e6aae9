package subscribe

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fenflow/fenflow/pkg/event"
)

// Handler does what one event asks for, within tx. It neither commits nor
// rolls back: it returns an error to undo. It may be called again for an event
// whose earlier call failed, and at the same time for other events.
type Handler func(ctx context.Context, tx *sql.Tx, e event.Event) error

// Options say which events to take and where to remember them. URL, Consumer
// and DB must be set; zero values of the rest are defaults.
type Options struct {
	URL      string  // of the broker, or several with commas between
	Consumer string  // the durable consumer that fenflow keeps for this business system
	DB       *sql.DB // more connections than Concurrency, for the handler may want one of its own

	// Name is what events are remembered under: Consumer, unless set. Keep it
	// when the consumer gets another name; otherwise every event counts again.
	// Two systems that share a database have two names.
	Name string

	SeedFile string        // of an nkey user; or
	User     string        // a user
	Password string        // and its password
	TLS      *tls.Config   // nil: as the URL says
	NATS     []nats.Option // whatever else the broker asks for

	APIPrefix   string // "fenflow.events", the door to JetStream that fenflow's nats.conf opens
	InboxPrefix string // "_INBOX_" and the User, or the Consumer without one

	Table     string             // "fenflow_inbox"; may name a schema: "shop.fenflow_inbox"
	Isolation sql.IsolationLevel // of the transactions; serialization failures are repeated

	Concurrency int                             // events in work at the same time: 4
	Timeout     time.Duration                   // for one try at one event: 1 min
	Grace       time.Duration                   // for the events in hand after a stop: 20 s
	Backoff     func(attempt int) time.Duration // before a failed event comes again: 1 s, doubled up to 1 min

	// Keep is how long events are remembered: 120 days. Less than 100 is
	// refused without ShortMemory, because fenflow keeps events for 90 days and
	// may hand out any of them again. Negative: until Prune is called.
	Keep        time.Duration
	ShortMemory bool

	// OnError is told of everything that went wrong and will be tried again;
	// nil: Logger is. It must not block, and may be called from several
	// goroutines at the same time.
	OnError func(Failure)
	Logger  *slog.Logger // nil: slog.Default()

	// OnUnreadable gets a message that is no event, once for the same bytes, in
	// a transaction as an event would be; nil: it is reported, and tried again
	// until a version comes that can read it.
	OnUnreadable func(ctx context.Context, tx *sql.Tx, raw []byte) error
}

// Defaults of Options, and the bound of Keep.
const (
	defaultAPIPrefix   = "fenflow.events"
	defaultConcurrency = 4
	defaultTimeout     = time.Minute
	defaultGrace       = 20 * time.Second

	day = 24 * time.Hour
	// leastKeep is what the stream of events keeps, 90 days, and some for events
	// that a restored fenflow publishes once more under the same ids.
	leastKeep   = 100 * day
	defaultKeep = 120 * day
)

func (o Options) orDefaults() Options {
	set(&o.Name, o.Consumer)
	set(&o.APIPrefix, defaultAPIPrefix)
	set(&o.InboxPrefix, "_INBOX_"+o.identity())
	set(&o.Table, DefaultTable)
	set(&o.Concurrency, defaultConcurrency)
	set(&o.Timeout, defaultTimeout)
	set(&o.Grace, defaultGrace)
	set(&o.Keep, defaultKeep)
	if o.Backoff == nil {
		o.Backoff = backoff
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// identity is who we are to the broker.
func (o Options) identity() string {
	if o.User != "" {
		return o.User
	}
	return o.Consumer
}

// check names everything that is wrong at once.
func (o Options) check() error {
	var wrong []error
	refuse := func(is bool, format string, a ...any) {
		if is {
			wrong = append(wrong, fmt.Errorf(format, a...))
		}
	}
	refuse(o.URL == "", "URL is missing: name the broker, such as nats://nats:4222")
	refuse(o.DB == nil, "DB is missing: open it with the driver of your choice")
	refuse(o.Consumer == "" || strings.ContainsAny(o.Consumer, ".*>/\\ \t\r\n"), "Consumer %q is no name of a consumer: ask who runs fenflow for yours", o.Consumer)
	refuse(strings.ContainsAny(o.APIPrefix, "*> \t\r\n"), "APIPrefix %q is no subject", o.APIPrefix)
	refuse(o.SeedFile != "" && o.User != "", "SeedFile and User are both set: keep the one that fenflow's nats.conf knows")
	refuse(o.Concurrency < 0, "Concurrency %d is less than one event at a time", o.Concurrency)
	refuse(o.Timeout < 0 || o.Grace < 0, "Timeout and Grace cannot be negative")
	refuse(o.Keep > 0 && o.Keep < leastKeep && !o.ShortMemory, "%w", tooShort(o.Keep))
	if o.Table != "" {
		_, err := quoted(o.Table)
		refuse(err != nil, "%w", err)
	}
	return errors.Join(wrong...)
}

func tooShort(keep time.Duration) error {
	return fmt.Errorf("events remembered for %s could count twice: fenflow may hand out any of the last 90 days again, so keep them %d days or more (ShortMemory allows less)", keep, leastKeep/day)
}

// String leaves out what is secret.
func (o Options) String() string {
	return fmt.Sprintf("inbox %s of consumer %s at %s", o.Name, o.Consumer, redacted(o.URL))
}

// GoString is String: no way of printing shows the password.
func (o Options) GoString() string { return o.String() }

// LogValue is String.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

func redacted(urls string) string {
	all := strings.Split(urls, ",")
	for n, one := range all {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil {
			all[n] = "(not a URL)"
			continue
		}
		u.User = nil // a token stands where a user would
		all[n] = u.String()
	}
	return strings.Join(all, ",")
}
