package subscribers_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/deploy"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/subscribers"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

const (
	shop  = pay.MchID("1900000109")
	soon  = 30 * time.Second
	often = 20 * time.Millisecond
)

// stage is real books and a real broker, and what looks after subscribers.
type stage struct {
	*store.Store
	*subscribers.Keeper
	t      *testing.T
	sql    *sql.DB
	broker *servers.NATS
	bus    *bus.Bus
	keys   map[string]nkeys.KeyPair // of subscribers that the broker lets in
	admin  jetstream.JetStream      // what a worker's user may do, without our code between
	n      int
}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

func setup(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, keys: map[string]nkeys.KeyPair{}}
	url := testkit.Database(t, "subscribers", migrate)
	var err error
	s.Store, err = store.Open(t.Context(), store.Config{URL: url, MaxConns: 8, Name: "subscribers test"})
	require.NoError(t, err)
	s.sql, err = sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, errors.Join(s.Close(), s.sql.Close())) })
	passwords := map[string]string{}
	for _, role := range []string{"notify", "api", "front", "worker", "reconciler", "console", "subscriber"} {
		passwords["FENFLOW_NATS_"+strings.ToUpper(role)+"_PASSWORD"] = "pw-" + role
	}
	s.broker = testkit.NATS(t, func(o *servers.NATSOptions) { o.ConfigFile, o.Environment = s.conf(), passwords })
	s.bus, err = bus.Connect(t.Context(), bus.Config{URL: s.broker.URL(), Role: "worker", Password: "pw-worker", PublishTimeout: 3 * time.Second})
	require.NoError(t, err)
	t.Cleanup(s.bus.Close)
	require.NoError(t, s.bus.EnsureStreams(t.Context()))
	conn, err := nats.Connect(s.broker.URL(), nats.UserInfo("worker", "pw-worker"), nats.CustomInboxPrefix("_INBOX_worker"), nats.MaxReconnects(-1), nats.ReconnectWait(often))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	s.admin, err = jetstream.New(conn)
	require.NoError(t, err)
	s.Keeper = s.keeper(s.bus)
	return s
}

// conf is deploy/nats.conf with the accounts of three business systems.
func (s *stage) conf() string {
	s.t.Helper()
	var accounts string
	for _, name := range []string{"shop", "second", "third"} {
		keys, err := nkeys.CreateUser()
		require.NoError(s.t, err)
		s.keys[name] = keys
		accounts += operator.NATSAccount(pay.Subscriber{Name: pay.SubscriberName(name), MchID: shop, NKey: public(s.t, keys)})
	}
	file := filepath.Join(s.t.TempDir(), "nats.conf")
	require.NoError(s.t, os.MkdirAll(filepath.Join(filepath.Dir(file), filepath.Dir(deploy.SubscriberAccountsFile)), 0o700))
	require.NoError(s.t, os.WriteFile(file, deploy.NATSConf(), 0o600))
	require.NoError(s.t, os.WriteFile(filepath.Join(filepath.Dir(file), deploy.SubscriberAccountsFile), []byte(accounts), 0o600))
	return file
}

func (s *stage) count(query string) (n int) {
	s.t.Helper()
	require.NoError(s.t, s.sql.QueryRowContext(s.t.Context(), query).Scan(&n))
	return n
}

func (s *stage) keeper(b subscribers.Broker) *subscribers.Keeper {
	return subscribers.New(subscribers.Options{
		Books: s.Store, Broker: b, Known: func(id pay.MchID) bool { return id == shop }, Retryable: store.Retryable, Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)),
	})
}

// operate asks as the console does.
func (s *stage) operate(question map[string]any, into any) {
	s.t.Helper()
	raw, err := json.Marshal(question)
	require.NoError(s.t, err)
	answer, err := s.Operate(s.t.Context(), raw)
	require.NoError(s.t, err)
	document, err := problem.ReadAnswer(answer)
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(document, into))
}

func (s *stage) refused(question map[string]any) error {
	s.t.Helper()
	raw, err := json.Marshal(question)
	require.NoError(s.t, err)
	answer, err := s.Operate(s.t.Context(), raw)
	require.NoError(s.t, err)
	_, err = problem.ReadAnswer(answer)
	require.Error(s.t, err)
	return err
}

// add adds a subscriber as the console does.
func (s *stage) add(name, from string, facts ...pay.Fact) pay.Subscriber {
	s.t.Helper()
	sub := s.book(name, from, facts...)
	var kept struct{ There bool }
	s.operate(map[string]any{"do": "keep", "subscriber_id": sub.ID}, &kept)
	require.True(s.t, kept.There)
	return sub
}

