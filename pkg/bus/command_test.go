package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func command(n int, mchid pay.MchID) pay.Command {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	return pay.Command{
		ID: pay.CommandID(fmt.Sprintf("0192f0c0-0000-7000-8000-%012d", n)), MchID: mchid, Kind: pay.CommandOrderCreate,
		OutTradeNo: "A-1|*", OutRefundNo: "R-1|*@", Digest: "abc", Body: []byte(`{"amount_fen":1}`), ReceivedAt: at, Deadline: at.Add(time.Minute),
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

func (w world) commands(t testing.TB, o CommandOptions, handle func(context.Context, pay.Command) (pay.CommandResult, error), mchids ...pay.MchID) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.worker.ConsumeCommands(ctx, mchids, o, handle) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
}

func resultOf(c pay.Command) pay.CommandResult {
	return pay.CommandResult{
		ID: c.ID, MchID: c.MchID, Kind: c.Kind, OutTradeNo: c.OutTradeNo, OutRefundNo: c.OutRefundNo, Digest: c.Digest, Outcome: pay.CommandDone,
		Status: 201, Body: []byte(`{"state":"awaiting_payment"}`), ReceivedAt: c.ReceivedAt, FinishedAt: c.ReceivedAt.Add(time.Second),
	}
}

func TestSubmitCommand_brings_the_result_back(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := connect(t, w.server, "api")
	seen := make(chan pay.Command, 1)
	w.commands(t, CommandOptions{}, func(_ context.Context, c pay.Command) (pay.CommandResult, error) {
		seen <- c
		return resultOf(c), nil
	}, "1900000109")
	sent := command(1, "1900000109")
	result, replied, err := api.SubmitCommand(t.Context(), sent, soon)
	require.NoError(t, err)
	require.True(t, replied)
	require.Equal(t, resultOf(sent), result)
	got := <-seen
	require.True(t, mayReply(got.Reply), got.Reply)
	got.Reply = ""
	require.Equal(t, sent, got)
}

func TestSubmitCommand_leaves_the_command_stored_when_no_result_comes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := connect(t, w.server, "api")
	_, replied, err := api.SubmitCommand(t.Context(), command(1, "1900000109"), 10*time.Millisecond)
	require.NoError(t, err)
	require.False(t, replied)
	require.NoError(t, api.PublishCommand(t.Context(), command(1, "1900000109")), "a repeat")
	require.EqualValues(t, 1, w.stream(t, StreamCommand).State.Msgs)
	got := make(chan pay.Command, 1)
	w.commands(t, CommandOptions{}, func(_ context.Context, c pay.Command) (pay.CommandResult, error) {
		got <- c
		return resultOf(c), nil
	}, "1900000109")
	require.Equal(t, command(1, "").ID, (<-got).ID)
	require.NoError(t, w.server.Stop())
	require.Eventually(t, func() bool { return !api.Connected() }, soon, often)
	_, _, err = api.SubmitCommand(t.Context(), command(2, "1900000109"), time.Second)
	require.ErrorIs(t, err, ErrUnavailable)
}

func TestConsumeCommands_lets_no_merchant_starve_another(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := connect(t, w.server, "api")
	for n := range 20 {
		require.NoError(t, api.PublishCommand(t.Context(), command(n, "1900000001")))
	}
	var mu sync.Mutex
	running, most := 0, 0
	hold := make(chan struct{})
	other := make(chan pay.Command, 1)
	w.commands(t, CommandOptions{PerMerchant: 3}, func(_ context.Context, c pay.Command) (pay.CommandResult, error) {
		if c.MchID == "1900000002" {
			other <- c
			return resultOf(c), nil
		}
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		<-hold
		mu.Lock()
		defer mu.Unlock()
		running--
		return resultOf(c), nil
	}, "1900000001", "1900000002")
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return running == 3 }, soon, often)
	require.NoError(t, api.PublishCommand(t.Context(), command(100, "1900000002")))
	require.Equal(t, pay.MchID("1900000002"), (<-other).MchID)
	close(hold)
	require.Eventually(t, func() bool {
		c, err := w.worker.js.Consumer(t.Context(), StreamCommand, "command-1900000001")
		return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
	}, soon, often)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, 3, most)
}

func TestConsumeCommands_tries_again_after_an_error_and_passes_over_what_is_none(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := connect(t, w.server, "api")
	err := api.publish(t.Context(), &nats.Msg{Subject: "pay.command.order.create.1900000109", Data: []byte("no headers")}, StreamCommand)
	require.NoError(t, err)
	attempts := make(chan int, 10)
	n := 0
	w.commands(t, CommandOptions{PerMerchant: 1}, func(_ context.Context, c pay.Command) (pay.CommandResult, error) {
		n++
		attempts <- n
		if n == 1 {
			return pay.CommandResult{}, errors.New("the database is away")
		}
		return resultOf(c), nil
	}, "1900000109")
	_, replied, err := api.SubmitCommand(t.Context(), command(1, "1900000109"), soon)
	require.NoError(t, err)
	require.True(t, replied)
	require.Equal(t, []int{1, 2}, []int{<-attempts, <-attempts})
	require.EqualValues(t, 2, w.stream(t, StreamCommand).State.Msgs, "what is no command stays in the stream")
}

func TestConsumeCommands_replies_to_no_subject_but_the_inboxes_of_the_api(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := connect(t, w.server, "api")
	c := command(1, "1900000109")
	c.Reply = "pay.event.1900000109.order.paid" // the worker could publish there
	require.NoError(t, api.PublishCommand(t.Context(), c))
	done := make(chan struct{})
	w.commands(t, CommandOptions{}, func(_ context.Context, c pay.Command) (pay.CommandResult, error) {
		defer close(done)
		return resultOf(c), nil
	}, "1900000109")
	<-done
	require.Eventually(t, func() bool {
		c, err := w.worker.js.Consumer(t.Context(), StreamCommand, "command-1900000109")
		return err == nil && c.CachedInfo().AckFloor.Stream == 1
	}, soon, often)
	require.Zero(t, w.stream(t, StreamEvent).State.Msgs)
}

func TestSubjects_refuse_what_would_change_their_shape(t *testing.T) {
	t.Parallel()
	for _, mchid := range []pay.MchID{"", "a.b", "*", ">", "a b"} {
		_, err := commandSubject(pay.Command{MchID: mchid, Kind: pay.CommandOrderCreate})
		require.Error(t, err, mchid)
	}
	for _, kind := range []pay.CommandKind{"", "order", "order.create.x", "order.*"} {
		_, err := commandSubject(pay.Command{MchID: "1900000109", Kind: kind})
		require.Error(t, err, kind)
	}
}

func okCommand(_ context.Context, c pay.Command) (pay.CommandResult, error) { return resultOf(c), nil }
