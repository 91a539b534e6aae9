package ingest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/session"
)

const (
	official = "wx8888888888888801"
	pageCode = "011-do-not-log-me"
	aTicket  = "a-ticket-do-not-log-me"
)

func (s *stage) sessionOf(m pay.MchID) string {
	token, _, err := s.signer.Sign(session.Claims{AccountID: "0191d5e4-7a3b-7c00-8000-000000000001", MchID: m, AppID: "wx8888888888888888", OpenID: "o1"})
	require.NoError(s.t, err)
	return token
}

// opened is what the front door answered, but for the body.
type opened struct {
	StatusCode int
	Header     http.Header
	cookies    []*http.Cookie
}

// knock asks the front door and follows no redirect.
func (s *stage) knock(method, path, body string, headers ...string) (opened, string) {
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.front+path, strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	require.NoError(s.t, err)
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	return opened{answer.StatusCode, answer.Header, answer.Cookies()}, string(raw)
}

// answering has the worker's side answer, once it is known there.
func (s *stage) answering(subject, answer string) {
	s.serve(subject, func([]byte) ([]byte, error) { return []byte(answer), nil })
	front := s.connect("front", bus.Limits{})
	require.Eventually(s.t, func() bool {
		_, err := front.Request(s.t.Context(), subject, []byte("{}"), time.Second)
		return err == nil
	}, soon, often)
}

const start = "/wx/oauth/" + official + "/start?return_to=https%3A%2F%2Fshop.example.com%2Fbuy%2Ftea&challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

func TestFront_takes_a_buyer_to_WeChat_and_back_over_the_bus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	s.answering(bus.RequestWeChatAuthorize, `{"status":200,"body":{"ticket":"`+aTicket+`"}}`)
	s.answering(bus.RequestWeChatLogin, `{"status":200,"body":{"session":"x","token_type":"Bearer","expires_at":"2026-11-21T06:00:00Z","account_id":"0191d5e4-7a3b-7c00-8000-000000000001"}}`)
	away, _ := s.knock(http.MethodGet, start, "")
	require.Equal(t, http.StatusFound, away.StatusCode)
	at, err := url.Parse(away.Header.Get("Location"))
	require.NoError(t, err)
	require.Equal(t, "open.weixin.qq.com", at.Host)
	require.Equal(t, "https://pay.example.com/wx/oauth/"+official+"/callback", at.Query().Get("redirect_uri"))
	callback := "/wx/oauth/" + official + "/callback?code=" + pageCode + "&state=" + at.Query().Get("state")
	cookie := away.cookies[0].Name + "=" + away.cookies[0].Value

	stranger, page := s.knock(http.MethodGet, callback, "")
	require.Equal(t, http.StatusBadRequest, stranger.StatusCode)
	require.Contains(t, page, "FEN-2012")
	back, _ := s.knock(http.MethodGet, callback, "", "Cookie", cookie)
	require.Equal(t, http.StatusFound, back.StatusCode)
	require.Equal(t, "https://shop.example.com/buy/tea?ticket="+aTicket, back.Header.Get("Location"))
	require.Negative(t, back.cookies[0].MaxAge)
	done, body := s.knock(http.MethodPost, "/wx/login/"+official, `{"ticket":"`+aTicket+`","verifier":"`+strings.Repeat("v", 43)+`"}`, "Origin", "https://shop.example.com")
	require.Equal(t, http.StatusOK, done.StatusCode, body)
	require.Equal(t, "https://shop.example.com", done.Header.Get("Access-Control-Allow-Origin"))
	require.NotContains(t, s.log.String(), at.Query().Get("state"))
}

func TestFront_answers_503_without_a_worker_and_while_the_broker_is_away(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	refusing := func() {
		for path, body := range map[string]string{"/wx/message/" + official: "<xml/>", "/wx/login/wx8888888888888888": `{"code":"c"}`} {
			answer, text := s.knock(http.MethodPost, path, body)
			require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode, text)
			require.Contains(t, text, "FEN-5003")
			require.NotEmpty(t, answer.Header.Get("Retry-After"))
		}
	}
	refusing()
	require.NoError(t, s.nats.Stop())
	require.Eventually(t, func() bool { status, _ := s.get(s.admin, "/readyz"); return status != http.StatusOK }, soon, often)
	refusing()
	require.NoError(t, s.nats.Restart())
}

// How long it waits, package front's tests say; on the wall, it hangs on the machine.
func TestFront_gives_up_on_a_slow_worker(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	release := make(chan struct{})
	defer close(release)
	s.serve(bus.RequestWeChatMessage, func(question []byte) ([]byte, error) {
		if string(question) != "{}" {
			<-release
		}
		return []byte(`{"status":200,"body":{"content_type":"text/plain","body":"success"}}`), nil
	})
	front := s.connect("front", bus.Limits{})
	require.Eventually(t, func() bool {
		_, err := front.Request(t.Context(), bus.RequestWeChatMessage, []byte("{}"), time.Second)
		return err == nil
	}, soon, often)
	answer, text := s.knock(http.MethodPost, "/wx/message/"+official, "<xml/>")
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	require.Contains(t, text, "FEN-5003")
}

