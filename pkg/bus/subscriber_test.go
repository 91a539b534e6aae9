package bus

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

const (
	aMerchant = pay.MchID("1900000109") // of event()
	bMerchant = pay.MchID("1900000110")
)

// system is a business system with a key of its own.
type system struct {
	pay.Subscriber
	keys nkeys.KeyPair
}

func newSystem(t testing.TB, name string, mchid pay.MchID) system {
	t.Helper()
	keys, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := keys.PublicKey()
	require.NoError(t, err)
	return system{pay.Subscriber{ID: "id-of-" + name, Name: pay.SubscriberName(name), MchID: mchid, NKey: public}, keys}
}

func (s system) option() nats.Option {
	return nats.Nkey(s.NKey, func(nonce []byte) ([]byte, error) { return s.keys.Sign(nonce) })
}

// connect joins the broker as the business system does; what is denied goes to denied.
func (s system) connect(t testing.TB, n *servers.NATS, options ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(n.URL(), append([]nats.Option{s.option(), nats.CustomInboxPrefix("_INBOX_" + string(s.Name)),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}, options...)...)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

// worldOf is a broker that has the accounts of these systems, as they are printed.
func worldOf(t testing.TB, lines string, systems ...system) world {
	t.Helper()
	conf := ownConf(t, lines)
	writeAccounts(t, conf, systems...)
	w := world{server: broker(t, func(o *servers.NATSOptions) { o.ConfigFile = conf })}
	w.worker, w.notify = connect(t, w.server, "worker"), connect(t, w.server, "notify")
	require.NoError(t, w.worker.EnsureStreams(t.Context()))
	for _, s := range systems {
		w.keep(t, s, pay.ConsumerStart{})
	}
	return w
}

func writeAccounts(t testing.TB, conf string, systems ...system) {
	t.Helper()
	var text string
	for _, s := range systems {
		text += operator.NATSAccount(s.Subscriber)
	}
	require.NoError(t, os.WriteFile(accountsOf(conf), []byte(text), 0o600))
}

func (w world) keep(t testing.TB, s system, start pay.ConsumerStart) (pay.ConsumerState, bool) {
	t.Helper()
	state, made, err := w.worker.KeepSubscriber(t.Context(), s.Subscriber, func(context.Context) (pay.ConsumerStart, error) { return start, nil })
	require.NoError(t, err)
	return state, made
}

func (w world) publish(t testing.TB, mchid pay.MchID, fact pay.Fact, ids ...int) {
	t.Helper()
	var all []pay.Outgoing
	for _, id := range ids {
		e := event(id)
		e.MchID, e.Fact = mchid, fact
		all = append(all, e)
	}
	_, err := w.worker.PublishEvents(t.Context(), all)
	require.NoError(t, err)
}

// fetch takes the next n events of a consumer, and acknowledges them if told so.
func fetch(t testing.TB, conn *nats.Conn, consumer pay.SubscriberName, n int, ack bool) (ids []string) {
	t.Helper()
	js, err := jetstream.NewWithAPIPrefix(conn, SubscriberAPIPrefix)
	require.NoError(t, err)
	c, err := js.Consumer(t.Context(), StreamEvent, string(consumer))
	require.NoError(t, err)
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(soon))
	require.NoError(t, err)
	for msg := range batch.Messages() {
		ids = append(ids, msg.Headers().Get(jetstream.MsgIDHeader))
		if ack {
			require.NoError(t, msg.DoubleAck(t.Context()))
		}
	}
	require.NoError(t, batch.Error())
	slices.Sort(ids)
	return ids
}

// reload has the broker read the accounts. Twice: a server of 2.15 lets an account's
// imports work from the second time on that it sees the account.
func (w world) reload(t testing.TB) {
	t.Helper()
	for range 2 {
		require.NoError(t, w.server.Reload())
	}
}

