package bus

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fenflow/fenflow/pkg/pay"
)

// defaultPerMerchant is how many commands of one merchant run at a time, over
// all workers.
const defaultPerMerchant = 16

// CommandOptions tune the consumers of commands; zero values are defaults.
type CommandOptions struct {
	AckWait     time.Duration // 60 s, renewed every third
	PerMerchant int           // 16
	Grace       time.Duration // for the commands in hand after ctx ends: 20 s
}

// ConsumeCommands hands out the commands of each merchant, PerMerchant at a
// time, from a durable consumer of its own, so that one merchant's time-outs
// hold up nobody else. It blocks until ctx ends.
//
// After handle returns nil the result goes to the caller's inbox and the
// command is acknowledged; after an error it is handed out again, later. What
// is no command stays in the stream, is logged, and is not handed out again.
func (b *Bus) ConsumeCommands(ctx context.Context, mchids []pay.MchID, o CommandOptions, handle func(context.Context, pay.Command) (pay.CommandResult, error)) error {
	o.AckWait = cmp.Or(o.AckWait, defaultAckWait)
	o.PerMerchant = cmp.Or(o.PerMerchant, defaultPerMerchant)
	o.Grace = cmp.Or(o.Grace, defaultGrace)
	for _, id := range mchids {
		if err := token("mchid", string(id)); err != nil {
			return fmt.Errorf("consume commands: %w", err)
		}
	}
	var wg sync.WaitGroup
	for _, id := range mchids {
		wg.Go(func() { b.consumeMerchant(ctx, id, o, handle) })
	}
	wg.Wait()
	<-ctx.Done()
	return context.Cause(ctx)
}

func (b *Bus) consumeMerchant(ctx context.Context, mchid pay.MchID, o CommandOptions, handle func(context.Context, pay.Command) (pay.CommandResult, error)) {
	config := commandConsumer(mchid, o)
	room := make(chan struct{}, o.PerMerchant) // one place for each command that may run
	var wg sync.WaitGroup
	defer wg.Wait()
	b.fetch(ctx, StreamCommand, config, func(msg jetstream.Msg) bool {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			_ = msg.Nak()
			return false
		}
		wg.Go(func() {
			defer func() { <-room }()
			b.runCommand(ctx, msg, o, handle)
		})
		return true
	}, jetstream.PullMaxMessages(o.PerMerchant))
}

func (b *Bus) runCommand(ctx context.Context, msg jetstream.Msg, o CommandOptions, handle func(context.Context, pay.Command) (pay.CommandResult, error)) {
	command, err := readCommand(msg.Subject(), msg.Headers(), msg.Data())
	if err != nil {
		b.log.Error("not a command; it stays in the stream", "subject", msg.Subject(), "error", err)
		_ = msg.TermWithReason("not a command")
		return
	}
	stop := keepAlive(msg, o.AckWait/3)
	defer stop()
	var result pay.CommandResult
	err = withGrace(ctx, o.Grace, func(ctx context.Context) error {
		result, err = handle(ctx, command)
		return err
	})
	if err != nil {
		_, deliveries, _ := place(msg)
		b.log.Warn("command failed, will be tried again", "command_id", command.ID, "mchid", command.MchID, "deliveries", deliveries, "error", err)
		_ = msg.NakWithDelay(backoff(deliveries - 1))
		return
	}
	if err := b.reply(command, result); err != nil {
		b.log.Warn("no reply to a command; its result is in the commands table", "command_id", command.ID, "error", err)
	}
	_ = msg.Ack()
}

// reply sends the result where the caller waits. A reply subject is only
// believed inside the inboxes of the API and the console: the worker may publish
// events, and must not be made to publish one by a command that names such a subject.
func (b *Bus) reply(c pay.Command, result pay.CommandResult) error {
	switch {
	case c.Reply == "":
		return nil
	case !mayReply(c.Reply):
		return fmt.Errorf("reply to command: %q is no inbox of the API or the console", c.Reply)
	}
	data, err := writeResult(result)
	if err != nil {
		return err
	}
	if err := b.conn.Publish(c.Reply, data); err != nil {
		return fmt.Errorf("reply to command: %w", classify(err))
	}
	return nil
}

// keepAlive tells the broker that one message is being worked on.
func keepAlive(msg jetstream.Msg, every time.Duration) (stop func()) {
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_ = msg.InProgress()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}