func TestFront_shows_a_buyer_nothing_of_another_merchant(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	asked := make(chan string, 10)
	s.serve(bus.RequestWeChatOrder, func(question []byte) ([]byte, error) {
		asked <- string(question)
		return []byte(`{"status":200,"body":{"out_trade_no":"order-0001"}}`), nil
	})
	other, text := s.knock(http.MethodGet, "/wx/orders/order-0001", "", "Authorization", "Bearer "+s.sessionOf("1900000110"))
	require.Equal(t, http.StatusUnauthorized, other.StatusCode, text)
	token := s.sessionOf(mchid)
	require.Eventually(t, func() bool {
		answer, _ := s.knock(http.MethodGet, "/wx/orders/order-0001", "", "Authorization", "Bearer "+token)
		return answer.StatusCode == http.StatusOK
	}, soon, 300*time.Millisecond)
	require.JSONEq(t, `{"session":"`+token+`","out_trade_no":"order-0001"}`, <-asked, "the token itself, for the worker to verify")
	require.NotContains(t, s.log.String(), token)
}

func TestFront_follows_new_session_keys_origins_and_files(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	old := s.signer
	status := func(signer *session.Signer) int {
		s.signer = signer
		answer, _ := s.knock(http.MethodGet, "/wx/orders/x", "", "Authorization", "Bearer "+s.sessionOf(mchid))
		return answer.StatusCode // 404: the session is good, the number is none
	}
	require.Equal(t, http.StatusNotFound, status(old))
	file, text := s.knock(http.MethodGet, "/MP_verify_AbCdEf123456.txt", "")
	require.Equal(t, http.StatusOK, file.StatusCode)
	require.Equal(t, "AbCdEf123456", text)

	renewed := s.writeSessionKey()
	s.signals <- syscall.SIGHUP
	require.Eventually(t, func() bool { return status(renewed) == http.StatusNotFound }, soon, often)
	require.Equal(t, http.StatusUnauthorized, status(old), "the old key is gone from the files")

	s.write("session.pub", []byte("broken"))
	s.signals <- syscall.SIGHUP
	require.Eventually(t, func() bool { return strings.Contains(s.log.String(), "front.session_public_key_files") }, soon, often)
	require.Equal(t, http.StatusNotFound, status(renewed), "a broken file takes no key out of use")
	ready, answer := s.get(s.admin, "/readyz")
	require.Equal(t, http.StatusOK, ready, answer)
}

// A broken key of buyers' sessions must not keep WeChat Pay's notifications out.
func TestFront_that_can_verify_no_session_keeps_no_notification_out(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *setting) { o.session = "broken" })
	s.prove() // and /readyz is well
	answer, body := s.knock(http.MethodGet, "/wx/orders/x", "", "Authorization", "Bearer "+s.sessionOf(mchid))
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	require.Contains(t, body, "FEN-2015")
	status, _ := s.post(rsaKeys().public, publicID, `{"id":"EV-1"}`)
	require.Equal(t, http.StatusNoContent, status)
}

func TestFront_refuses_floods_of_headers_and_bodies(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	answer, _ := s.knock(http.MethodGet, start, "", "Cookie", strings.Repeat("a=b; ", 2<<10))
	require.Equal(t, http.StatusFound, answer.StatusCode, "below the limit")
	for path, size := range map[string]int{"/wx/login/wx8888888888888888": 16 << 10, "/wx/message/" + official: 64 << 10} {
		answer, _ = s.knock(http.MethodPost, path, strings.Repeat("x", size+1))
		require.Equal(t, http.StatusRequestEntityTooLarge, answer.StatusCode, path)
	}
	preflight, _ := s.knock(http.MethodOptions, "/wx/login/wx8888888888888888", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
	require.Empty(t, preflight.Header.Get("Access-Control-Allow-Origin"))
}

// The front door's user asks fenflow.wechat.* and can do nothing else.
func TestFront_may_ask_a_worker_and_nothing_else(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	for _, subject := range []string{"pay.command.order.create.1900000109", "pay.notify.live.1", "pay.event.1900000109.order.paid", "pay.message.wx1.text", "fenflow.read.order", "fenflow.read.account", "fenflow.act.check", "fenflow.act.profile", "fenflow.operate.menu", "fenflow.verify.v2", "$JS.API.INFO", "$KV.platform_keys.durability", "_INBOX_api.x"} {
		denied := make(chan error, 1)
		conn, err := nats.Connect(s.nats.URL(), nats.UserInfo("front", "pw-of-front"), nats.CustomInboxPrefix("_INBOX_front"),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
		require.NoError(t, err)
		require.NoError(t, conn.Publish(subject, []byte(`{}`)))
		require.ErrorIs(t, <-denied, nats.ErrPermissionViolation, subject)
		conn.Close()
	}
}

func TestIngestAPI_tells_a_shop_whose_session_it_is(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	status, answer := s.do(http.MethodPost, s.api, "/v1/sessions/introspect", `{"session":"`+s.sessionOf(mchid)+`"}`, "Authorization", "Bearer "+apiKey, "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, status, answer)
	var found struct {
		Active    bool
		AccountID string `json:"account_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &found))
	require.True(t, found.Active)
	require.NotEmpty(t, found.AccountID)
}
