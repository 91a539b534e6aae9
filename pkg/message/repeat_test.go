package message_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/message"
	"github.com/fenflow/fenflow/pkg/pay"
)

func TestAnswer_tells_a_repeat_once_and_answers_it_alike(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.secrets[plainApp] = merchant.AppSecrets{MessageToken: token, Replies: []merchant.Reply{{On: "text", Text: "thanks"}}}
	first := s.ask(s.plain(textMessage("1", "hello")))
	for range 3 {
		require.Equal(t, first, s.ask(s.plain(textMessage("1", "hello"))))
	}
	require.Equal(t, 200, s.ask(s.plain(eventMessage("subscribe", ""))).status)
	require.Equal(t, 200, s.ask(s.plain(eventMessage("subscribe", ""))).status, "events have no MsgId")
	got := s.published(2)
	require.NotEqual(t, got[0].ID, got[1].ID)
	require.Equal(t, 2, s.remembered())
	require.Contains(t, s.log.String(), "outcome=repeated")
}

func TestAnswer_tells_two_apps_apart(t *testing.T) {
	t.Parallel()
	s := setup(t)
	require.Equal(t, 200, s.ask(s.plain(textMessage("1", "hello"))).status)
	require.Equal(t, 200, s.ask(s.sealed(newKey, safeApp, textMessage("1", "hello"))).status)
	got := s.published(2)
	require.NotEqual(t, got[0].ID, got[1].ID)
}

func TestAnswer_tells_concurrent_twins_once(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var all sync.WaitGroup
	statuses := make(chan int, 32)
	p := s.sealed(newKey, safeApp, textMessage("42", "hello"))
	raw, err := json.Marshal(p)
	require.NoError(t, err)
	for range cap(statuses) {
		all.Go(func() {
			answer, err := s.service.Answer(t.Context(), raw)
			if err != nil {
				t.Errorf("answer: %v", err)
			}
			statuses <- readAnswer(t, answer).status
		})
	}
	all.Wait()
	close(statuses)
	for status := range statuses {
		require.Equal(t, 200, status)
	}
	s.published(1)
	require.Equal(t, 1, s.remembered())
}

// flaky forgets to remember: what a crash between the two steps leaves behind.
type flaky struct {
	message.Memory

	fails int
}

func (f *flaky) RememberMessage(ctx context.Context, appid pay.AppID, key string, at time.Time) error {
	if f.fails > 0 {
		f.fails--
		return errAway
	}
	return f.Memory.RememberMessage(ctx, appid, key, at)
}

func TestAnswer_publishes_again_under_the_same_id_after_a_crash_between(t *testing.T) {
	t.Parallel()
	var memory *flaky
	s := setup(t, func(o *message.Options) { memory = &flaky{o.Memory, 2}; o.Memory = memory })
	for want := range 2 {
		require.Equal(t, answered{status: 503, code: "FEN-5002"}, s.ask(s.plain(textMessage("1", "hello"))), want)
	}
	require.NoError(t, s.broker.Restart())
	require.Eventually(t, func() bool { return s.worker.ServerID() == s.broker.ID() }, soon, often)
	require.Eventually(t, func() bool { return s.ask(s.plain(textMessage("1", "hello"))).status == 200 }, soon, often)
	s.published(1)
	require.Equal(t, 1, s.remembered())
}

func TestAnswer_is_503_while_broker_or_database_is_away_and_nothing_is_lost(t *testing.T) {
	t.Parallel()
	s := setup(t)
	require.NoError(t, s.broker.Stop())
	require.Eventually(t, func() bool { return !s.worker.Connected() }, soon, often)
	require.Equal(t, answered{status: 503, code: "FEN-5001"}, s.ask(s.plain(textMessage("1", "hello"))))
	require.Zero(t, s.remembered(), "what is not on disk is not remembered")
	require.NoError(t, s.broker.Restart())
	require.Eventually(t, func() bool { return s.ask(s.plain(textMessage("1", "hello"))).status == 200 }, soon, often)
	s.published(1)

	_, err := s.db.ExecContext(t.Context(), `ALTER TABLE messages_seen RENAME TO away`)
	require.NoError(t, err)
	require.Equal(t, answered{status: 503, code: "FEN-5002"}, s.ask(s.plain(textMessage("2", "hello"))))
	_, err = s.db.ExecContext(t.Context(), `ALTER TABLE away RENAME TO messages_seen`)
	require.NoError(t, err)
	require.Equal(t, 200, s.ask(s.plain(textMessage("2", "hello"))).status)
	s.published(1)
}

// The whole way: the edge's user asks, a worker under its own rights answers.
func TestAnswer_reaches_the_edge_over_the_broker(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.worker.ServeService(ctx, bus.ServiceConfig{Name: bus.ServiceWeChat, Version: "1.0.0"}, map[string]bus.Handler{bus.RequestWeChatMessage: s.service.Answer})
	}()
	t.Cleanup(func() { cancel(); require.ErrorIs(t, <-done, context.Canceled) })
	front := s.connect("front")
	raw, err := json.Marshal(s.plain(textMessage("1", "hello")))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		answer, err := front.Request(t.Context(), bus.RequestWeChatMessage, raw, soon)
		return err == nil && readAnswer(t, answer).body == "success"
	}, soon, often)
	s.published(1)
}

// hurried is a memory that is asked how long it may take.
type hurried struct {
	message.Memory

	within time.Duration
}

func (h *hurried) MessageSeen(ctx context.Context, _ pay.AppID, _ string) (bool, error) {
	deadline, _ := ctx.Deadline()
	h.within = time.Until(deadline)
	return false, context.DeadlineExceeded
}

func TestAnswer_gives_up_before_the_edge_does(t *testing.T) {
	t.Parallel()
	memory := &hurried{}
	s := setup(t, func(o *message.Options) { o.Memory = memory })
	require.Equal(t, answered{status: 503, code: "FEN-5002"}, s.ask(s.plain(textMessage("1", "hello"))))
	require.LessOrEqual(t, memory.within, 4*time.Second)
	s.published(0)
}