// book writes a subscriber down and does no more: a console that was killed then.
func (s *stage) book(name, from string, facts ...pay.Fact) pay.Subscriber {
	s.t.Helper()
	var start struct {
		StreamAt time.Time `json:"stream_at"`
		After    uint64
		StoredAt time.Time `json:"stored_at"`
		From     time.Time
	}
	s.operate(map[string]any{"do": "start", "name": name, "mchid": shop, "from": from}, &start)
	sub, outcome, err := s.AddSubscriber(s.t.Context(), pay.Subscriber{
		Name: pay.SubscriberName(name), MchID: shop, NKey: public(s.t, s.keys[name]), Facts: facts,
		From: start.From, StreamAt: start.StreamAt, StartsAfter: start.After, CreatedBy: "token:test",
	}, start.StoredAt, "test")
	require.NoError(s.t, err)
	require.Equal(s.t, pay.SubscriberAdded, outcome)
	return sub
}

// publish tells of n events more; their ids are numbered from 1.
func (s *stage) publish(n int, facts ...pay.Fact) {
	s.t.Helper()
	if len(facts) == 0 {
		facts = []pay.Fact{pay.FactOrderPaid}
	}
	var events []pay.Outgoing
	for range n {
		s.n++
		events = append(events, pay.Outgoing{EventID: fmt.Sprintf("e%d", s.n), MchID: shop, OutTradeNo: "T1", Fact: facts[s.n%len(facts)], Payload: []byte("{}")})
	}
	_, err := s.bus.PublishEvents(s.t.Context(), events)
	require.NoError(s.t, err)
}

// take fetches the next n events as the business system does, and acknowledges all
// but the last leave of them.
func (s *stage) take(name string, n, leave int) (ids []string) {
	s.t.Helper()
	keys := s.keys[name]
	conn, err := nats.Connect(s.broker.URL(), nats.Nkey(public(s.t, keys), func(nonce []byte) ([]byte, error) { return keys.Sign(nonce) }), nats.CustomInboxPrefix("_INBOX_"+name))
	require.NoError(s.t, err)
	defer conn.Close()
	js, err := jetstream.NewWithAPIPrefix(conn, bus.SubscriberAPIPrefix)
	require.NoError(s.t, err)
	consumer, err := js.Consumer(s.t.Context(), bus.StreamEvent, name)
	require.NoError(s.t, err)
	batch, err := consumer.Fetch(n, jetstream.FetchMaxWait(soon))
	require.NoError(s.t, err)
	for msg := range batch.Messages() {
		ids = append(ids, msg.Headers().Get(jetstream.MsgIDHeader))
		if len(ids) <= n-leave {
			require.NoError(s.t, msg.DoubleAck(s.t.Context()))
		}
	}
	require.NoError(s.t, batch.Error())
	require.Len(s.t, ids, n)
	return ids
}

func public(t *testing.T, keys nkeys.KeyPair) string {
	t.Helper()
	key, err := keys.PublicKey()
	require.NoError(t, err)
	return key
}

// ids are those of the events from to, both included.
func ids(from, to int) (all []string) {
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprintf("e%d", n))
	}
	return all
}

// look has a keeper look at everybody now, due or not.
func (s *stage) look() {
	s.t.Helper()
	s.exec(`UPDATE subscribers SET next_look_at = now()`)
	require.NoError(s.t, s.Sweep(s.t.Context()))
}

func (s *stage) exec(statement string) {
	s.t.Helper()
	_, err := s.sql.ExecContext(s.t.Context(), statement)
	require.NoError(s.t, err)
}

func (s *stage) last(sub pay.Subscriber) pay.AckSample {
	s.t.Helper()
	last, err := s.LastAcks(s.t.Context(), []string{sub.ID})
	require.NoError(s.t, err)
	return last[sub.ID]
}

// lose deletes a consumer behind everybody's back.
func (s *stage) lose(name string) {
	s.t.Helper()
	require.NoError(s.t, s.admin.DeleteConsumer(s.t.Context(), bus.StreamEvent, name))
}

func (s *stage) outstanding(name string) int {
	s.t.Helper()
	state, there, err := s.bus.SubscriberState(s.t.Context(), pay.SubscriberName(name))
	require.NoError(s.t, err)
	if !there {
		return -1
	}
	return int(state.Outstanding())
}

