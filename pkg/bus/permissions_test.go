package bus

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// probes are messages that somebody must not be able to send, and subjects
// that somebody must not be able to hear. Each role may do what is listed for
// it in allowed, and nothing else of all this.
var probes = []struct{ do, subject string }{
	{"publish", "pay.notify.live.1"},
	{"publish", "pay.notify.replay"},
	{"publish", "pay.notify.other"},
	{"publish", "pay.command.order.create.1900000109"},
	{"publish", "pay.command.order.close.1900000109"},
	{"publish", "pay.command.refund.create.1900000109"},
	{"publish", "pay.command.refund.give_up.1900000109"},
	{"publish", "pay.command.anomaly.accept.1900000109"},
	{"publish", "pay.command.anomaly.refund.1900000109"},
	{"publish", "pay.event.1900000109.order.paid"},
	{"publish", "pay.rejected.1900000109"},
	{"publish", "pay.message.wx1.text"},
	{"publish", "$KV.platform_keys.durability"},
	{"publish", "fenflow.platform.durability"},
	{"publish", "fenflow.verify.v2"},
	{"publish", "fenflow.read.order"},
	{"publish", "fenflow.read.history"},
	{"publish", "fenflow.act.check"},
	{"publish", "fenflow.act.abnormal"},
	{"publish", "fenflow.wechat.login"},
	{"publish", "fenflow.keys"},
	{"publish", "_INBOX_api.reply.x"},
	{"publish", "_INBOX_notify.x"},
	{"publish", "_R_.x.y"},
	{"publish", "$JS.API.INFO"},
	{"publish", "$JS.API.STREAM.LIST"},
	{"publish", "$JS.API.STREAM.NAMES"},
	{"publish", "$JS.API.STREAM.INFO.NOTIFY"},
	{"publish", "$JS.API.STREAM.CREATE.OTHER"},
	{"publish", "$JS.API.STREAM.UPDATE.EVENT"},
	{"publish", "$JS.API.STREAM.DELETE.NOTIFY"},
	{"publish", "$JS.API.STREAM.DELETE.KV_platform_keys"},
	{"publish", "$JS.API.STREAM.PURGE.NOTIFY"},
	{"publish", "$JS.API.STREAM.PURGE.EVENT"},
	{"publish", "$JS.API.STREAM.PURGE.KV_platform_keys"},
	{"publish", "$JS.API.STREAM.MSG.DELETE.NOTIFY"},
	{"publish", "$JS.API.STREAM.MSG.DELETE.KV_platform_keys"},
	{"publish", "$JS.API.STREAM.MSG.GET.NOTIFY"},
	{"publish", "$JS.API.STREAM.MSG.GET.EVENT"},
	{"publish", "$JS.API.STREAM.MSG.GET.REJECTED"},
	{"publish", "$JS.API.STREAM.PURGE.REJECTED"},
	{"publish", "$JS.API.STREAM.MSG.DELETE.REJECTED"},
	{"publish", "$JS.API.DIRECT.GET.REJECTED"},
	{"publish", "$JS.API.CONSUMER.CREATE.REJECTED.x"},
	{"publish", "$JS.API.STREAM.MSG.GET.COMMAND"},
	{"publish", "$JS.API.STREAM.MSG.GET.KV_platform_keys"},
	{"publish", "$JS.API.STREAM.SNAPSHOT.NOTIFY"},
	{"publish", "$JS.API.STREAM.RESTORE.NOTIFY"},
	{"publish", "$JS.API.DIRECT.GET.NOTIFY"},
	{"publish", "$JS.API.DIRECT.GET.KV_platform_keys"},
	{"publish", "$JS.API.CONSUMER.CREATE.NOTIFY.x"},
	{"publish", "$JS.API.CONSUMER.CREATE.EVENT.x"},
	{"publish", "$JS.API.CONSUMER.CREATE.KV_platform_keys.x"},
	{"publish", "$JS.API.CONSUMER.DELETE.NOTIFY.settle-live"},
	{"publish", "$JS.API.CONSUMER.MSG.NEXT.NOTIFY.settle-live"},
	{"publish", "$JS.API.CONSUMER.MSG.NEXT.EVENT.business"},
	{"publish", "fenflow.events.CONSUMER.INFO.EVENT.business"},
	{"publish", "fenflow.events.CONSUMER.MSG.NEXT.EVENT.business"},
	{"publish", "fenflow.events.CONSUMER.CREATE.EVENT.x"},
	{"publish", "$JS.API.CONSUMER.CREATE.MESSAGE.messages.pay.message.>"},
	{"publish", "$JS.API.CONSUMER.CREATE.MESSAGE.x"},
	{"publish", "$JS.API.CONSUMER.INFO.MESSAGE.messages"},
	{"publish", "$JS.API.CONSUMER.DELETE.MESSAGE.messages"},
	{"publish", "$JS.API.CONSUMER.MSG.NEXT.MESSAGE.messages"},
	{"publish", "$JS.API.STREAM.MSG.GET.MESSAGE"},
	{"publish", "$JS.API.STREAM.PURGE.MESSAGE"},
	{"publish", "$JS.API.STREAM.DELETE.MESSAGE"},
	{"publish", "$JS.API.DIRECT.GET.MESSAGE"},
	{"publish", "fenflow.events.CONSUMER.INFO.MESSAGE.messages"},
	{"publish", "fenflow.events.CONSUMER.MSG.NEXT.MESSAGE.messages"},
	{"publish", "fenflow.events.CONSUMER.MSG.NEXT.MESSAGE.other"},
	{"publish", "fenflow.events.CONSUMER.CREATE.MESSAGE.messages"},
	{"publish", "fenflow.events.STREAM.MSG.GET.MESSAGE"},
	{"publish", "$JS.ACK.MESSAGE.messages.1.1.1.1.1"},
	{"publish", "$JS.ACK._.hash.MESSAGE.messages.1.1.1.1.1.1"},
	{"publish", "$JS.ACK.MESSAGE.other.1.1.1.1.1"},
	{"publish", "$JS.ACK.other.MESSAGE.messages.1.1.1.1.1"},
	{"publish", "$JS.ACK.NOTIFY.settle-live.1.1.1.1.1"},
	{"publish", "$JS.ACK._.hash.NOTIFY.settle-live.1.1.1.1.1.1"},
	{"publish", "$JS.ACK.COMMAND.command-1.1.1.1.1.1"},
	{"publish", "$JS.ACK.EVENT.business.1.1.1.1.1"},
	{"publish", "$JS.ACK._.hash.EVENT.business.1.1.1.1.1.1"},
	// Another business system's.
	{"publish", "$JS.API.CONSUMER.DELETE.EVENT.business"},
	{"publish", "$JS.API.CONSUMER.DELETE.EVENT.shop"},
	{"publish", "$JS.API.CONSUMER.RESET.EVENT.shop"},
	{"publish", "fenflow.events.CONSUMER.INFO.EVENT.shop"},
	{"publish", "fenflow.events.CONSUMER.MSG.NEXT.EVENT.shop"},
	{"publish", "$JS.ACK.EVENT.shop.1.1.1.1.1"},
	{"publish", "$JS.ACK._.hash.EVENT.shop.1.1.1.1.1.1"},
	// Today's form of an acknowledgement in the clothes of the other: what stands
	// where the other has the stream is a count to the server.
	{"publish", "$JS.ACK.EVENT.shop.EVENT.1.1.1.1"},
	{"publish", "$JS.ACK.EVENT.shop.NOTIFY.1.1.1.1"},
	{"publish", "$SYS.REQ.SERVER.PING"},
	{"subscribe", ">"},
	{"subscribe", "pay.>"},
	{"subscribe", "pay.notify.live.1"},
	{"subscribe", "pay.event.>"},
	{"subscribe", "pay.command.>"},
	{"subscribe", "pay.message.>"},
	{"subscribe", "_INBOX.>"},
	{"subscribe", "_INBOX_notify.>"},
	{"subscribe", "_INBOX_api.>"},
	{"subscribe", "_INBOX_front.>"},
	{"subscribe", "_INBOX_worker.>"},
	{"subscribe", "_INBOX_reconciler.>"},
	{"subscribe", "_INBOX_console.>"},
	{"subscribe", "_INBOX_subscriber.>"},
	{"subscribe", "fenflow.verify.v2"},
	{"subscribe", "fenflow.read.order"},
	{"subscribe", "fenflow.act.check"},
	{"subscribe", "fenflow.act.abnormal"},
	{"publish", "fenflow.operate.rehearse"},
	{"subscribe", "fenflow.operate.rehearse"},
	{"publish", "_INBOX_console.reply.x"},
	{"publish", "fenflow.operate.menu"},
	{"publish", "fenflow.wechat.message"},
	{"publish", "fenflow.wechat.other.message"},
	{"publish", "$SRV.PING"},
	{"publish", "$SRV.INFO.fenflow-wechat"},
	{"publish", "$SRV.STATS.fenflow-wechat"},
	{"subscribe", "$SRV.>"},
	{"subscribe", "$SRV.PING"},
	{"subscribe", "$SRV.STATS.fenflow-wechat"},
	{"subscribe", "$SRV.INFO.fenflow-wechat.id"},
	{"subscribe", "$SRV.INFO.other"},
	{"subscribe", "fenflow.wechat.login"},
	{"subscribe", "fenflow.wechat.message"},
	{"subscribe", "fenflow.platform.>"},
	{"subscribe", "$KV.platform_keys.>"},
	{"subscribe", "$JS.>"},
	{"subscribe", "$SYS.>"},
}

