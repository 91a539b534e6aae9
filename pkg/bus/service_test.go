package bus

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/deploy"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// onlooker is the user that deploy/nats.conf tells an administrator to make.
const onlooker = `
      {
        user: onlooker
        password: pw-onlooker
        permissions {publish {allow: ["$SRV.>", "fenflow.wechat.*"]}, subscribe {allow: ["_INBOX_onlooker.>", "pay.message.>"]}}
      }
      {
        user: reconciler`

func observedWorld(t testing.TB) world {
	t.Helper()
	conf := strings.Replace(string(deploy.NATSConf()), "\n      {\n        user: reconciler", onlooker, 1)
	require.Contains(t, conf, "onlooker")
	file := ownConf(t, "")
	require.NoError(t, os.WriteFile(file, []byte(conf), 0o600))
	w := world{server: broker(t, func(o *servers.NATSOptions) { o.ConfigFile = file })}
	w.worker = connect(t, w.server, "worker")
	require.NoError(t, w.worker.EnsureStreams(t.Context()))
	return w
}

func (w world) serveService(t testing.TB, handlers map[string]Handler) (stop func() <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() {
		err := w.worker.ServeService(ctx, ServiceConfig{Name: ServiceWeChat, Version: "v1.2.3", Description: "answers the front door"}, handlers)
		done <- err
		done <- err // to the test, and to the end of it
	}()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
	return func() <-chan error { cancel(); return done }
}

func echo(_ context.Context, data []byte) ([]byte, error) {
	switch string(data) {
	case "fail":
		return nil, errors.New("no such app")
	case "panic":
		panic("hostile bytes")
	}
	return append([]byte("seen "), data...), nil
}

func TestServeService_answers_and_shows_itself_to_the_broker_s_tools(t *testing.T) {
	t.Parallel()
	w := observedWorld(t)
	front := connect(t, w.server, "front")
	w.serveService(t, map[string]Handler{RequestWeChatLogin: echo, RequestWeChatMessage: echo})
	require.Eventually(t, func() bool {
		answer, err := front.Request(t.Context(), RequestWeChatLogin, []byte("q"), soon)
		return err == nil && string(answer) == "seen q"
	}, soon, often)
	for _, bad := range []string{"fail", "panic"} {
		_, err := front.Request(t.Context(), RequestWeChatMessage, []byte(bad), soon)
		require.ErrorIs(t, err, ErrRemote)
		require.NotContains(t, err.Error(), "hostile")
	}
	_, err := front.Request(t.Context(), RequestWeChatMessage, []byte("q"), soon)
	require.NoError(t, err, "a panic ends one request only")

	look := raw(t, w.server, "onlooker", nil)
	ask := func(subject string, into any) {
		t.Helper()
		msg, err := look.Request(subject, nil, soon)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(msg.Data, into))
	}
	var ping micro.Ping
	ask("$SRV.PING", &ping)
	require.Equal(t, ServiceWeChat, ping.Name)
	require.Equal(t, "1.2.3", ping.Version)
	var info micro.Info
	ask("$SRV.INFO."+ServiceWeChat, &info)
	names := map[string]string{}
	for _, e := range info.Endpoints {
		names[e.Name] = e.Subject + " " + e.QueueGroup
	}
	require.Equal(t, map[string]string{"login": "fenflow.wechat.login fenflow", "message": "fenflow.wechat.message fenflow"}, names)
	var stats micro.Stats
	ask("$SRV.STATS."+ServiceWeChat+"."+ping.ID, &stats)
	for _, e := range stats.Endpoints {
		if e.Name == "message" {
			require.Equal(t, 3, e.NumRequests)
			require.JSONEq(t, `{"answered":1,"failed":2,"under_way":0}`, string(e.Data))
		}
	}
}

// A caller that could choose where the answer goes would publish as the worker.
func TestServeService_answers_to_inboxes_only(t *testing.T) {
	t.Parallel()
	w := observedWorld(t)
	handled := make(chan struct{}, 10)
	w.serveService(t, map[string]Handler{RequestWeChatLogin: func(context.Context, []byte) ([]byte, error) {
		handled <- struct{}{}
		return []byte("forged"), nil
	}})
	conn := raw(t, w.server, "onlooker", nil)
	heard, err := conn.SubscribeSync("pay.message.>")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := conn.Request(RequestWeChatLogin, nil, soon)
		return err == nil
	}, soon, often)
	<-handled
	for _, reply := range []string{"pay.message.wx1.text", "pay.event.1900000109.order.paid"} {
		require.NoError(t, conn.PublishRequest(RequestWeChatLogin, reply, nil))
	}
	require.NoError(t, conn.Publish(RequestWeChatLogin, nil))
	_, err = conn.Request(RequestWeChatLogin, nil, soon)
	require.NoError(t, err)
	<-handled
	require.Empty(t, handled, "the others were not even looked at")
	pending, _, err := heard.Pending()
	require.NoError(t, err)
	require.Zero(t, pending)
}