// expire has the stream forget its events for their age.
func (s *stage) expire() {
	s.t.Helper()
	stream, err := s.admin.Stream(s.t.Context(), bus.StreamEvent)
	require.NoError(s.t, err)
	usual := stream.CachedInfo().Config
	brief := usual
	brief.MaxAge, brief.Duplicates = 100*time.Millisecond, 100*time.Millisecond // the least there is
	_, err = s.admin.UpdateStream(s.t.Context(), brief)
	require.NoError(s.t, err)
	require.Eventually(s.t, func() bool { info, err := stream.Info(s.t.Context()); return err == nil && info.State.Msgs == 0 }, soon, often)
	_, err = s.admin.UpdateStream(s.t.Context(), usual)
	require.NoError(s.t, err)
}

// restore stops the broker, has its store changed, and starts it again.
func (s *stage) restore(change func(dir string)) {
	s.t.Helper()
	require.NoError(s.t, s.broker.Stop())
	change(s.broker.StoreDir())
	require.NoError(s.t, s.broker.Restart())
	require.Eventually(s.t, func() bool { return s.bus.EnsureStreams(s.t.Context()) == nil }, soon, often)
	require.Eventually(s.t, func() bool { _, err := s.admin.AccountInfo(s.t.Context()); return err == nil }, soon, often)
}

func TestKeeper_hands_out_from_where_the_subscriber_wants(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.publish(3)
	third, err := s.bus.EventsAt(t.Context(), []uint64{3})
	require.NoError(t, err)
	s.add("shop", "all")
	s.add("second", "now")
	s.add("third", third[0].StoredAt.Format(time.RFC3339Nano))
	s.publish(2)
	require.Equal(t, ids(1, 5), s.take("shop", 5, 0))
	require.Equal(t, ids(4, 5), s.take("second", 2, 0))
	require.Equal(t, ids(3, 5), s.take("third", 3, 0))
	require.Zero(t, s.outstanding("shop")+s.outstanding("second")+s.outstanding("third"))
}

func TestKeeper_makes_what_a_console_that_was_killed_left_undone(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.publish(3)
	s.book("shop", "now")
	require.Equal(t, -1, s.outstanding("shop"))
	s.publish(2) // told of although no consumer was there yet
	s.look()
	require.Equal(t, ids(4, 5), s.take("shop", 2, 0))
}

// Where nothing of before is there to begin after, a time would have to say it, and
// that is the worker's: one whose clock is ahead must not make a consumer that begins
// after events which are published meanwhile.
func TestKeeper_needs_no_clock_to_begin_where_nothing_was(t *testing.T) {
	t.Parallel()
	s := setup(t)
	stream, err := s.bus.EventStream(t.Context())
	require.NoError(t, err)
	for _, name := range []string{"shop", "second"} { // of a new stream, and of one whose events are all too old
		s.expire()
		_, outcome, err := s.AddSubscriber(t.Context(), pay.Subscriber{
			Name: pay.SubscriberName(name), MchID: shop, NKey: public(t, s.keys[name]), From: time.Now().Add(5 * time.Minute), StreamAt: stream.CreatedAt,
			StartsAfter: uint64(s.n), CreatedBy: "token:test",
		}, time.Time{}, "test")
		require.NoError(t, err)
		require.Equal(t, pay.SubscriberAdded, outcome)
		first := s.n + 1
		s.publish(2)
		s.look()
		require.Equal(t, 2, s.outstanding(name), name)
		require.Equal(t, ids(first, first+1), s.take(name, 2, 0))
	}
}

func TestKeeper_makes_a_lost_consumer_again_after_what_was_seen_acknowledged(t *testing.T) {
	t.Parallel()
	s := setup(t)
	sub := s.add("shop", "all")
	s.publish(6)
	s.take("shop", 3, 0)
	s.look()
	require.EqualValues(t, 3, s.last(sub).Floor)
	s.take("shop", 3, 1) // two more, which no sample saw, and one that is not acknowledged
	s.lose("shop")
	s.publish(1)
	s.look()
	require.Equal(t, ids(4, 7), s.take("shop", 4, 0), "some again, and none passed over")
	s.look()
	require.EqualValues(t, 7, s.last(sub).Floor)
	s.look()
	require.Equal(t, 3, s.count(`SELECT count(*) FROM subscriber_acks`), "the start, 3 and 7: a row only when it moved")
}