func (w world) state(t testing.TB, name pay.SubscriberName) pay.ConsumerState {
	t.Helper()
	state, there, err := w.worker.SubscriberState(t.Context(), name)
	require.NoError(t, err)
	require.True(t, there)
	return state
}

func TestSubscriber_reads_its_merchants_events_and_those_facts_that_it_wants(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string]string{"today's acknowledgements": "", "scoped ones": "\nfeature_flags { js_ack_fc_v2: true }\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shop, picky, other := newSystem(t, "shop", aMerchant), newSystem(t, "picky-2", aMerchant), newSystem(t, "other", bMerchant)
			picky.Facts = []pay.Fact{pay.FactOrderPaid, pay.FactRefundSucceeded}
			w := worldOf(t, lines, shop, picky, other)
			w.publish(t, aMerchant, pay.FactOrderCreated, 1)
			w.publish(t, aMerchant, pay.FactOrderPaid, 2)
			w.publish(t, bMerchant, pay.FactOrderPaid, 3)
			w.publish(t, aMerchant, pay.FactRefundSucceeded, 4)
			for s, want := range map[*system][]string{&shop: {"event-1", "event-2", "event-4"}, &picky: {"event-2", "event-4"}, &other: {"event-3"}} {
				require.Equal(t, want, fetch(t, s.connect(t, w.server), s.Name, len(want), true), s.Name)
				require.Zero(t, w.state(t, s.Name).Outstanding())
			}
			require.EqualValues(t, 4, w.state(t, "shop").Floor)
			require.False(t, w.state(t, "shop").LastAckAt.IsZero())
		})
	}
}

