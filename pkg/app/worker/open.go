package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/queue"
	"github.com/fenflow/fenflow/pkg/store"
)

// parts are what the worker leans on. Settlement and commands have pools of
// their own: a merchant's slow calls must not hold up anybody's settlement. They
// lead only to books that a worker vouches for; what keeps house, and what
// recovers the books, has a pool that asks for no voucher. So has the front door,
// in which buyers and strangers crowd: housekeeping must not wait behind them.
type parts struct {
	plain      *store.Store
	front      *store.Store
	settlement *store.Store
	commands   *store.Store
	bus        *bus.Bus
	queue      *queue.Client // nil: no Redis is configured
}

// drainTimeout bounds the last words to the broker.
const drainTimeout = 5 * time.Second

// open connects to database and broker, and waits for them without end. What
// waiting cannot mend ends the role: a schema that is older than the program,
// credentials that are refused.
func open(ctx context.Context, env boot.Env, begun *boot.Start) (p parts, err error) {
	defer func() {
		if err != nil {
			p.close(env.Logger)
		}
	}()
	url := env.Config.Postgres.URL.Reveal()
	config := store.Config{URL: url, MaxConns: env.Config.Postgres.MaxConnections, RequireStandby: env.Config.Postgres.Standby == "required", Name: env.ConnectionName("worker")}
	if err := begun.Insist(ctx, env.Logger, "open database", store.Retryable, func() (err error) { p.plain, err = store.Open(ctx, plainPool(env, config)); return err }); err != nil {
		return p, err
	}
	if err := refusePending(ctx, url); err != nil {
		return p, err
	}
	config.Name = env.ConnectionName("worker-front")
	if p.front, err = store.Prepare(config); err != nil {
		return p, err //nolint:wrapcheck // it says what is wrong with the URL
	}
	config.Vouched, config.Name = true, env.ConnectionName("worker")
	if p.settlement, err = store.Prepare(config); err != nil {
		return p, err //nolint:wrapcheck // it says what is wrong with the URL
	}
	config.Name = env.ConnectionName("worker-commands")
	if p.commands, err = store.Prepare(config); err != nil {
		return p, err //nolint:wrapcheck // as above
	}
	p.bus, err = bus.Connect(ctx, bus.Config{
		URL: env.Config.NATS.URL, Role: "worker", Password: env.Config.NATSPassword("worker").Reveal(),
		Name: env.ConnectionName("worker"), Replicas: env.Config.NATS.Replicas, Logger: env.Logger,
	})
	if err != nil {
		return p, problem.Wrap(problem.BrokerUnavailable, err, "NATS refuses the worker")
	}
	if p.queue, err = openQueue(ctx, env); err != nil {
		return p, err
	}
	env.Health.Add("postgres", p.plain.Ping)
	env.Health.Add("nats", p.connected)
	return p, begun.Insist(ctx, env.Logger, "ensure streams", store.Retryable, func() error { return p.bus.EnsureStreams(ctx) })
}

// plainConns suffice for housekeeping, and for a recovery, which takes one page
// after the other.
const plainConns = 6

func plainPool(env boot.Env, config store.Config) store.Config {
	config.MaxConns, config.Name = plainConns, env.ConnectionName("worker-upkeep")
	return config
}

func (p parts) connected(context.Context) error {
	if !p.bus.Connected() {
		return errors.New("NATS is away")
	}
	return nil
}

// refusePending declines to run on an older schema.
func refusePending(ctx context.Context, url string) error {
	migrations, err := store.MigrationStatus(ctx, url)
	if err != nil {
		return problem.Wrap(problem.DatabaseUnavailable, err, "the schema's version cannot be read")
	}
	pending := store.Pending(migrations)
	if pending > 0 {
		return problem.Newf(problem.MigrationsPending, "%d of %d migrations are pending; run `fenflow migrate up`", pending, len(migrations))
	}
	return nil
}

func (p parts) close(log *slog.Logger) {
	if p.bus != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
		defer cancel()
		if err := p.bus.Drain(ctx); err != nil {
			log.Warn("the broker was left without a farewell", "error", err)
		}
	}
	if p.queue != nil {
		if err := p.queue.Close(); err != nil {
			log.Warn("Redis was left without a farewell", "error", err)
		}
	}
	for _, pool := range []*store.Store{p.settlement, p.commands, p.front, p.plain} {
		if pool == nil {
			continue
		}
		if err := pool.Close(); err != nil {
			log.Warn("the database was left without a farewell", "error", err)
		}
	}
}