func TestServeService_bounds_what_is_under_way_and_finishes_it_at_the_end(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	front := connect(t, w.server, "front")
	began, hold := make(chan struct{}, 2*maxServing), make(chan struct{})
	stop := w.serveService(t, map[string]Handler{RequestWeChatLogin: func(ctx context.Context, data []byte) ([]byte, error) {
		if string(data) == "there?" {
			return nil, nil
		}
		began <- struct{}{}
		<-hold
		return []byte("done"), ctx.Err() // the end of the role does not reach it
	}})
	require.Eventually(t, func() bool { // nobody there is known at once
		_, err := front.Request(t.Context(), RequestWeChatLogin, []byte("there?"), soon)
		return err == nil
	}, soon, often)
	const more = maxServing + 5
	answers := make(chan error, more)
	for range more {
		go func() {
			answer, err := front.Request(context.WithoutCancel(t.Context()), RequestWeChatLogin, nil, soon)
			if err == nil && string(answer) != "done" {
				err = errors.New(string(answer))
			}
			answers <- err
		}()
	}
	for range maxServing {
		<-began
	}
	require.Empty(t, began, "no more than that at the same time")
	done := stop()
	close(hold)
	require.ErrorIs(t, <-done, context.Canceled)
	finished := 0
	for range more {
		err := <-answers
		if err == nil {
			finished++
			continue
		}
		if !errors.Is(err, ErrUnavailable) { // it came when nobody listened any more
			require.ErrorContains(t, err, "stopping", "who came too late is told so at once")
		}
	}
	require.GreaterOrEqual(t, finished, maxServing)
}

// Strangers ask through the front door: one subject that is slow, such as logins while
// WeChat is, must not pile up work for callers who have long gone, nor take the others along.
func TestServeService_refuses_at_once_when_too_many_wait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	front := connect(t, w.server, "front")
	hold := make(chan struct{})
	stop := w.serveService(t, map[string]Handler{
		RequestWeChatLogin: func(context.Context, []byte) ([]byte, error) { <-hold; return nil, nil },
		RequestWeChatOrder: func(context.Context, []byte) ([]byte, error) { return []byte("quick"), nil },
	})
	require.Eventually(t, func() bool {
		_, err := front.Request(t.Context(), RequestWeChatOrder, nil, soon)
		return err == nil
	}, soon, often)
	const more = 50
	refused := make(chan error, maxServing+maxWaiting+more)
	for range cap(refused) {
		go func() {
			_, err := front.Request(context.WithoutCancel(t.Context()), RequestWeChatLogin, nil, soon)
			refused <- err
		}()
	}
	for range more {
		require.ErrorContains(t, <-refused, "too many ask")
	}
	_, err := front.Request(t.Context(), RequestWeChatOrder, nil, soon)
	require.NoError(t, err)
	close(hold)
	for range maxServing + maxWaiting {
		<-refused
	}
	require.ErrorIs(t, <-stop(), context.Canceled)
}

func TestEndpoint_begins_nothing_for_a_caller_who_waited_too_long(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint("s", func(context.Context, []byte) ([]byte, error) { t.Error("begun"); return nil, nil })
		for range maxServing {
			e.room <- struct{}{}
		}
		began := time.Now()
		_, err := e.serve(t.Context(), nil)
		require.ErrorIs(t, err, errBusy)
		require.Equal(t, waitsAtMost, time.Since(began))
		ctx, end := context.WithCancel(t.Context())
		end()
		_, err = e.serve(ctx, nil)
		require.ErrorIs(t, err, errStopping)
	})
}

func TestServiceVersion_is_one_that_NATS_takes(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]string{"v1.2.3": "1.2.3", "1.2.3": "1.2.3", "dev": "0.0.0", "": "0.0.0", "v1.2": "0.0.0", "(devel)": "0.0.0"} {
		require.Equal(t, want, serviceVersion(v), v)
	}
}
