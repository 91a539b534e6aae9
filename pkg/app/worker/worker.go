package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/certificates"
	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/deadletter"
	"github.com/fenflow/fenflow/pkg/keycheck"
	"github.com/fenflow/fenflow/pkg/message"
	"github.com/fenflow/fenflow/pkg/outbox"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/recovery"
	"github.com/fenflow/fenflow/pkg/replay"
	"github.com/fenflow/fenflow/pkg/reverify"
	"github.com/fenflow/fenflow/pkg/settle"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/subscribers"
)

// worker is the role with everything wired.
type worker struct {
	env       boot.Env
	parts     parts
	merchants *merchants
	keys      *keys
	relay     *outbox.Relay
	settle    *settle.Service
	letters   *deadletter.Sweeper
	replays   *replay.Service
	commands  *command.Service
	certs     *certificates.Service
	told      *subscribers.Keeper
	keycheck  *keycheck.Service
	reverify  *reverify.Service
	messages  *message.Service
	proof     *proof
	upkeep    *upkeep
	recovery  *recovery.Service
	books     *books
	front     *front // nil: no key of sessions is configured
}

// Main runs the worker until ctx ends.
func Main(ctx context.Context, env boot.Env) error {
	begun := &boot.Start{}
	env.Health.Add("start", begun.Check)
	known, err := newMerchants(env)
	if err != nil {
		return err
	}
	parts, err := open(ctx, env, begun)
	if err != nil {
		return err
	}
	defer parts.close(env.Logger)
	w, err := wire(env, parts, known)
	if err != nil {
		return err
	}
	env.Health.Add("durability", w.proof.check)
	env.Health.Add("books", w.books.check)
	if err := begun.Insist(ctx, env.Logger, "compare the books with what was told", store.Retryable, func() error { return w.books.look(ctx) }); err != nil {
		return err
	}
	begun.Done()
	return w.run(ctx)
}

func wire(env boot.Env, p parts, known *merchants) (*worker, error) {
	w := &worker{env: env, parts: p, merchants: known}
	key, err := env.Config.Front.SessionKey()
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	if w.front, err = newFront(env, p, known, key); err != nil {
		return nil, err
	}
	log, registry := env.Logger, env.Registry
	w.relay = outbox.New(p.settlement, p.bus, log, registry)
	w.certs = certificates.New(shelf{p.plain}, p.bus, known, log, time.Now)
	w.keys = &keys{merchants: known, certificates: w.certs, now: time.Now}
	w.settle = settle.New(settle.Options{
		Books: p.settlement, Merchants: known, Keys: w.keys, Relay: w.relay, Retry: w.retryLetters,
		Rehearsals: p.commands, Retryable: store.Retryable, Now: time.Now, Log: log, Registry: registry,
	})
	w.replays = replay.New(replay.Options{Archive: p.commands, Settler: w.settle, Lane: p.bus, Retryable: store.Retryable, Log: log})
	w.letters = deadletter.New(p.settlement, w.settle, log)
	w.commands = command.New(command.Options{
		Books: p.commands, Merchants: known, Letters: w.letters, Relay: w.relay, Waker: &waker{queue: p.queue, log: log},
		Sessions: newBuyers(key, known.watcher), Buyers: p.commands,
		Budgets:    budgets(env),
		Quarantine: env.Config.Waits.UnknownQuarantine,
		NotifyURL:  known.notifyURL, Retryable: store.Retryable, Now: time.Now, Nonce: rand.Text,
		Log: log, Registry: registry,
	})
	w.told = subscribers.New(subscribers.Options{
		Books: p.settlement, Broker: p.bus, Known: func(id pay.MchID) bool { _, is := known.Credentials(id); return is }, Retryable: store.Retryable, Log: log,
	})
	p.bus.OnReconnect(w.told.Wake)
	w.recovery = w.wireRecovery()
	w.books = &books{recovery: w.recovery, env: env, whole: make(chan struct{})}
	w.proof = newProof(p, env)
	w.upkeep = newUpkeep(p, env)
	w.wireKeys()
	w.wireMessages()
	return w, nil
}