func TestSubscriber_gets_at_nothing_of_anybody_else(t *testing.T) {
	t.Parallel()
	shop, other := newSystem(t, "shop", aMerchant), newSystem(t, "other", bMerchant)
	w := worldOf(t, "", shop, other)
	may := map[string]bool{
		"publish fenflow.events.CONSUMER.INFO.EVENT.shop": true, "publish fenflow.events.CONSUMER.MSG.NEXT.EVENT.shop": true,
		"publish $JS.ACK.EVENT.shop.1.1.1.1.1": true, "publish $JS.ACK._.hash.EVENT.shop.1.1.1.1.1.1": true, "subscribe _INBOX_shop.>": true,
		"publish $JS.ACK.EVENT.shop.EVENT.1.1.1.1": true, "publish $JS.ACK.EVENT.shop.NOTIFY.1.1.1.1": true, // its own consumer, whatever they say
	}
	asked := append(slices.Clone(probes), []struct{ do, subject string }{
		{"publish", "fenflow.events.CONSUMER.INFO.EVENT.other"}, {"publish", "fenflow.events.CONSUMER.MSG.NEXT.EVENT.other"},
		{"publish", "$JS.ACK.EVENT.other.1.1.1.1.1"}, {"publish", "$JS.ACK.EVENT.other.EVENT.shop.1.1.1"}, {"publish", "$JS.ACK.NOTIFY.settle-live.EVENT.shop.1.1.1"},
		{"publish", "_INBOX_other.x"}, {"publish", "_INBOX_shop.x"}, {"subscribe", "_INBOX_other.>"}, {"subscribe", "_INBOX_shop.>"}, {"subscribe", "_INBOX_*.>"},
		{"subscribe", "$JS.ACK.>"}, {"subscribe", "fenflow.>"},
	}...)
	for _, p := range asked {
		name := p.do + " " + p.subject
		conn := shop.connect(t, w.server)
		require.Equal(t, may[name], lets(t, prober{conn: conn}, p.do, p.subject), name)
		delete(may, name)
	}
	require.Empty(t, may, "every permission is probed")

	// By its name and another's key, or the other way round, nobody gets in.
	_, err := nats.Connect(w.server.URL(), nats.UserInfo("shop", "pw-shop"))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	stranger := newSystem(t, "shop", aMerchant)
	_, err = nats.Connect(w.server.URL(), stranger.option())
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

// The server checks no reply subject. In an account of its own a subscriber reaches by
// one what it may send to anyway.
func TestSubscriber_reaches_nobody_by_a_reply_subject(t *testing.T) {
	t.Parallel()
	shop, other := newSystem(t, "shop", aMerchant), newSystem(t, "other", bMerchant)
	w := worldOf(t, "", shop, other)
	w.publish(t, aMerchant, pay.FactOrderPaid, 1, 2)
	w.publish(t, bMerchant, pay.FactOrderPaid, 3)
	neighbour := other.connect(t, w.server)
	require.Equal(t, []string{"event-3"}, fetch(t, neighbour, "other", 1, false))
	inbox, err := neighbour.SubscribeSync("_INBOX_other.>")
	require.NoError(t, err)
	require.NoError(t, neighbour.Flush())
	streams := map[string]uint64{}
	for _, s := range []string{StreamNotify, StreamCommand, StreamEvent, StreamRejected, streamKeys} {
		streams[s] = w.stream(t, s).State.LastSeq
	}

	targets := []string{
		"_INBOX_other.x", "_INBOX_api.x", "_INBOX_console.x", "fenflow.events.CONSUMER.MSG.NEXT.EVENT.other", "$JS.API.CONSUMER.MSG.NEXT.EVENT.other",
		"$JS.API.CONSUMER.DELETE.EVENT.other", "$JS.API.STREAM.DELETE.EVENT", "$JS.API.STREAM.PURGE.NOTIFY", "pay.event." + string(bMerchant) + ".order.paid",
		"pay.command.order.create." + string(aMerchant), "pay.notify.replay", "$KV.platform_keys.durability", "fenflow.operate.subscriber", "fenflow.act.check",
	}
	targets = append(targets, forgedAcks(StreamEvent, "other", "shop")...)
	targets = append(targets, forgedAcks(StreamNotify, durableLive, "shop")...)
	for _, target := range targets {
		conn := shop.connect(t, w.server, nats.NoReconnect())
		for _, ask := range []string{`{"batch":5,"no_wait":true}`, `{"batch":1,"expires":1}`} { // answered with events, then with an empty 404 or 408
			require.NoError(t, conn.PublishRequest("fenflow.events.CONSUMER.MSG.NEXT.EVENT.shop", target, []byte(ask)))
			require.NoError(t, conn.PublishRequest("fenflow.events.CONSUMER.INFO.EVENT.shop", target, nil))
			require.NoError(t, conn.PublishRequest("$JS.ACK.EVENT.shop.1.1.1.0.0", target, []byte("+NXT")))
			require.NoError(t, conn.PublishRequest("$JS.ACK.EVENT.shop.1.1.1.0.0", target, []byte("+WPI")))
		}
		require.NoError(t, conn.Flush())
		settled(t, conn, "shop")
	}
	require.EqualValues(t, 1, w.state(t, "other").AckPending, "its event waits for its own acknowledgement")
	require.Zero(t, w.state(t, "other").Floor)
	require.Zero(t, w.state(t, "other").Redelivered)
	for s, last := range streams {
		require.Equal(t, last, w.stream(t, s).State.LastSeq, s)
	}
	require.NoError(t, neighbour.Flush())
	pending, _, err := inbox.Pending()
	require.NoError(t, err)
	require.Zero(t, pending, "nothing came into another's inbox")
	require.Equal(t, 0, w.outstanding(t, StreamEvent, SubscriberConsumer))
}

func TestSubscriber_acknowledges_nothing_of_another(t *testing.T) {
	t.Parallel()
	shop, other := newSystem(t, "shop", aMerchant), newSystem(t, "other", bMerchant)
	w := worldOf(t, "", shop, other)
	w.publish(t, bMerchant, pay.FactOrderPaid, 1)
	require.Equal(t, []string{"event-1"}, fetch(t, other.connect(t, w.server), "other", 1, false))
	conn := shop.connect(t, w.server)
	for _, own := range []string{"shop", "1"} {
		for _, subject := range forgedAcks(StreamEvent, "other", own) {
			for _, word := range []string{"", "+ACK", "+TERM", "+NXT"} {
				require.NoError(t, conn.PublishRequest(subject, conn.NewInbox(), []byte(word)))
			}
		}
	}
	settled(t, conn, "shop")
	require.EqualValues(t, 1, w.state(t, "other").AckPending)
	require.Zero(t, w.state(t, "other").Floor)
}

func TestSubscriber_comes_and_goes_by_a_reload_that_disturbs_nobody(t *testing.T) {
	t.Parallel()
	shop, other := newSystem(t, "shop", aMerchant), newSystem(t, "other", bMerchant)
	conf := ownConf(t, "")
	w := world{server: broker(t, func(o *servers.NATSOptions) { o.ConfigFile = conf })}
	w.worker, w.notify = connect(t, w.server, "worker"), connect(t, w.server, "notify")
	require.NoError(t, w.worker.EnsureStreams(t.Context()))
	console := connect(t, w.server, "console")
	go func() {
		_ = w.worker.Serve(t.Context(), RequestOperateSubscriber, func(context.Context, []byte) ([]byte, error) { return []byte("here"), nil })
	}()
	works := func() {
		w.publish(t, aMerchant, pay.FactOrderPaid, int(time.Now().UnixNano()%1e9))
		require.NoError(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(1)))
		require.Eventually(t, func() bool {
			answer, err := console.Request(t.Context(), RequestOperateSubscriber, nil, soon)
			return err == nil && string(answer) == "here"
		}, soon, often)
	}
	works()
	before := w.worker.ServerID()

	writeAccounts(t, conf, shop)
	w.reload(t)
	w.keep(t, shop, pay.ConsumerStart{})
	conn := shop.connect(t, w.server)
	require.Len(t, fetch(t, conn, "shop", 1, true), 1)
	works()
	require.Len(t, fetch(t, conn, "shop", 1, true), 1)

	writeAccounts(t, conf, shop, other)
	w.reload(t)
	works()
	require.Len(t, fetch(t, conn, "shop", 1, true), 1, "who was there goes on")
	require.Equal(t, before, w.worker.ServerID())

	writeAccounts(t, conf, other)
	w.reload(t)
	_, err := nats.Connect(w.server.URL(), shop.option())
	require.ErrorIs(t, err, nats.ErrAuthorization)
	require.Eventually(t, func() bool { return !conn.IsConnected() }, soon, often, "it is put out")
	works()
}