func TestKeeper_tells_everything_of_a_stream_that_was_made_anew(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.add("shop", "all")
	second := s.add("second", "now")
	s.publish(8)
	s.take("shop", 8, 0)
	s.take("second", 8, 0)
	s.look()
	s.restore(func(dir string) {
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.MkdirAll(dir, 0o700))
	})
	s.publish(9) // past the positions that were acknowledged in the former stream
	s.look()
	require.Equal(t, ids(9, 17), s.take("shop", 9, 0))
	require.Equal(t, ids(9, 17), s.take("second", 9, 0))
	s.look()
	require.EqualValues(t, 9, s.last(second).Floor)
	require.NotEqual(t, second.StreamAt, s.last(second).StreamAt)
}

// A broker that is restored from a backup gives positions a second time: the floor of
// before the loss says nothing about what stands there now.
func TestKeeper_passes_over_nothing_where_positions_are_given_twice(t *testing.T) {
	t.Parallel()
	s := setup(t)
	sub := s.add("shop", "all")
	s.publish(3)
	s.take("shop", 3, 0)
	s.look()
	backup := t.TempDir()
	s.restore(func(dir string) { require.NoError(t, os.CopyFS(backup, os.DirFS(dir))) })
	s.publish(5)
	s.take("shop", 5, 0)
	s.look()
	require.EqualValues(t, 8, s.last(sub).Floor)
	s.restore(func(dir string) {
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.CopyFS(dir, os.DirFS(backup)))
	})
	s.lose("shop")
	s.publish(6) // at 4 to 9
	s.look()
	require.Equal(t, append(ids(1, 3), ids(9, 14)...), s.take("shop", 9, 0), "all there is, because nobody can tell what of it was acknowledged")
}

func TestKeeper_deletes_what_was_removed_and_frees_its_name(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first := s.add("shop", "all")
	s.publish(2)
	_, err := s.RemoveSubscriber(t.Context(), first.ID, "token:test", "x", nil)
	require.NoError(t, err)
	require.Equal(t, 2, s.outstanding("shop"))
	s.look()
	require.Equal(t, -1, s.outstanding("shop"))
	second := s.add("shop", "now")
	require.Zero(t, s.outstanding("shop"))
	require.NotEqual(t, first.ID, second.ID)
}

// A worker may have claimed a subscriber just before it was removed, and be slow.
func TestKeeper_leaves_no_consumer_of_one_that_was_removed_meanwhile(t *testing.T) {
	t.Parallel()
	s := setup(t)
	sub := s.book("shop", "all")
	stale, there, err := s.KeptSubscriber(t.Context(), sub.ID)
	require.NoError(t, err)
	require.True(t, there)
	_, err = s.RemoveSubscriber(t.Context(), sub.ID, "token:test", "x", nil)
	require.NoError(t, err)
	s.look() // another worker drops it
	require.NoError(t, s.Keep(t.Context(), stale))
	require.Equal(t, -1, s.outstanding("shop"))
}

func TestKeeper_workers_beside_each_other_make_one_consumer_and_one_sample(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.publish(20)
	sub := s.book("shop", "all")
	kept, _, err := s.KeptSubscriber(t.Context(), sub.ID)
	require.NoError(t, err)
	var all sync.WaitGroup
	failed := make(chan error, 8) // one each
	for range cap(failed) {
		all.Go(func() { failed <- s.Keep(t.Context(), kept) })
	}
	all.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
	s.take("shop", 20, 0)
	for range 8 {
		all.Go(func() { _ = s.Sweep(t.Context()) })
	}
	all.Wait()
	s.look()
	require.Equal(t, 2, s.count(`SELECT count(*) FROM subscriber_acks`), "the start, and 20")
}

// changing is a broker whose stream is made anew while a consumer is looked at.
type changing struct {
	subscribers.Broker
	looks int
}

func (c *changing) EventStream(ctx context.Context) (pay.EventStream, error) {
	stream, err := c.Broker.EventStream(ctx)
	c.looks++
	stream.CreatedAt = stream.CreatedAt.Add(time.Duration(c.looks) * time.Hour)
	return stream, err
}

func TestKeeper_notes_no_floor_of_one_stream_as_one_of_another(t *testing.T) {
	t.Parallel()
	s := setup(t)
	sub := s.add("shop", "all")
	s.publish(2)
	s.take("shop", 2, 0)
	kept, _, err := s.KeptSubscriber(t.Context(), sub.ID)
	require.NoError(t, err)
	require.NoError(t, s.keeper(&changing{Broker: s.bus}).Keep(t.Context(), kept))
	require.Zero(t, s.last(sub).Floor)
	s.look()
	require.EqualValues(t, 2, s.last(sub).Floor)
}