// retryLetters is settle's way to the letters, which are settled by it.
func (w *worker) retryLetters(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (int, error) {
	return w.letters.Retry(ctx, mchid, no)
}

// run is the role's life:
//
//  1. what needs no proof starts: answers to the edge, certificates, relay;
//  2. durability is proven, and proven again whenever it may have changed; books that
//     were restored are recovered, which an operator drives;
//  3. only then is anything consumed, and asked of WeChat Pay for a shop;
//  4. at the end consumers finish what they hold, then the relay what they made.
func (w *worker) run(ctx context.Context) error {
	relaying, stopRelay := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRelay()
	relay := make(chan error, 1)
	go func() { relay <- w.relay.Run(relaying) }()

	group, ctx := errgroup.WithContext(ctx)
	begin := func(name string, part func(context.Context) error) {
		group.Go(func() error {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	begin("platform certificates", w.keepCertificates)
	begin("configuration", w.keys.watch(w.env))
	begin("answer v2 checks", w.serve(bus.RequestVerifyV2, w.settle.VerifyV2))
	begin("answer key refreshes", w.serve(bus.RequestVerifyKeys, w.certs.Answer))
	begin("answer reads of orders", w.serve(bus.RequestReadOrder, w.commands.ReadOrder))
	begin("answer reads of histories", w.serve(bus.RequestReadHistory, w.commands.ReadHistory))
	begin("answer reads of refunds", w.serve(bus.RequestReadRefund, w.commands.ReadRefund))
	begin("answer reads of commands", w.serve(bus.RequestReadCommand, w.commands.ReadCommand))
	begin("subscribers", w.told.Run)
	begin("answer operators about subscribers", w.serve(bus.RequestOperateSubscriber, w.told.Operate))
	begin("answer looks at events", w.serve(bus.RequestOperateEvents, w.tailEvents))
	begin("answer looks at connections", w.serve(bus.RequestOperateConnections, w.connections))
	begin("durability", w.proof.keep)
	begin("upkeep", w.upkeep.keep)
	begin("books", w.books.keep)
	begin("answer recoveries", w.after(w.serve(bus.RequestOperateRecover, w.recovery.Answer), w.proof.proven, w.merchants.ready))
	begin("answer what can be recovered", w.serve(bus.RequestOperateRecoverable, w.recovery.AnswerRecoverable))
	begin("answer checks", w.afterProof(w.serve(bus.RequestActCheck, w.commands.ActCheck)))
	begin("drive abnormal refunds on", w.afterProof(w.serve(bus.RequestActAbnormal, w.commands.ActAbnormal)))
	begin("rehearse replays", w.afterProof(w.serve(bus.RequestOperateRehearse, w.replays.Rehearse)))
	begin("replay what was rehearsed", w.afterProof(w.serve(bus.RequestOperateReplay, w.replays.Replay)))
	begin("put notifications on the replay lane", w.afterProof(w.serve(bus.RequestOperateRepublish, w.replays.Republish)))
	begin("tell of the replay lane", w.serve(bus.RequestOperateLane, w.replays.Follow))
	w.answerKeys(begin)
	w.answerFront(begin)
	begin("letters", w.afterProof(w.letters.Run))
	begin("live notifications", w.afterProof(w.consume))
	begin("replayed notifications", w.afterProof(w.consumeReplays))
	begin("commands", w.afterProof(w.consumeCommands))
	err := group.Wait()
	stopRelay()
	return errors.Join(err, <-relay)
}

// keepCertificates loads what is known from before, then fetches for ever.
func (w *worker) keepCertificates(ctx context.Context) error {
	for _, mchid := range w.merchants.All() {
		if err := (&boot.Start{}).Insist(ctx, w.env.Logger, "load platform certificates", store.Retryable, func() error { return w.certs.Load(ctx, mchid) }); err != nil {
			return err
		}
	}
	w.merchants.loaded()
	again := make(chan struct{}, 1) // one pending wish is enough
	wish := func() {
		select {
		case again <- struct{}{}:
		default:
		}
	}
	wish()
	w.parts.bus.OnReconnect(wish)
	return w.certs.Run(ctx, again)
}

func (w *worker) serve(subject string, answer func(context.Context, []byte) ([]byte, error)) func(context.Context) error {
	return func(ctx context.Context) error { return w.parts.bus.Serve(ctx, subject, answer) }
}

// afterProof holds what writes into the books back until durability is proven
// once, the certificates of earlier days are loaded, and the books are whole. It is not
// stopped by a later bad verdict: what the bus has taken is safer settled than not.
func (w *worker) afterProof(part func(context.Context) error) func(context.Context) error {
	return w.after(part, w.proof.proven, w.merchants.ready, w.books.whole)
}

func (*worker) after(part func(context.Context) error, gates ...<-chan struct{}) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, gate := range gates {
			select {
			case <-gate:
			case <-ctx.Done():
				return nil
			}
		}
		return part(ctx)
	}
}

func (w *worker) consume(ctx context.Context) error {
	options := bus.ConsumeOptions{Subject: bus.SubjectLive, AckWait: w.env.Config.Waits.AckWait}
	return w.parts.bus.ConsumeNotifications(ctx, options, w.settle.Settle)
}

// consumeCommands gives each merchant its consumer, those that are configured
// later included. A merchant that went away keeps its consumer until the next
// start; its commands are refused.
func (w *worker) consumeCommands(ctx context.Context) error {
	options := bus.CommandOptions{AckWait: w.env.Config.Waits.AckWait}
	group, ctx := errgroup.WithContext(ctx)
	started := map[pay.MchID]bool{}
	for {
		changed := w.merchants.next()
		var fresh []pay.MchID
		for _, mchid := range w.merchants.All() {
			if !started[mchid] {
				started[mchid], fresh = true, append(fresh, mchid)
			}
		}
		if len(fresh) > 0 {
			group.Go(func() error { return w.parts.bus.ConsumeCommands(ctx, fresh, options, w.commands.Execute) })
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return group.Wait()
		}
	}
}
