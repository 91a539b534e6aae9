package bus

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// storedAt is when the broker stored a message.
func (w world) storedAt(t testing.TB, stream string, sequence uint64) time.Time {
	t.Helper()
	s, err := w.worker.js.Stream(t.Context(), stream)
	require.NoError(t, err)
	msg, err := s.GetMsg(t.Context(), sequence)
	require.NoError(t, err)
	return msg.Time
}

func told(n int) pay.Outgoing {
	id := fmt.Sprintf("0192f0c0-0000-5000-8000-%012d", n)
	return pay.Outgoing{
		EventID: id, MchID: "1900000109", OutTradeNo: "order|*1", Fact: pay.FactOrderPaid, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		Payload: []byte(fmt.Sprintf(`{"specversion":"1.0","id":%q,"type":"fenflow.order.paid.v1","time":"2026-01-02T03:04:05.000006Z","data":{"mchid":"1900000109","out_trade_no":"order|*1"}}`, id)),
	}
}

func TestSince_begins_at_the_first_message_of_an_instant_and_ends_at_the_last_of_now(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := func(when time.Time) pay.Stretch {
		part, err := w.worker.Since(t.Context(), StreamNotify, when)
		require.NoError(t, err)
		return part
	}
	require.Equal(t, pay.Stretch{First: 1, Next: 1, Until: 1}, at(time.Now()), "of an empty stream")
	p := NewPacker(w.notify, "1")
	for n := range 9 {
		require.NoError(t, p.Publish(t.Context(), envelope(n)))
	}
	for sequence := uint64(1); sequence <= 9; sequence++ {
		stored := w.storedAt(t, StreamNotify, sequence)
		require.Equal(t, pay.Stretch{First: sequence, Next: sequence, Until: 10}, at(stored))
		require.Equal(t, sequence+1, at(stored.Add(time.Nanosecond)).First)
	}
	require.True(t, at(time.Now().Add(time.Hour)).Ended())
	s, err := w.worker.js.Stream(t.Context(), StreamNotify)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context(), jetstream.WithPurgeSequence(4)))
	require.Equal(t, pay.Stretch{First: 4, Next: 4, Until: 10}, at(time.Time{}), "what the stream dropped is not in it")
	got, err := w.worker.ReadNotifications(t.Context(), pay.Stretch{First: 2, Next: 2, Until: 10}, 5)
	require.NoError(t, err)
	require.Len(t, got, 3, "nor is it read")
	require.Equal(t, uint64(4), got[0].Sequence)
	require.NoError(t, s.Purge(t.Context()))
	require.Equal(t, pay.Stretch{First: 10, Next: 10, Until: 10}, at(time.Time{}), "of a stream that dropped all")
}

func TestTail_gives_the_last_messages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tail := func(most uint64) pay.Stretch {
		part, err := w.worker.Tail(t.Context(), StreamEvent, most)
		require.NoError(t, err)
		return part
	}
	require.True(t, tail(9).Ended(), "of an empty stream")
	_, err := w.worker.PublishEvents(t.Context(), []pay.Outgoing{told(1), told(2), told(3)})
	require.NoError(t, err)
	require.Equal(t, pay.Stretch{First: 2, Next: 2, Until: 4}, tail(2))
	require.Equal(t, pay.Stretch{First: 1, Next: 1, Until: 4}, tail(9))
}

func TestReadNotifications_gives_what_consumers_are_handed_and_leaves_them_alone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := NewPacker(w.notify, "1")
	for n := range 3 {
		require.NoError(t, p.Publish(t.Context(), envelope(n)))
	}
	require.NoError(t, w.notify.publish(t.Context(), &nats.Msg{Subject: "pay.notify.live.1", Data: []byte("no pack")}, StreamNotify))
	packs, err := w.worker.ReadNotifications(t.Context(), pay.Stretch{First: 1, Next: 1, Until: 5}, 100)
	require.NoError(t, err)
	require.Len(t, packs, 4)
	var read []wechatpay.Arrival
	for _, pack := range packs {
		require.Equal(t, w.storedAt(t, StreamNotify, pack.Sequence).UTC(), pack.StoredAt)
		read = append(read, pack.Arrivals...)
	}
	handed := make(chan []wechatpay.Arrival, 10)
	w.consume(t, ConsumeOptions{}, func(_ context.Context, arrivals []wechatpay.Arrival) error {
		handed <- arrivals
		return nil
	})
	var seen []wechatpay.Arrival
	for len(seen) < len(read) {
		seen = append(seen, <-handed...)
	}
	require.ElementsMatch(t, seen, read)
	require.NotEmpty(t, read[3].Unreadable)
}