func TestKeeper_goes_on_after_broker_and_stream_were_away(t *testing.T) {
	t.Parallel()
	s := setup(t)
	sub := s.add("shop", "all")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.publish(1)
	s.take("shop", 1, 0)
	require.Eventually(t, func() bool { return s.last(sub).Floor == 1 }, soon, often)
	require.NoError(t, s.broker.Stop())
	s.Wake()
	s.restore(func(dir string) {
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.MkdirAll(dir, 0o700))
	})
	s.Wake()
	s.publish(1)
	require.Eventually(t, func() bool { return s.outstanding("shop") == 1 }, soon, often, "its consumer is there again")
	require.Equal(t, ids(2, 2), s.take("shop", 1, 0))
	cancel()
	require.NoError(t, <-ended)
}

func TestOperate_tells_how_far_a_subscriber_is_and_what_stands_where(t *testing.T) {
	t.Parallel()
	s := setup(t)
	sub := s.add("shop", "all", pay.FactOrderPaid)
	s.publish(4, pay.FactOrderPaid, pay.FactOrderCreated) // paid: 2 and 4
	s.take("shop", 2, 1)
	var a struct {
		StreamAt  time.Time `json:"stream_at"`
		Last      uint64
		Consumers []struct {
			There       bool
			Floor       uint64
			Pending     uint64
			AckPending  uint64    `json:"ack_pending"`
			LastAckAt   time.Time `json:"last_ack_at"`
			OldestAt    time.Time `json:"oldest_at"`
			Redelivered uint64
		}
		Positions []pay.PositionState
	}
	of := map[string]any{"subscriber_id": sub.ID, "name": "shop", "mchid": shop, "facts": []string{"order.paid"}, "oldest": true}
	former := map[string]any{"subscriber_id": "01980000-0000-7000-8000-000000000001", "name": "shop"}
	position := func(id string, sequence int) map[string]any {
		return map[string]any{"event_id": id, "sequence": sequence}
	}
	s.operate(map[string]any{
		"do": "look", "of": []any{of, former, map[string]any{"subscriber_id": sub.ID, "name": "nobody"}},
		"positions": []any{position("e1", 1), position("e9", 2), position("e3", 3), position("e5", 5), position("", 0)},
	}, &a)
	require.EqualValues(t, 4, a.Last)
	require.True(t, a.Consumers[0].There)
	require.False(t, a.Consumers[1].There, "the same name, and another subscriber")
	require.False(t, a.Consumers[2].There)
	require.EqualValues(t, 1, a.Consumers[0].AckPending)
	require.Zero(t, a.Consumers[0].Pending)
	require.False(t, a.Consumers[0].LastAckAt.IsZero())
	fourth, err := s.bus.EventsAt(t.Context(), []uint64{4})
	require.NoError(t, err)
	require.Equal(t, fourth[0].StoredAt, a.Consumers[0].OldestAt)
	require.Equal(t, []pay.PositionState{pay.PositionHolds, pay.PositionOther, pay.PositionHolds, pay.PositionOther, pay.PositionGone}, a.Positions)
}

func TestOperate_refuses_what_could_not_be(t *testing.T) {
	t.Parallel()
	s := setup(t)
	require.Equal(t, problem.Invalid, problem.KindOf(s.refused(map[string]any{"do": "start", "name": "business", "mchid": shop, "from": "all"})))
	require.ErrorContains(t, s.refused(map[string]any{"do": "start", "name": "shop", "mchid": "1900000110", "from": "all"}), "mchid")
	require.ErrorContains(t, s.refused(map[string]any{"do": "start", "name": "shop", "mchid": shop, "from": "soon"}), "from")
	require.Equal(t, problem.Malformed, problem.KindOf(s.refused(map[string]any{"do": "dance"})))
	_, err := s.admin.CreateConsumer(t.Context(), bus.StreamEvent, jetstream.ConsumerConfig{Durable: "by-hand", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	require.Equal(t, problem.SubscriberTaken, problem.KindOf(s.refused(map[string]any{"do": "start", "name": "by-hand", "mchid": shop, "from": "all"})))
	require.NoError(t, s.broker.Stop())
	require.Equal(t, problem.BrokerUnavailable, problem.KindOf(s.refused(map[string]any{"do": "look"})))
	answer, err := s.Operate(t.Context(), []byte("{"))
	require.NoError(t, err)
	require.Contains(t, string(answer), "FEN-3002")
}
