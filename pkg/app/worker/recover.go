package worker

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/deadletter"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/recovery"
	"github.com/fenflow/fenflow/pkg/settle"
	"github.com/fenflow/fenflow/pkg/store"
)

// wireRecovery gives recovering services of its own, over the pool that asks for
// no voucher. They count for nobody's metrics: what they do was counted then.
func (w *worker) wireRecovery() *recovery.Service {
	p, log, uncounted, hush := w.parts, w.env.Logger, prometheus.NewRegistry(), &recovery.Hush{}
	settler := settle.New(settle.Options{
		Books: p.plain, Merchants: w.merchants, Keys: w.keys, Relay: hush, Retryable: store.Retryable, Now: time.Now, Log: log, Registry: uncounted,
	})
	letters := deadletter.New(p.plain, settler, log)
	commands := command.New(command.Options{
		Books: cautious{p.plain}, Merchants: w.merchants, Letters: letters, Relay: hush, Waker: &waker{log: log}, Budgets: budgets(w.env),
		NotifyURL: w.merchants.notifyURL, Quarantine: w.env.Config.Waits.UnknownQuarantine,
		Retryable: store.Retryable, Now: time.Now, Nonce: rand.Text, Log: log, Registry: uncounted,
	})
	return recovery.New(recovery.Options{
		Books: p.plain, Streams: p.bus, Names: recovery.StreamNames{Notify: bus.StreamNotify, Command: bus.StreamCommand, Event: bus.StreamEvent},
		Settler: settler, Commands: commands, Letters: letters, Merchants: shops{w.merchants}, Hush: hush,
		Budgets:   recovery.Budgets{OrderQuery: w.env.Config.Budgets.OrderQuery, RefundQuery: w.env.Config.Budgets.RefundQuery},
		NotifyURL: w.merchants.notifyURL, Retryable: store.Retryable, Now: time.Now, Log: log,
	})
}

// cautious are books in which every refund that is granted again, whatever command
// led to it, is asked about before it is sent.
type cautious struct{ *store.Store }

// Settle is the store's.
func (c cautious) Settle(ctx context.Context, entries []pay.Entry, policies func(pay.MchID) pay.Policies) (pay.Settled, error) {
	for _, e := range entries {
		if e.Observation != nil {
			e.Observation.AskFirst = true
		}
	}
	return c.Store.Settle(ctx, entries, policies) //nolint:wrapcheck // it stands in the store's place
}

func budgets(env boot.Env) command.Budgets {
	b := env.Config.Budgets
	return command.Budgets{OrderQuery: b.OrderQuery, OrderClose: b.OrderClose, RefundQuery: b.RefundQuery}
}

// shops are the merchants as a recovery sees them.
type shops struct{ known *merchants }

// Rules are a merchant's policies.
func (s shops) Rules(mchid pay.MchID) pay.Policies {
	credentials, known := s.known.Credentials(mchid)
	if !known {
		return pay.Policies{}
	}
	return credentials.Merchant.Rules()
}

// WeChat finds a merchant's way to WeChat Pay.
func (s shops) WeChat(mchid pay.MchID) (recovery.WeChat, bool) {
	client := s.known.find(mchid).client
	return client, client != nil
}

const (
	// lookAtBooks: a database that was started anew, or exchanged, lets nobody
	// in before a worker has vouched for it.
	lookAtBooks = time.Second
	// lookAgain at books that are known to be older than what was told.
	lookAgain = 5 * time.Second
)

// books keep the voucher up to date.
type books struct {
	recovery *recovery.Service
	env      boot.Env
	whole    chan struct{} // closed when the books are whole for the first time
	first    sync.Once

	mu  sync.Mutex
	bad error
}

// keep looks for as long as the role lives.
func (b *books) keep(ctx context.Context) error {
	for {
		pause := lookAtBooks
		if err := b.look(ctx); err == nil && b.check(ctx) != nil {
			pause = lookAgain
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// look finds out whether the books are whole. An error says that this could not
// be found out; what was known before holds.
func (b *books) look(ctx context.Context) error {
	whole, err := b.recovery.Look(ctx)
	if err != nil {
		return fmt.Errorf("look at the books: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad = nil
	if !whole {
		b.bad = problem.New(problem.BooksRestored, "run `fenflow recover --since T`")
		return nil
	}
	b.first.Do(func() { close(b.whole) })
	return nil
}

// check is the health check.
func (b *books) check(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bad
}