func TestReadCommands_gives_commands_without_the_inbox_of_their_caller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := connect(t, w.server, "api")
	sent := command(1, "1900000109")
	sent.Reply = "_INBOX_api.reply.x.y"
	require.NoError(t, api.PublishCommand(t.Context(), sent))
	require.NoError(t, api.publish(t.Context(), &nats.Msg{Subject: "pay.command.order.create.1900000109", Data: []byte("no headers")}, StreamCommand))
	got, err := w.worker.ReadCommands(t.Context(), pay.Stretch{First: 1, Next: 1, Until: 3}, 100)
	require.NoError(t, err)
	require.Len(t, got, 2)
	sent.Reply = ""
	require.Equal(t, pay.StoredCommand{Command: sent, Sequence: 1, StoredAt: w.storedAt(t, StreamCommand, 1).UTC()}, got[0])
	require.Contains(t, got[1].Spoilt, "Fenflow-Command-Id")
}

func TestReadEvents_gives_what_was_told(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	receipts, err := w.worker.PublishEvents(t.Context(), []pay.Outgoing{told(1), told(2), told(3)})
	require.NoError(t, err)
	require.NoError(t, w.worker.publish(t.Context(), &nats.Msg{Subject: "pay.event.1900000109.order.paid", Data: []byte("no event")}, StreamEvent))
	got, err := w.worker.ReadTold(t.Context(), pay.Stretch{First: 1, Next: 2, Until: 5}, 2)
	require.NoError(t, err)
	require.Equal(t, []pay.ToldEvent{
		{Outgoing: told(2), Sequence: receipts[1].Sequence, StoredAt: w.storedAt(t, StreamEvent, 2).UTC()},
		{Outgoing: told(3), Sequence: receipts[2].Sequence, StoredAt: w.storedAt(t, StreamEvent, 3).UTC()},
	}, got)
	got, err = w.worker.ReadTold(t.Context(), pay.Stretch{First: 1, Next: 4, Until: 5}, 100)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Empty(t, got[0].EventID, "what is no event keeps its place and nothing else")
	got, err = w.worker.ReadTold(t.Context(), pay.Stretch{First: 1, Next: 5, Until: 5}, 100)
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestCommandFloors_say_what_nobody_will_be_handed_again(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := connect(t, w.server, "api")
	floors := func() map[pay.MchID]uint64 {
		all, err := w.worker.CommandFloors(t.Context())
		require.NoError(t, err)
		return all
	}
	require.NoError(t, api.PublishCommand(t.Context(), command(1, "1900000001")))
	require.NoError(t, api.PublishCommand(t.Context(), command(2, "1900000002")))
	require.Empty(t, floors())
	held := make(chan struct{})
	w.commands(t, CommandOptions{}, func(ctx context.Context, c pay.Command) (pay.CommandResult, error) {
		if c.MchID == "1900000002" {
			select {
			case <-held:
			case <-ctx.Done():
				return pay.CommandResult{}, ctx.Err()
			}
		}
		return resultOf(c), nil
	}, "1900000001", "1900000002")
	require.Eventually(t, func() bool { return floors()["1900000001"] == 2 && floors()["1900000002"] == 0 }, soon, often)
	close(held)
	require.Eventually(t, func() bool { return floors()["1900000002"] == 2 }, soon, often)
}

func BenchmarkReadTold(b *testing.B) {
	w := newWorld(b)
	var all []pay.Outgoing
	for n := range 2000 {
		all = append(all, told(n))
	}
	_, err := w.worker.PublishEvents(b.Context(), all)
	require.NoError(b, err)
	for b.Loop() {
		got, err := w.worker.ReadTold(b.Context(), pay.Stretch{First: 1, Next: 1, Until: 2001}, 500)
		require.NoError(b, err)
		require.Len(b, got, 500)
	}
	b.ReportMetric(500*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
