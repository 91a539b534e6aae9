package console

import (
	"context"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/store"
)

// Main serves operators until ctx ends and what was asked is answered.
func Main(ctx context.Context, env boot.Env) error {
	if env.Config.Listen.Console == "" {
		return problem.New(problem.Config, "listen.console is off: there is nothing to serve")
	}
	begun := &boot.Start{}
	env.Health.Add("start", begun.Check)
	books, err := open(ctx, env, begun)
	if err != nil {
		return err
	}
	defer func() {
		if err := books.Close(); err != nil {
			env.Logger.Warn("the database was left without a farewell", "error", err)
		}
	}()
	env.Health.Add("postgres", books.Ping)
	options := operator.Options{
		Books: books, Tokens: books, Merchants: merchants(env), Retryable: store.Retryable, Now: time.Now, Log: env.Logger, Registry: env.Registry,
		Quarantine: env.Config.Waits.UnknownQuarantine,
	}
	broker, err := connect(ctx, env)
	if err != nil {
		return err
	}
	if broker != nil {
		defer broker.Close()
		options.Worker, options.Commands = broker, broker
	}
	api := operator.New(options)
	s, err := listen(ctx, env, api.Handler())
	if err != nil {
		return err
	}
	begun.Done()
	if err := s.serve(ctx); err != nil {
		return fmt.Errorf("serve operators: %w", err)
	}
	return nil
}

// connect joins the broker, which may be away: what takes a worker is answered 503
// then. Without nats.url the console reads and acts on the books alone.
func connect(ctx context.Context, env boot.Env) (*bus.Bus, error) {
	if env.Config.NATS.URL == "" {
		env.Logger.WarnContext(ctx, "nats.url is not set: what takes a worker is refused")
		return nil, nil //nolint:nilnil // no broker is no error
	}
	b, err := bus.Connect(ctx, bus.Config{
		URL: env.Config.NATS.URL, Role: "console", Password: env.Config.NATSPassword("console").Reveal(), Name: env.ConnectionName("console"), Logger: env.Logger,
	})
	if err != nil {
		return nil, problem.Wrap(problem.BrokerUnavailable, err, "NATS refuses the console")
	}
	return b, nil
}

func merchants(env boot.Env) []pay.MchID {
	ids := make([]pay.MchID, len(env.Config.Entries))
	for i, m := range env.Config.Entries {
		ids[i] = pay.MchID(m.MchID)
	}
	return ids
}
