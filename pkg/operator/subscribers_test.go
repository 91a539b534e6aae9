package operator_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/subscribers"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// telling is a stage with a broker, and with the part of a worker that looks after
// subscribers.
type telling struct {
	*stage
	broker *servers.NATS
	bus    *bus.Bus
	keeper *subscribers.Keeper
	away   bool // the worker answers nobody
}

// Request is the worker's side of the question.
func (b *telling) Request(ctx context.Context, subject string, data []byte, _ time.Duration) ([]byte, error) {
	if b.away || subject != bus.RequestOperateSubscriber {
		return nil, bus.ErrUnavailable
	}
	return b.keeper.Operate(ctx, data)
}

func withBroker(t *testing.T) *telling {
	t.Helper()
	b := &telling{}
	b.stage = setup(t, func(o *operator.Options) { o.Worker = b })
	passwords := map[string]string{}
	for _, role := range []string{"notify", "api", "front", "worker", "reconciler", "console", "subscriber"} {
		passwords["FENFLOW_NATS_"+strings.ToUpper(role)+"_PASSWORD"] = "pw-" + role
	}
	b.broker = testkit.NATS(t, func(o *servers.NATSOptions) {
		o.ConfigFile, o.Environment = filepath.Join("..", "..", "deploy", "nats.conf"), passwords
	})
	var err error
	b.bus, err = bus.Connect(t.Context(), bus.Config{URL: b.broker.URL(), Role: "worker", Password: "pw-worker", PublishTimeout: 3 * time.Second})
	require.NoError(t, err)
	t.Cleanup(b.bus.Close)
	require.NoError(t, b.bus.EnsureStreams(t.Context()))
	b.keeper = subscribers.New(subscribers.Options{
		Books: b.Store, Broker: b.bus, Known: func(id pay.MchID) bool { return id == shop || id == other }, Retryable: store.Retryable,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	return b
}

// publish relays the outbox, as a worker does.
func (b *telling) publish() {
	b.t.Helper()
	events, err := b.ClaimOutbox(b.t.Context(), 0, 100)
	require.NoError(b.t, err)
	published, err := b.bus.PublishEvents(b.t.Context(), events)
	require.NoError(b.t, err)
	require.NoError(b.t, b.MarkPublished(b.t.Context(), published))
}

// acknowledged moves a consumer's floor: the consumer is made again with a later start,
// which is what the broker answers of one that has acknowledged so far.
func (b *telling) acknowledged(name string, upTo uint64) {
	b.t.Helper()
	conn, err := nats.Connect(b.broker.URL(), nats.UserInfo("worker", "pw-worker"), nats.CustomInboxPrefix("_INBOX_worker"))
	require.NoError(b.t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(b.t, err)
	c, err := js.Consumer(b.t.Context(), bus.StreamEvent, name)
	require.NoError(b.t, err)
	config := c.CachedInfo().Config
	require.NoError(b.t, js.DeleteConsumer(b.t.Context(), bus.StreamEvent, name))
	config.DeliverPolicy, config.OptStartSeq, config.OptStartTime = jetstream.DeliverByStartSequencePolicy, upTo+1, nil
	_, err = js.CreateConsumer(b.t.Context(), bus.StreamEvent, config)
	require.NoError(b.t, err)
}

func (b *telling) sample() {
	b.t.Helper()
	_, err := b.sql.ExecContext(b.t.Context(), "UPDATE subscribers SET next_look_at = now()")
	require.NoError(b.t, err)
	require.NoError(b.t, b.keeper.Sweep(b.t.Context()))
}

func aKey(t *testing.T) string {
	t.Helper()
	keys, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := keys.PublicKey()
	require.NoError(t, err)
	return public
}

func (b *telling) subscribe(name, more string) operatorapi.Subscriber {
	b.t.Helper()
	var s operatorapi.Subscriber
	b.post("/operator/v1/subscribers", `{"name":"`+name+`","mchid":"`+string(shop)+`","nkey":"`+aKey(b.t)+`","reason":"goes live"`+more+`}`).into(b.t, &s)
	return s
}

func (b *telling) told(name string, no pay.OutTradeNo) (words []string, document operatorapi.ToldEvents) {
	b.t.Helper()
	b.get("/operator/v1/subscribers/"+name+"/told/"+url.PathEscape(string(no))).into(b.t, &document)
	for _, e := range document.Events {
		words = append(words, e.Fact+" "+string(e.Told))
	}
	return words, document
}

func TestSubscribers_are_added_once_and_shown_with_what_NATS_needs(t *testing.T) {
	t.Parallel()
	b := withBroker(t)
	key := aKey(t)
	body := `{"name":"shop","mchid":"` + string(shop) + `","nkey":"` + key + `","facts":["refund.succeeded","order.paid"],"from":"now","reason":"goes live"}`
	var added operatorapi.Subscriber
	for range 2 { // the repeat finds it
		b.post("/operator/v1/subscribers", body).into(t, &added)
		require.Equal(t, []string{"order.paid", "refund.succeeded"}, *added.Facts)
		require.Equal(t, "ready", string(added.Consumer.State))
		require.NotNil(t, added.FromAt)
		require.Equal(t, "fenflow.events", added.Connect.APIPrefix)
		require.Contains(t, *added.NatsAccount, "nkey: "+key)
		require.Contains(t, *added.NatsAccount, "SUBSCRIBER_shop {")
		require.NotContains(t, *added.NatsAccount, "NAME")
	}
	require.Equal(t, "1", b.text("SELECT count(*) FROM audit WHERE action = 'subscriber.add' AND actor = 'token:night-shift' AND subject = 'shop' AND mchid = $1 AND detail ->> 'reason' = 'goes live'", string(shop)))
	var shown operatorapi.Subscriber
	b.get("/operator/v1/subscribers/shop").into(t, &shown)
	require.Equal(t, added.NatsAccount, shown.NatsAccount)

	p := b.post("/operator/v1/subscribers", strings.Replace(body, key, aKey(t), 1)).problem(t)
	require.Equal(t, "FEN-4020", p.Code)
	p = b.post("/operator/v1/subscribers", strings.Replace(body, `"shop"`, `"erp"`, 1)).problem(t)
	require.Equal(t, "FEN-4021", p.Code)
	require.Contains(t, p.Detail, "shop has it")
	require.Equal(t, "FEN-3008", b.do(http.MethodPost, "/operator/v1/subscribers", body, b.read).problem(t).Code)
	answer := b.do(http.MethodPut, "/operator/v1/subscribers", body, b.operate)
	require.Equal(t, http.StatusMethodNotAllowed, answer.status)
	require.Equal(t, "GET, POST", answer.header.Get("Allow"))
}

func TestSubscribers_that_could_not_be_are_refused_by_field(t *testing.T) {
	t.Parallel()
	b := withBroker(t)
	key := aKey(t)
	good := map[string]string{"name": `"shop"`, "mchid": `"` + string(shop) + `"`, "nkey": `"` + key + `"`, "reason": `"x"`}
	for _, c := range []struct{ field, value string }{
		{"name", ""}, {"name", `"5"`}, {"name", `"business"`}, {"name", `"a.b"`}, {"name", `5`}, {"name", `"Shop"`},
		{"mchid", ""}, {"mchid", `"1"`}, {"mchid", `"1900000999"`},
		{"nkey", ""}, {"nkey", `"U` + strings.Repeat("A", 55) + `"`}, {"nkey", `"SUAK` + strings.Repeat("A", 54) + `"`}, {"nkey", `"A` + key[1:] + `"`},
		{"facts", `[]`}, {"facts", `["order.*"]`}, {"facts", `"order.paid"`}, {"facts", `["bill.lost"]`},
		{"from", `"yesterday"`}, {"from", `"2999-01-01T00:00:00Z"`}, {"from", `"0000-01-01T00:00:30Z"`}, {"from", `"1969-12-31T23:59:59Z"`}, {"from", `null`},
		{"reason", ""}, {"reason", `" "`}, {"colour", `"red"`},
	} {
		var parts []string
		for _, field := range []string{"name", "mchid", "nkey", "reason"} {
			if field != c.field {
				parts = append(parts, `"`+field+`":`+good[field])
			}
		}
		if c.value != "" {
			parts = append(parts, `"`+c.field+`":`+c.value)
		}
		body := "{" + strings.Join(parts, ",") + "}"
		p := b.post("/operator/v1/subscribers", body).problem(t)
		require.Equal(t, "FEN-3001", p.Code, body)
		require.Len(t, p.Errors, 1, body)
		require.Equal(t, c.field, p.Errors[0].Field, body)
		require.NotContains(t, p.Errors[0].Message, "SUAK", "a seed is not repeated")
	}
	require.Equal(t, "0", b.text("SELECT count(*) FROM subscribers"))
	for _, path := range []string{"/operator/v1/subscribers/nobody", "/operator/v1/subscribers/a.b", "/operator/v1/subscribers/nobody/told/T1"} {
		require.Equal(t, "FEN-3016", b.get(path).problem(t).Code, path)
	}
	require.Equal(t, "FEN-3016", b.post("/operator/v1/subscribers/nobody/remove", `{"reason":"x"}`).problem(t).Code)
}

func TestSubscribers_are_listed_with_how_far_they_are(t *testing.T) {
	t.Parallel()
	b := withBroker(t)
	answer := b.get("/operator/v1/subscribers")
	require.JSONEq(t, `{"subscribers":[]}`, answer.body)
	for _, name := range []string{"a", "b", "c"} {
		b.subscribe(name, "")
	}
	b.place(shop, "order-0001")
	b.publish()
	var got []string
	for next := "/operator/v1/subscribers?limit=2"; next != ""; {
		var page operatorapi.SubscriberPage
		b.get(next).into(t, &page)
		next = ""
		for _, s := range page.Subscribers {
			got = append(got, s.Name)
			require.EqualValues(t, 1, s.Consumer.Pending)
			require.Nil(t, s.NatsAccount)
		}
		if page.NextCursor != nil {
			next = "/operator/v1/subscribers?limit=2&cursor=" + *page.NextCursor
		}
	}
	require.Equal(t, []string{"c", "b", "a"}, got)
	var shown operatorapi.Subscriber
	b.get("/operator/v1/subscribers/a").into(t, &shown)
	require.NotNil(t, shown.Consumer.OldestUnacknowledgedAt)

	b.away = true
	var page operatorapi.SubscriberPage
	b.get("/operator/v1/subscribers?mchid="+string(shop)).into(t, &page)
	require.Len(t, page.Subscribers, 3)
	require.Nil(t, page.Subscribers[0].Consumer, "nobody can say")
	require.NotNil(t, page.Subscribers[0].LastSample)
}

func TestSubscribers_are_removed_for_a_reason_and_not_unread(t *testing.T) {
	t.Parallel()
	b := withBroker(t)
	b.subscribe("shop", "")
	path := "/operator/v1/subscribers/shop/remove"
	b.place(shop, "order-0001")
	b.publish()
	p := b.post(path, `{"reason":"moved out"}`).problem(t)
	require.Equal(t, "FEN-4022", p.Code)
	require.Contains(t, p.Detail, "1 events")
	b.away = true
	require.Equal(t, "FEN-4022", b.post(path, `{"reason":"moved out"}`).problem(t).Code, "nobody can say")
	b.away = false
	require.Equal(t, "FEN-3008", b.do(http.MethodPost, path, `{"reason":"x"}`, b.read).problem(t).Code)
	require.Equal(t, "FEN-3001", b.post(path, `{"lose_unacknowledged":true}`).problem(t).Code)
	require.Equal(t, "FEN-3001", b.post(path, `{"reason":"x","lose_unacknowledged":"yes"}`).problem(t).Code)

	var removed operatorapi.RemovedSubscriber
	b.post(path, `{"reason":"moved out","lose_unacknowledged":true}`).into(t, &removed)
	require.True(t, removed.ConsumerDeleted)
	require.EqualValues(t, 1, *removed.Unacknowledged)
	require.Equal(t, "1", b.text("SELECT count(*) FROM audit WHERE action = 'subscriber.remove' AND subject = 'shop' AND detail ->> 'reason' = 'moved out' AND detail ->> 'unacknowledged' = '1'"))
	require.Equal(t, "FEN-3016", b.post(path, `{"reason":"x"}`).problem(t).Code)

	// Without a worker its row is removed, and its consumer when there is one again.
	b.subscribe("erp", "")
	b.away = true
	b.post("/operator/v1/subscribers/erp/remove", `{"reason":"moved out","lose_unacknowledged":true}`).into(t, &removed)
	require.False(t, removed.ConsumerDeleted)
	require.Equal(t, "FEN-3016", b.get("/operator/v1/subscribers/erp").problem(t).Code)
	b.away = false
	p = b.post("/operator/v1/subscribers", `{"name":"erp","mchid":"`+string(shop)+`","nkey":"`+aKey(t)+`","reason":"x"}`).problem(t)
	require.Equal(t, "FEN-4020", p.Code)
	require.Contains(t, p.Detail, "not deleted yet")
	b.sample()
	b.subscribe("erp", "")
}

func TestTold_says_which_events_of_an_order_were_acknowledged(t *testing.T) {
	t.Parallel()
	b := withBroker(t)
	b.place(shop, "before|*")
	b.publish() // 1
	b.subscribe("shop", `,"from":"now"`)
	b.subscribe("picky", `,"facts":["order.paid"]`)
	o := b.place(shop, "order-0001")
	b.publish() // 2
	b.pay(o, "4200000000000000000000000001", "EV-1")
	b.publish() // 3
	b.acknowledged("shop", 2)
	b.sample()
	other := b.place(shop, "order-0002") // in the outbox

	words, d := b.told("shop", o.OutTradeNo)
	require.Equal(t, []string{"order.created acknowledged", "order.paid not_yet"}, words)
	require.NotNil(t, d.Events[0].At)
	require.WithinDuration(t, time.Now(), *d.Events[0].At, time.Minute)
	require.EqualValues(t, 2, d.AcknowledgedUpTo)
	b.acknowledged("shop", 3) // and no sample yet
	words, d = b.told("shop", o.OutTradeNo)
	require.Equal(t, []string{"order.created acknowledged", "order.paid acknowledged"}, words)
	require.Nil(t, d.Events[1].At)
	words, _ = b.told("shop", "before|*")
	require.Equal(t, []string{"order.created before_start"}, words)
	words, _ = b.told("shop", other.OutTradeNo)
	require.Equal(t, []string{"order.created not_published"}, words)
	words, _ = b.told("picky", o.OutTradeNo)
	require.Equal(t, []string{"order.created not_subscribed", "order.paid not_yet"}, words)

	require.Equal(t, "FEN-3011", b.get("/operator/v1/subscribers/shop/told/nothing").problem(t).Code)
	require.Equal(t, "FEN-3001", b.get("/operator/v1/subscribers/shop/told/order-0001?mchid=1900000110").problem(t).Code)
	require.Equal(t, "FEN-3001", b.get("/operator/v1/subscribers/shop/told/"+strings.Repeat("x", 200)).problem(t).Code)
	b.away = true
	require.Equal(t, "FEN-5003", b.get("/operator/v1/subscribers/shop/told/order-0001").problem(t).Code)
}

// The position of an event says nothing where another event stands: the stream was
// made anew, or restored.
func TestTold_claims_nothing_of_a_position_that_means_another_event(t *testing.T) {
	t.Parallel()
	b := withBroker(t)
	b.subscribe("shop", "")
	o := b.place(shop, "order-0001")
	b.publish()
	b.acknowledged("shop", 1)
	b.sample()
	_, err := b.sql.ExecContext(t.Context(), "UPDATE published SET event_id = '01980000-0000-7000-8000-000000000001'")
	require.NoError(t, err)
	words, _ := b.told("shop", o.OutTradeNo)
	require.Equal(t, []string{"order.created unknown"}, words)
	var story operatorapi.Story
	b.get("/operator/v1/stories/order-0001").into(t, &story)
	for _, m := range story.Timeline {
		require.Nil(t, m.AcknowledgedBy)
		require.Nil(t, m.ToldNotYet)
	}
}

func TestStory_says_who_was_told_and_breaks_for_no_broker(t *testing.T) {
	t.Parallel()
	b := withBroker(t)
	o := b.place(shop, "order-0001")
	b.publish()
	story := func() operatorapi.Story {
		var s operatorapi.Story
		b.get("/operator/v1/stories/order-0001").into(t, &s)
		return s
	}
	event := func(fact string) operatorapi.Moment {
		for _, m := range story().Timeline {
			if string(m.Kind) == "event" && m.What == fact {
				return m
			}
		}
		t.Fatalf("no event %s", fact)
		return operatorapi.Moment{}
	}
	require.Nil(t, story().Acknowledgements, "nobody subscribes")
	b.subscribe("shop", "")
	b.subscribe("erp", "")
	b.subscribe("refunds", `,"facts":["refund.succeeded"]`)
	b.acknowledged("shop", 1)
	b.sample()
	b.pay(o, "4200000000000000000000000001", "EV-1") // in the outbox
	require.Equal(t, "known", string(*story().Acknowledgements))
	created, paid := event("order.created"), event("order.paid")
	require.Len(t, *created.AcknowledgedBy, 1)
	require.Equal(t, "shop", (*created.AcknowledgedBy)[0].Subscriber)
	require.NotNil(t, (*created.AcknowledgedBy)[0].At)
	require.Equal(t, []string{"erp"}, *created.ToldNotYet)
	require.Nil(t, paid.AcknowledgedBy)
	require.ElementsMatch(t, []string{"erp", "shop"}, *paid.ToldNotYet)

	b.away = true
	require.Equal(t, "unknown", string(*story().Acknowledgements))
	require.Nil(t, event("order.created").AcknowledgedBy)
	b.away = false
	require.NoError(t, b.broker.Stop())
	require.Equal(t, "unknown", string(*story().Acknowledgements))
}