var allowed = map[string][]string{
	"notify": {
		"publish pay.notify.live.1", "publish pay.rejected.1900000109", "publish fenflow.verify.v2", "publish fenflow.keys",
		"subscribe _INBOX_notify.>", "subscribe fenflow.platform.>",
	},
	"api": {
		"publish pay.command.order.create.1900000109", "publish pay.command.order.close.1900000109", "publish pay.command.refund.create.1900000109",
		"publish fenflow.read.order", "publish fenflow.read.history",
		"publish fenflow.act.check", "publish fenflow.act.abnormal",
		"subscribe _INBOX_api.>",
	},
	"front": {"publish fenflow.wechat.login", "publish fenflow.wechat.message", "subscribe _INBOX_front.>"},
	"worker": {
		"publish pay.event.1900000109.order.paid", "publish pay.message.wx1.text", "publish pay.notify.replay", "publish $KV.platform_keys.durability",
		"publish _INBOX_api.reply.x", "publish _INBOX_console.reply.x",
		"publish $JS.API.INFO", "publish $JS.API.STREAM.INFO.NOTIFY", "publish $JS.API.STREAM.CREATE.OTHER", "publish $JS.API.STREAM.UPDATE.EVENT",
		"publish $JS.API.STREAM.PURGE.NOTIFY", "publish $JS.API.STREAM.MSG.GET.NOTIFY", "publish $JS.API.STREAM.MSG.GET.EVENT",
		"publish $JS.API.STREAM.MSG.GET.COMMAND",
		"publish $JS.API.STREAM.MSG.GET.REJECTED",
		"publish $JS.API.CONSUMER.CREATE.NOTIFY.x", "publish $JS.API.CONSUMER.CREATE.EVENT.x", "publish $JS.API.CONSUMER.DELETE.EVENT.shop",
		"publish $JS.API.CONSUMER.MSG.NEXT.NOTIFY.settle-live",
		"publish $JS.API.CONSUMER.CREATE.MESSAGE.messages.pay.message.>",
		"publish $JS.ACK.NOTIFY.settle-live.1.1.1.1.1", "publish $JS.ACK._.hash.NOTIFY.settle-live.1.1.1.1.1.1",
		"publish $JS.ACK.COMMAND.command-1.1.1.1.1.1",
		"subscribe _INBOX_worker.>", "subscribe fenflow.verify.v2", "subscribe fenflow.read.order",
		"subscribe fenflow.act.check", "subscribe fenflow.act.abnormal", "subscribe fenflow.operate.rehearse", "subscribe fenflow.wechat.login",
		"subscribe fenflow.wechat.message", "subscribe $SRV.PING", "subscribe $SRV.STATS.fenflow-wechat", "subscribe $SRV.INFO.fenflow-wechat.id",
	},
	"reconciler": {"subscribe _INBOX_reconciler.>"},
	"console": {
		"publish pay.command.order.close.1900000109", "publish pay.command.refund.create.1900000109",
		"publish pay.command.refund.give_up.1900000109", "publish pay.command.anomaly.accept.1900000109", "publish pay.command.anomaly.refund.1900000109",
		"publish fenflow.act.check", "publish fenflow.act.abnormal", "publish fenflow.operate.rehearse",
		"publish fenflow.operate.menu", "subscribe _INBOX_console.>",
	},
	"subscriber": {
		"publish fenflow.events.CONSUMER.INFO.EVENT.business", "publish fenflow.events.CONSUMER.MSG.NEXT.EVENT.business",
		"publish fenflow.events.CONSUMER.INFO.MESSAGE.messages", "publish fenflow.events.CONSUMER.MSG.NEXT.MESSAGE.messages",
		"publish $JS.ACK.MESSAGE.messages.1.1.1.1.1", "publish $JS.ACK._.hash.MESSAGE.messages.1.1.1.1.1.1",
		"publish $JS.ACK.EVENT.business.1.1.1.1.1", "publish $JS.ACK._.hash.EVENT.business.1.1.1.1.1.1",
		"subscribe _INBOX_subscriber.>",
	},
}

