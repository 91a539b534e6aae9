package subscribe

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	tassert "github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/deploy"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

const (
	confFile = "../../deploy/nats.conf"
	soon     = 60 * time.Second
	often    = 20 * time.Millisecond
	mchid    = "1900000109"
)

// world is fenflow's broker under its shipped permissions, with the consumer
// that the worker keeps, and the business system's own database.
type world struct {
	broker *servers.NATS
	worker *bus.Bus
	js     jetstream.JetStream // with the worker's rights
	db     *sql.DB
	dbURL  string
}

func environment() map[string]string {
	all := map[string]string{}
	for _, user := range []string{"NOTIFY", "API", "FRONT", "WORKER", "RECONCILER", "CONSOLE", "SUBSCRIBER"} {
		all["FENFLOW_NATS_"+user+"_PASSWORD"] = "pw-" + strings.ToLower(user)
	}
	return all
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldAt(t, testkit.Database(t, "", nil), func(o *servers.NATSOptions) { o.ConfigFile = confFile })
}

func newWorldAt(t testing.TB, dbURL string, change func(*servers.NATSOptions)) *world {
	t.Helper()
	w := &world{dbURL: dbURL}
	w.db = openDB(t, dbURL)
	_, err := w.db.ExecContext(t.Context(), shopDDL)
	require.NoError(t, err)
	w.broker = testkit.NATS(t, func(o *servers.NATSOptions) { o.Environment = environment() }, change)
	w.worker, err = bus.Connect(t.Context(), bus.Config{URL: w.broker.URL(), Role: "worker", Password: "pw-worker"})
	require.NoError(t, err)
	t.Cleanup(w.worker.Close)
	require.NoError(t, w.worker.EnsureStreams(t.Context()))
	w.js = w.connect(t, "worker")
	w.consumer(t, "business", time.Second)
	return w
}

func openDB(t testing.TB, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func (w *world) connect(t testing.TB, user string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(w.broker.URL(), nats.UserInfo(user, "pw-"+user), nats.CustomInboxPrefix("_INBOX_"+user), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return js
}

// consumer is as the worker makes it, but for how soon events come again that
// nobody acknowledged.
func (w *world) consumer(t testing.TB, name string, ackWait time.Duration) {
	t.Helper()
	_, err := w.js.CreateOrUpdateConsumer(t.Context(), stream, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: "pay.event.>", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1, MaxAckPending: 1000,
	})
	require.NoError(t, err)
}

// withUsers adds users to accounts of the shipped configuration, and accounts of
// subscribers as an operator does.
func withUsers(t testing.TB, users map[string]string, subscribers ...string) func(*servers.NATSOptions) {
	t.Helper()
	raw, err := os.ReadFile(confFile)
	require.NoError(t, err)
	text := string(raw)
	for account, user := range users {
		at := regexp.MustCompile(`(?s)\n  ` + account + ` \{.*?users: \[`).FindStringIndex(text)
		require.NotNil(t, at, "account %s in %s", account, confFile)
		text = text[:at[1]] + user + "," + text[at[1]:]
	}
	file := writeConf(t, t.TempDir(), text, subscribers...)
	return func(o *servers.NATSOptions) { o.ConfigFile = file }
}

// writeConf writes a configuration of the broker, and beside it the accounts of
// subscribers that it includes.
func writeConf(t testing.TB, dir, text string, subscribers ...string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "nats.conf")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	accounts := filepath.Join(dir, deploy.SubscriberAccountsFile)
	require.NoError(t, os.MkdirAll(filepath.Dir(accounts), 0o700))
	require.NoError(t, os.WriteFile(accounts, []byte(string(deploy.SubscriberAccounts())+strings.Join(subscribers, "")), 0o600))
	return file
}

// fact is one event to publish.
type fact struct {
	number, fact string
	sequence     int64
}

func (f fact) id() string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(f.number+f.fact)).String()
}