func TestKeepSubscriber_makes_what_is_missing_mends_what_differs_and_replaces_anothers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, aMerchant, pay.FactOrderPaid, 1, 2, 3, 4)
	shop := newSystem(t, "shop", aMerchant)
	state, made := w.keep(t, shop, pay.ConsumerStart{After: 2})
	require.True(t, made)
	require.EqualValues(t, 2, state.Floor)
	require.EqualValues(t, 2, state.Pending)
	require.Equal(t, shop.ID, state.SubscriberID)
	again, made := w.keep(t, shop, pay.ConsumerStart{})
	require.False(t, made)
	require.Equal(t, state, again, "it goes on where it is")

	// Somebody changed its filter: it must not be handed what is another merchant's.
	changed, err := consumerOf(shop.Subscriber)
	require.NoError(t, err)
	changed.FilterSubject, changed.MaxDeliver = "pay.event.>", 3
	_, err = w.worker.mendConsumer(t.Context(), jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 3}, changed)
	require.NoError(t, err)
	state, made = w.keep(t, shop, pay.ConsumerStart{})
	require.False(t, made)
	require.EqualValues(t, 2, state.Floor, "and keeps its place")
	c, err := w.worker.js.Consumer(t.Context(), StreamEvent, "shop")
	require.NoError(t, err)
	require.Equal(t, "pay.event.1900000109.>", c.CachedInfo().Config.FilterSubject)
	require.Equal(t, -1, c.CachedInfo().Config.MaxDeliver)

	// The name was given again, and a restored broker brought the former consumer back.
	second := newSystem(t, "shop", bMerchant)
	second.ID = "another-id"
	state, made = w.keep(t, second, pay.ConsumerStart{})
	require.True(t, made)
	require.Equal(t, second.ID, state.SubscriberID)
	require.Zero(t, state.Pending, "events of the other merchant are not its own")
	require.NoError(t, w.worker.DropSubscriber(t.Context(), shop.Subscriber))
	require.Equal(t, second.ID, w.state(t, "shop").SubscriberID, "only its own consumer is dropped")
	for range 2 {
		require.NoError(t, w.worker.DropSubscriber(t.Context(), second.Subscriber))
	}
	_, there, err := w.worker.SubscriberState(t.Context(), "shop")
	require.NoError(t, err)
	require.False(t, there)
}