func TestPermissions_each_role_may_do_what_it_needs_and_nothing_else(t *testing.T) {
	t.Parallel()
	n := broker(t) // without streams: a probe that is let through changes nothing
	for _, role := range allRoles {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			may := map[string]bool{}
			for _, a := range allowed[role] {
				may[a] = true
			}
			for _, p := range probes {
				require.Equal(t, may[p.do+" "+p.subject], lets(t, probe(t, n, role), p.do, p.subject), "%s: %s %s", role, p.do, p.subject)
				delete(may, p.do+" "+p.subject)
			}
			require.Empty(t, may, "every permission is probed")
		})
	}
}

// prober is a connection with the last denial on it.
type prober struct {
	conn   *nats.Conn
	denied chan error
}

func probe(t testing.TB, n interface{ URL() string }, role string) prober {
	t.Helper()
	p := prober{denied: make(chan error, 100)} // more than one probe can cause
	var err error
	p.conn, err = nats.Connect(n.URL(), nats.UserInfo(role, "pw-"+role),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { p.denied <- err }))
	require.NoError(t, err)
	t.Cleanup(p.conn.Close)
	return p
}

// lets tries one thing and asks whether the server denied it. The flush comes
// back after a denial; the denial itself is handed over by another goroutine,
// but the connection remembers it before.
func lets(t testing.TB, p prober, do, subject string) bool {
	t.Helper()
	if do == "publish" {
		require.NoError(t, p.conn.Publish(subject, nil))
	} else {
		_, err := p.conn.SubscribeSync(subject)
		require.NoError(t, err)
	}
	require.NoError(t, p.conn.Flush())
	defer p.conn.Close()
	if p.conn.LastError() == nil {
		return true
	}
	require.ErrorIs(t, p.conn.LastError(), nats.ErrPermissionViolation)
	return false
}