func (f fact) payload(t testing.TB) []byte {
	t.Helper()
	raw, err := json.Marshal(event.Event{
		SpecVersion: event.SpecVersion, ID: f.id(), Type: event.TypeOf(f.fact), Subject: f.number, Time: time.Now(),
		Data: event.Order{MchID: mchid, OutTradeNo: f.number, AmountFen: 100, TransactionID: "4200", Sequence: f.sequence},
	})
	require.NoError(t, err)
	return raw
}

// storyOf gives the facts of n orders.
func storyOf(n int) []fact {
	var all []fact
	for k := range n {
		number := fmt.Sprintf("INBOX%05d", k)
		all = append(all, fact{number, "order.created", 1}, fact{number, "order.prepared", 2}, fact{number, "order.paid", 3})
	}
	return all
}

// disordered mixes the facts, tells some twice, and some three times.
func disordered(facts []fact) []fact {
	random := rand.New(rand.NewPCG(1, uint64(len(facts))))
	all := append([]fact(nil), facts...)
	for n, f := range facts {
		if n%3 == 0 {
			all = append(all, f)
		}
		if n%7 == 0 {
			all = append(all, f)
		}
	}
	random.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
	return all
}

// publish gives each message another id on the bus than its event's, as a
// repeat past the broker's duplicate window has in effect.
func (w *world) publish(t testing.TB, facts ...fact) {
	t.Helper()
	for len(facts) > 0 {
		n := min(len(facts), 200)
		var out []pay.Outgoing
		for _, f := range facts[:n] {
			out = append(out, pay.Outgoing{EventID: uuid.NewString(), MchID: mchid, OutTradeNo: pay.OutTradeNo(f.number), Fact: pay.Fact(f.fact), Payload: f.payload(t)})
		}
		require.EventuallyWithT(t, func(c *tassert.CollectT) {
			_, err := w.worker.PublishEvents(t.Context(), out)
			require.NoError(c, err)
		}, soon, often)
		facts = facts[n:]
	}
}

// publishRaw puts bytes where an event would be.
func (w *world) publishRaw(t testing.TB, raw string) {
	t.Helper()
	_, err := w.worker.PublishEvents(t.Context(), []pay.Outgoing{{EventID: uuid.NewString(), MchID: mchid, OutTradeNo: "RAW", Fact: "order.paid", Payload: []byte(raw)}})
	require.NoError(t, err)
}

// failures keeps what is reported.
type failures struct {
	mu  sync.Mutex
	all []Failure
}

func (f *failures) add(one Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, one)
}

// of gives those of one step; without a step, all.
func (f *failures) of(step Step) []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []Failure
	for _, one := range f.all {
		if step == "" || one.Step == step {
			found = append(found, one)
		}
	}
	return found
}

// quick lets a test see in moments what takes seconds in life.
func quick(i *Inbox) {
	i.pace.heartbeat, i.pace.linger, i.pace.lookUp = 500*time.Millisecond, 50*time.Millisecond, time.Second
	i.pace.first, i.pace.last = 20*time.Millisecond, 200*time.Millisecond
}

// open gives an inbox of the shop that closes with the test.
func (w *world) open(t testing.TB, change ...func(*Options)) (*Inbox, *failures) {
	t.Helper()
	seen := &failures{}
	o := shopOptions(w.broker.URL(), w.db)
	o.OnError = seen.add
	for _, c := range change {
		c(&o)
	}
	i, err := Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(i.Close)
	quick(i)
	return i, seen
}

// run runs an inbox until the test ends or stop is called.
func run(t testing.TB, i *Inbox, handle Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1) // Run returns once
	go func() { ended <- i.Run(ctx, handle) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return stop
}

// drained waits until the broker has nothing left for the consumer.
func (w *world) drained(t testing.TB) {
	t.Helper()
	require.EventuallyWithT(t, func(c *tassert.CollectT) {
		consumer, err := w.js.Consumer(t.Context(), stream, "business")
		require.NoError(c, err)
		events, err := w.js.Stream(t.Context(), stream)
		require.NoError(c, err)
		require.Equal(c, events.CachedInfo().State.LastSeq, consumer.CachedInfo().AckFloor.Stream, "events acknowledged")
	}, soon, often)
}
