package message_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/message"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
	"github.com/fenflow/fenflow/pkg/wechat"
)

const (
	plainApp = pay.AppID("wx8888888888888888") // without AES keys
	safeApp  = pay.AppID("wx9999999999999999")
	shop     = pay.MchID("1900000109")
	token    = merchant.Secret("tokenOfMessages")
	newKey   = merchant.Secret("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG")
	oldKey   = merchant.Secret("ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkY")
	foreign  = merchant.Secret("0123456789ABCDEFGabcdefghijklmnopqrstuvwxyM")
	soon     = 20 * time.Second
	often    = 10 * time.Millisecond
)

var noon = time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)

// stage is a service on a real broker and real books. It is its apps.
type stage struct {
	t       *testing.T
	broker  *servers.NATS
	worker  *bus.Bus
	books   *store.Store
	db      *sql.DB
	service *message.Service
	log     *lines
	secrets map[pay.AppID]merchant.AppSecrets
	now     time.Time
}

func setup(t *testing.T, change ...func(*message.Options)) *stage {
	t.Helper()
	s := &stage{t: t, now: noon, log: &lines{}, secrets: map[pay.AppID]merchant.AppSecrets{
		plainApp: {MessageToken: token}, safeApp: {MessageToken: token, MessageAESKeys: []merchant.Secret{newKey, oldKey}}, "wx1": {},
	}}
	s.broker = testkit.NATS(t, func(o *servers.NATSOptions) {
		o.ConfigFile, o.Environment = "../../deploy/nats.conf", map[string]string{}
		for _, role := range []string{"NOTIFY", "API", "FRONT", "WORKER", "RECONCILER", "CONSOLE", "SUBSCRIBER"} {
			o.Environment["FENFLOW_NATS_"+role+"_PASSWORD"] = "pw-" + strings.ToLower(role)
		}
	})
	s.worker = s.connect("worker")
	require.NoError(t, s.worker.EnsureStreams(t.Context()))
	url := testkit.Database(t, "message", func(ctx context.Context, url string) error { _, err := store.Migrate(ctx, url); return err })
	var err error
	s.books, err = store.Open(t.Context(), store.Config{URL: url, MaxConns: 4, Name: "message test"})
	require.NoError(t, err)
	s.db, err = sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.books.Close())
		require.NoError(t, s.db.Close())
	})
	o := message.Options{
		Apps: s, Bus: s.worker, Memory: s.books, Now: func() time.Time { return s.now }, Random: rand.Reader,
		Log: slog.New(slog.NewTextHandler(s.log, nil)), Registry: prometheus.NewRegistry(),
	}
	for _, c := range change {
		c(&o)
	}
	s.service = message.New(o)
	return s
}

func (s *stage) connect(role string) *bus.Bus {
	s.t.Helper()
	b, err := bus.Connect(s.t.Context(), bus.Config{URL: s.broker.URL(), Role: role, Password: "pw-" + role, PublishTimeout: 3 * time.Second})
	require.NoError(s.t, err)
	s.t.Cleanup(b.Close)
	return b
}

// AppSecrets is what the worker has of apps.
func (s *stage) AppSecrets(id pay.AppID) (pay.MchID, merchant.App, merchant.AppSecrets, bool) {
	secrets, known := s.secrets[id]
	return shop, merchant.App{AppID: id, Kind: merchant.KindOfficialAccount}, secrets, known
}

// push is a question of the edge.
type push struct {
	AppID       pay.AppID `json:"appid"`
	Method      string    `json:"method"`
	Query       string    `json:"query"`
	ContentType string    `json:"content_type"`
	Body        []byte    `json:"body"`
}

type answered struct {
	status int
	body   string
	code   string // of a problem
}

func (s *stage) ask(p push) answered {
	s.t.Helper()
	raw, err := json.Marshal(p)
	require.NoError(s.t, err)
	answer, err := s.service.Answer(s.t.Context(), raw)
	require.NoError(s.t, err)
	return readAnswer(s.t, answer)
}