func TestPermissions_nobody_gets_in_without_a_user(t *testing.T) {
	t.Parallel()
	n := broker(t)
	_, err := nats.Connect(n.URL())
	require.ErrorIs(t, err, nats.ErrAuthorization)
	_, err = nats.Connect(n.URL(), nats.UserInfo("admin", ""))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	_, err = nats.Connect(n.URL(), nats.UserInfo("worker", ""))
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

// The server checks no reply subject: these would work if the roles on the
// edge shared an account with JetStream.
func TestPermissions_a_reply_subject_reaches_nothing_of_ours(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.worker.PutVerdict(t.Context(), Verdict{OK: true}))
	_, err := w.worker.PublishEvents(t.Context(), events(0, 3))
	require.NoError(t, err)
	require.NoError(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(1)))
	before := map[string]uint64{}
	targets := []string{
		"$JS.API.STREAM.DELETE.NOTIFY", "$JS.API.STREAM.DELETE.EVENT", "$JS.API.STREAM.PURGE.EVENT", "$JS.API.STREAM.PURGE.NOTIFY",
		"pay.event.1900000109.order.paid", "pay.command.order.create.1900000109", "pay.notify.replay", "$KV.platform_keys.durability",
		"pay.message.wx1.text", "$JS.API.STREAM.DELETE.MESSAGE",
	}
	for _, s := range []string{StreamNotify, StreamCommand, StreamEvent, StreamRejected, streamKeys, StreamMessage} {
		before[s] = w.stream(t, s).State.LastSeq
	}
	for role, asks := range map[string]map[string]string{
		"notify": {
			"fenflow.keys":      `{"multi_last":["$KV.platform_keys.none"],"batch":1}`, // answered with an empty 404
			"pay.notify.live.1": "x",                                                   // answered with a PubAck
		},
		"api": {"pay.command.order.create.1900000109": "x"},
		"subscriber": {
			"fenflow.events.CONSUMER.MSG.NEXT.EVENT.business":   `{"batch":1,"no_wait":true}`,
			"fenflow.events.CONSUMER.MSG.NEXT.MESSAGE.messages": `{"batch":1,"no_wait":true}`,
		},
	} {
		conn := raw(t, w.server, role, nil)
		for subject, body := range asks {
			for _, target := range targets {
				require.NoError(t, conn.PublishRequest(subject, target, []byte(body)))
			}
		}
		require.NoError(t, conn.Flush())
	}
	// Everything that was asked has been answered once these are stored.
	require.NoError(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(2)))
	api := connect(t, w.server, "api")
	require.NoError(t, api.PublishCommand(t.Context(), command(1, "1900000109")))
	require.NoError(t, w.worker.PutVerdict(t.Context(), Verdict{OK: true}))
	after := func(s string) uint64 { return w.stream(t, s).State.LastSeq - before[s] }
	require.EqualValues(t, len(targets)+1, after(StreamNotify), "its own messages only")
	require.EqualValues(t, len(targets)+1, after(StreamCommand), "its own messages only")
	require.Zero(t, after(StreamEvent))
	require.Zero(t, after(StreamMessage))
	require.EqualValues(t, 3, w.stream(t, StreamEvent).State.Msgs)
	require.EqualValues(t, 1, after(streamKeys))
}

func TestPermissions_the_edge_reads_keys_and_cannot_change_them(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.worker.PutVerdict(t.Context(), Verdict{OK: false}))
	require.Error(t, w.notify.PutVerdict(shortly(t), Verdict{OK: true}))
	js, err := jetstream.New(raw(t, w.server, "notify", nil), jetstream.WithDefaultTimeout(300*time.Millisecond))
	require.NoError(t, err)
	_, err = js.KeyValue(t.Context(), "platform_keys")
	require.Error(t, err)
	require.Error(t, js.DeleteKeyValue(t.Context(), "platform_keys"))
	p := until(t, w.watch(t), func(p Platform) bool { return p.Verdict != nil })
	require.False(t, p.Verdict.OK)
}

func TestPermissions_denials_are_logged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	log := &lines{}
	notify := connect(t, w.server, "notify", func(c *Config) { c.Logger = log.logger() })
	err := notify.publish(shortly(t), &nats.Msg{Subject: "pay.event.1900000109.order.paid", Data: []byte("x")}, StreamEvent)
	require.ErrorIs(t, err, ErrSlow, "a denial answers nothing")
	require.Eventually(t, func() bool { return log.contains("NATS denies a permission") }, soon, often)
}