func TestKeepSubscriber_begins_at_a_time(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, aMerchant, pay.FactOrderPaid, 1, 2)
	first, err := w.worker.EventsAt(t.Context(), []uint64{1, 2, 3, 0})
	require.NoError(t, err)
	require.Equal(t, []string{"event-1", "event-2", "", ""}, []string{first[0].EventID, first[1].EventID, first[2].EventID, first[3].EventID})
	state, _ := w.keep(t, newSystem(t, "late", aMerchant), pay.ConsumerStart{From: time.Now().Add(time.Minute)})
	require.Zero(t, state.Pending)
	state, _ = w.keep(t, newSystem(t, "early", aMerchant), pay.ConsumerStart{From: first[0].StoredAt.Add(-time.Hour)})
	require.EqualValues(t, 2, state.Pending)
	for at, want := range map[time.Time]uint64{first[0].StoredAt: 0, time.Now().Add(time.Hour): 2, time.Now().Add(-time.Hour): 0} {
		before, err := w.worker.EventsBefore(t.Context(), at)
		require.NoError(t, err)
		require.Equal(t, want, before, at)
	}
	stream, err := w.worker.EventStream(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, stream.Last)
	picky := newSystem(t, "picky", aMerchant).Subscriber
	picky.Facts = []pay.Fact{pay.FactRefundClosed, pay.FactRefundFailed}
	_, found, err := w.worker.FirstEvent(t.Context(), picky, 1)
	require.NoError(t, err)
	require.False(t, found)
	w.publish(t, aMerchant, pay.FactRefundFailed, 3)
	w.publish(t, aMerchant, pay.FactRefundClosed, 4)
	oldest, found, err := w.worker.FirstEvent(t.Context(), picky, 0)
	require.NoError(t, err)
	require.True(t, found)
	require.EqualValues(t, 3, oldest.Sequence, "of all facts the first")
}

func TestKeepSubscriber_refuses_what_would_change_the_shape_of_a_subject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, change := range []func(*pay.Subscriber){
		func(s *pay.Subscriber) { s.Name = "a.b" }, func(s *pay.Subscriber) { s.MchID = "*" }, func(s *pay.Subscriber) { s.MchID = "" },
		func(s *pay.Subscriber) { s.Facts = []pay.Fact{"order.*"} }, func(s *pay.Subscriber) { s.Facts = []pay.Fact{">"} }, func(s *pay.Subscriber) { s.ID = "" },
	} {
		s := newSystem(t, fmt.Sprintf("s%d", i), aMerchant).Subscriber
		change(&s)
		_, _, err := w.worker.KeepSubscriber(t.Context(), s, nil)
		require.Error(t, err)
	}
	empty := connect(t, broker(t), "worker")
	_, err := empty.EventStream(t.Context())
	require.ErrorIs(t, err, ErrNoEvents)
	_, _, err = empty.SubscriberState(t.Context(), "shop")
	require.ErrorIs(t, err, ErrNoEvents)
	require.NoError(t, empty.DropSubscriber(t.Context(), newSystem(t, "shop", aMerchant).Subscriber), "with the stream it is gone")
}