func readAnswer(t testing.TB, raw []byte) answered {
	t.Helper()
	var a problem.Answer
	require.NoError(t, json.Unmarshal(raw, &a))
	var said struct{ Body, Code string }
	require.NoError(t, json.Unmarshal(a.Body, &said))
	return answered{a.Status, said.Body, said.Code}
}

func signature(texts ...string) string {
	slices.Sort(texts)
	sum := sha1.Sum([]byte(strings.Join(texts, "")))
	return hex.EncodeToString(sum[:])
}

func (s *stage) query(token merchant.Secret, more ...string) string {
	timestamp, nonce := fmt.Sprint(s.now.Unix()), "263014780"
	q := url.Values{"timestamp": {timestamp}, "nonce": {nonce}, "signature": {signature(token.Reveal(), timestamp, nonce)}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return q.Encode()
}

func (s *stage) plain(text string) push {
	return push{AppID: plainApp, Method: "POST", Query: s.query(token), ContentType: "text/xml", Body: []byte(text)}
}

// sealed is a push in safe mode, as WeChat makes it with a key for an app.
func (s *stage) sealed(key merchant.Secret, inside pay.AppID, text string) push {
	s.t.Helper()
	keys := wechat.PushKeys{AppID: inside, Token: token, AESKeys: []merchant.Secret{key}}
	timestamp, nonce := fmt.Sprint(s.now.Unix()), "263014780"
	raw, err := wechat.SealReply(keys, wechat.Opened{Key: 0}, []byte(text), timestamp, nonce, []byte("aaaabbbbccccdddd"))
	require.NoError(s.t, err)
	e := envelope(s.t, raw)
	body := []byte("<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt><![CDATA[" + e.Encrypt + "]]></Encrypt></xml>")
	return push{AppID: safeApp, Method: "POST", Query: s.query(token, "encrypt_type", "aes", "msg_signature", e.MsgSignature), ContentType: "text/xml", Body: body}
}

type sealedXML struct{ Encrypt, MsgSignature, TimeStamp, Nonce string }

func envelope(t testing.TB, raw []byte) sealedXML {
	t.Helper()
	var e sealedXML
	require.NoError(t, xml.Unmarshal(raw, &e))
	return e
}

func textMessage(id, content string) string {
	return "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[oBuyer]]></FromUserName><CreateTime>1772337600</CreateTime>" +
		"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[" + content + "]]></Content><MsgId>" + id + "</MsgId></xml>"
}

func eventMessage(event, key string) string {
	return "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[oBuyer]]></FromUserName><CreateTime>1772337600</CreateTime>" +
		"<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[" + event + "]]></Event><EventKey><![CDATA[" + key + "]]></EventKey></xml>"
}

// published fetches what is on the stream, as a business system does.
func (s *stage) published(want int) []event.MessageEvent {
	s.t.Helper()
	conn, err := nats.Connect(s.broker.URL(), nats.UserInfo("subscriber", "pw-subscriber"), nats.CustomInboxPrefix("_INBOX_subscriber"))
	require.NoError(s.t, err)
	defer conn.Close()
	js, err := jetstream.NewWithAPIPrefix(conn, bus.SubscriberAPIPrefix)
	require.NoError(s.t, err)
	consumer, err := js.Consumer(s.t.Context(), bus.StreamMessage, bus.MessageConsumer)
	require.NoError(s.t, err)
	all := make([]event.MessageEvent, want)
	for i := range all {
		msg, err := consumer.Next(jetstream.FetchMaxWait(soon))
		require.NoError(s.t, err)
		require.NoError(s.t, msg.DoubleAck(s.t.Context()))
		all[i], err = event.ParseMessage(msg.Data())
		require.NoError(s.t, err)
	}
	info, err := consumer.Info(s.t.Context())
	require.NoError(s.t, err)
	require.Zero(s.t, info.NumPending, "and no more")
	return all
}

func (s *stage) remembered() int {
	s.t.Helper()
	var n int
	require.NoError(s.t, s.db.QueryRowContext(s.t.Context(), `SELECT count(*) FROM messages_seen`).Scan(&n))
	return n
}

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
