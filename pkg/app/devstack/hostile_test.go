package devstack

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/session"
)

// One stack for all who mean harm: it takes longer to start than to attack.
func TestFrontDoor_holds_against_strangers_and_a_captured_edge(t *testing.T) {
	t.Parallel()
	stack, err := Start(t.Context(), Options{Dir: t.TempDir(), FreePort: true, Speed: demoSpeed, Log: testWriter{t}})
	require.NoError(t, err)
	t.Cleanup(stack.Stop)
	b := welcome(t, stack)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	victim := &who{user: "lilei"}
	account, err := b.login(ctx, victim, b.mini, "mini", false)
	require.NoError(t, err)
	require.NoError(t, b.order(ctx, victim, map[string]any{"client": "native", "appid": b.mini, "account_id": account}))
	b.capturedEdge(ctx, victim)
	b.strangersWhileWeChatIsSlow(ctx, victim)
	require.Zero(t, stack.Restarts(), "nobody made a role fall")
}

// capturedEdge has the edge's password of the broker and the public key, and wants
// more than to ask.
func (b *buyers) capturedEdge(ctx context.Context, victim *who) {
	t := b.t
	var mu sync.Mutex
	var refused []string
	conn, err := nats.Connect(b.stack.NATSURL(), nats.UserInfo("front", b.stack.passwords["front"]), nats.CustomInboxPrefix("_INBOX_front"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			mu.Lock()
			defer mu.Unlock()
			refused = append(refused, err.Error())
		}))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	forbidden := 0
	for _, subject := range []string{">", "_INBOX_worker.>", "_INBOX_api.>", "fenflow.wechat.*", "pay.>", "$SYS.>", "$SRV.>", "_R_.>"} {
		_, err := conn.Subscribe(subject, func(m *nats.Msg) { t.Errorf("the edge overhears %s", m.Subject) })
		require.NoError(t, err)
		forbidden++
	}
	for _, subject := range []string{"fenflow.read.order", "fenflow.read.account", "fenflow.act.check", "fenflow.operate.menu", "pay.notify.live.1", "pay.event.1.order.paid", "$JS.API.INFO", "$SRV.INFO"} {
		require.NoError(t, conn.Publish(subject, []byte(`{}`)))
		forbidden++
	}
	require.NoError(t, conn.Flush())
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(refused) >= forbidden
	}, 10*time.Second, 10*time.Millisecond)

	_, own, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	parts := strings.Split(victim.sessions[0], ".")
	forged, _, err := session.NewSigner(own, time.Hour, time.Now).Sign(session.Claims{AccountID: "0191d5e4-7a3b-7c00-8000-000000000001", MchID: "1900000109", AppID: "wx8888888888888888", OpenID: "o1"})
	require.NoError(t, err)
	payload := strings.Split(forged, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	for _, token := range []any{
		forged, parts[0] + "." + payload[1] + "." + payload[2], parts[0] + "." + payload[1] + "." + parts[2], none + "." + parts[1] + ".", "", nil, 1, []string{"x"},
		victim.sessions[0] + "\n", strings.Repeat("a", 100_000),
	} {
		for _, act := range []string{"order", "check", "pay"} {
			status := b.asEdge(conn, act, map[string]any{"session": token, "out_trade_no": victim.orders[0]})
			require.Contains(t, []int{http.StatusBadRequest, http.StatusUnauthorized}, status, "%s with %.20v", act, token)
		}
	}
	for _, act := range []string{"authorize", "login", "jsconfig", "message", "order", "check", "pay"} {
		for _, question := range []string{``, `null`, `[]`, `"x"`, `{"appid":1}`, `{"appid":"` + b.mini + `","code":{},"method":[]}`, strings.Repeat(`[`, 100_000), "\x00\xff"} {
			_, _ = conn.Request("fenflow.wechat."+act, []byte(question), 10*time.Second) // whatever it says, it lives on
		}
	}
	require.Equal(t, http.StatusOK, b.asEdge(conn, "order", map[string]any{"session": victim.sessions[0], "out_trade_no": victim.orders[0]}), "what is right is still answered")
}

func (b *buyers) asEdge(conn *nats.Conn, act string, question any) int {
	b.t.Helper()
	raw, err := json.Marshal(question)
	require.NoError(b.t, err)
	answer, err := conn.Request("fenflow.wechat."+act, raw, 10*time.Second)
	require.NoError(b.t, err)
	var found struct{ Status int }
	require.NoError(b.t, json.Unmarshal(answer.Data, &found), string(answer.Data))
	return found.Status
}

// strangersWhileWeChatIsSlow come from everywhere with codes that they made up, while
// each call to WeChat takes seconds. Who has a session notices nothing, WeChat hears of
// a few of them, and once WeChat is well a buyer gets in at once.
func (b *buyers) strangersWhileWeChatIsSlow(ctx context.Context, victim *who) {
	t := b.t
	const strangers = 900
	_, err := b.post(ctx, b.platform.base+"/control/weixin/faults", "", map[string]any{"api": "/sns/jscode2session", "latency_ms": 4000}, nil)
	require.NoError(t, err)
	var all sync.WaitGroup
	statuses := make(chan int, strangers)
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	for i := range strangers {
		all.Go(func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.stack.FrontURL()+"/wx/login/"+b.mini, strings.NewReader(fmt.Sprintf(`{"code":"made-up-%d"}`, i)))
			if err != nil {
				return
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.%d.%d", i/250, i%250))
			if answer, err := client.Do(r); err == nil {
				statuses <- answer.StatusCode
				_ = answer.Body.Close()
			}
		})
	}
	<-statuses
	status, _ := b.reads(ctx, victim.sessions[0], victim.orders[0])
	require.Equal(t, http.StatusOK, status, "other questions have places of their own")
	all.Wait()
	close(statuses)
	busy := 0
	for status := range statuses {
		if status == http.StatusServiceUnavailable {
			busy++
		}
	}
	require.Greater(t, busy, strangers/2, "who is too many is told so")
	r, err := http.NewRequestWithContext(ctx, http.MethodDelete, b.platform.base+"/control/weixin/faults", http.NoBody)
	require.NoError(t, err)
	_, _, err = b.do(r)
	require.NoError(t, err)
	began := time.Now()
	_, err = b.login(ctx, victim, b.mini, "mini", false)
	require.NoError(t, err)
	require.Less(t, time.Since(began), 10*time.Second, "nothing is worked through for those who left")
}
