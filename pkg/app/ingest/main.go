package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/ingest"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/telemetry"
)

// stopWithin is how long requests under way may take to end: a shop may wait
// 20 s for its order. It is below what boot gives a role.
const (
	stopWithin  = 22 * time.Second
	drainWithin = time.Second
)

// lane is the one that this process publishes to; processes may share it.
const lane = "1"

// role is the running edge.
type role struct {
	boot.Env

	merchants *config.Watcher
	keys      *ingest.Keys
	gate      *ingest.Gate
	metrics   *ingest.Metrics
	follower  *follower
	notifyBus *bus.Bus
	apiBus    *bus.Bus // nil: the business API is not served here
	frontBus  *bus.Bus // nil: the front door is not open here
	servers   []*server
}

// Main runs the edge until the context ends.
func Main(ctx context.Context, env boot.Env) error {
	r, err := prepare(ctx, env)
	if err != nil {
		return err
	}
	// What requests need goes on until the last of them is answered.
	after, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var background sync.WaitGroup
	background.Go(func() { r.follow(after) })
	background.Go(func() { r.merchants.Run(after, r.reloaded, r.reloadFailed) })
	if r.Config.Listen.Notify != "" {
		handler := r.notifyHandler()
		background.Go(func() { handler.Run(after) })
		err = errors.Join(err, r.open(ctx, "listen.notify", r.Config.Listen.Notify, notifyTimes(), true, handler))
	}
	if r.apiBus != nil {
		err = errors.Join(err, r.open(ctx, "listen.api", r.Config.Listen.API, apiTimes(), false, r.apiHandler()))
	}
	if r.frontBus != nil {
		err = errors.Join(err, r.open(ctx, "listen.front", r.Config.Listen.Front, frontTimes(), true, r.frontHandler()))
	}
	if err != nil {
		r.closeListeners()
	} else {
		r.addChecks()
		err = r.serve(ctx)
	}
	stop()
	background.Wait()
	r.disconnect()
	return err
}

// prepare reads keys and connects. It starts without the broker, without a
// verdict and without keys: requests are then answered 503, which is better
// than not at all.
func prepare(ctx context.Context, env boot.Env) (*role, error) {
	if env.Config.Listen.Notify == "" && env.Config.Listen.API == "" && !opensFront(env.Config) {
		return nil, problem.New(problem.Config, "listen.notify and listen.api are both off, and the front door is not open: there is nothing to serve")
	}
	if opensFront(env.Config) && env.Config.FrontURL() == "" {
		return nil, problem.InvalidConfig("front.url", "is not set, and neither is public_url: WeChat must be told where buyers come back to")
	}
	first, err := env.Config.Snapshot()
	if first.Directory == nil {
		return nil, fmt.Errorf("read merchants: %w", err)
	}
	r := &role{Env: env, keys: ingest.NewKeys()}
	if err != nil {
		r.reloadFailed(err)
	}
	r.merchants = config.NewWatcher(env.Config, first, config.WatchOptions{Reload: env.Reload})
	if err := r.connectAll(ctx); err != nil {
		return nil, err
	}
	r.gate = ingest.NewGate(r.notifyBus.ServerID)
	r.metrics = ingest.NewMetrics(env.Registry)
	ingest.RegisterState(env.Registry, r.gate, r.keys, directory{r.merchants}, time.Now)
	r.follower = newFollower(r)
	r.follower.configured(first)
	return r, nil
}

// connectAll connects once for each listener, as the user that it is.
func (r *role) connectAll(ctx context.Context) error {
	var err error
	r.notifyBus, err = r.connect(ctx, "notify")
	if err == nil && r.Config.Listen.API != "" {
		r.apiBus, err = r.connect(ctx, "api")
	}
	if err == nil && opensFront(r.Config) {
		r.frontBus, err = r.connect(ctx, "front")
	}
	if err != nil {
		for _, b := range r.buses() {
			b.Close()
		}
	}
	return err
}

func (r *role) buses() []*bus.Bus {
	return slices.DeleteFunc([]*bus.Bus{r.notifyBus, r.apiBus, r.frontBus}, func(b *bus.Bus) bool { return b == nil })
}

func (r *role) connect(ctx context.Context, user string) (*bus.Bus, error) {
	b, err := bus.Connect(ctx, bus.Config{URL: r.Config.NATS.URL, Role: user, Password: r.Config.NATSPassword(user).Reveal(), Name: r.ConnectionName(user), Logger: r.Logger})
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return b, nil
}

func (r *role) notifyHandler() *ingest.NotifyHandler {
	return ingest.NewNotify(ingest.NotifyConfig{
		Merchants: directory{r.merchants}, Keys: r.keys, Gate: r.gate, Publisher: bus.NewPacker(r.notifyBus, lane), Rejected: r.notifyBus,
		Worker: r.notifyBus, Metrics: r.metrics, Logger: r.Logger, Now: time.Now,
	})
}

func (r *role) apiHandler() *ingest.APIHandler {
	return ingest.NewAPI(ingest.APIConfig{
		Merchants: directory{r.merchants}, Gate: r.gate, Commands: r.apiBus, Worker: r.apiBus,
		Sessions: sessions{r.merchants, time.Now}, Metrics: r.metrics, Logger: r.Logger, Now: time.Now,
	})
}

// addChecks makes the role ready: from here on /readyz says what is missing. That
// sessions cannot be verified counts where nothing else is served: it must not
// keep notifications out.
func (r *role) addChecks() {
	r.Health.Add("nats", func(context.Context) error { return r.connected() })
	r.Health.Add("durability", func(context.Context) error { return r.gate.Open() })
	if r.frontBus != nil && r.apiBus == nil && r.Config.Listen.Notify == "" {
		r.Health.Add("sessions", func(context.Context) error { return checkSessionKeys(r.merchants.Current()) })
	}
	r.Health.Add("keys", func(context.Context) error { return ingest.CheckKeys(directory{r.merchants}, r.keys, time.Now()) })
}

func (r *role) connected() error {
	if slices.ContainsFunc(r.buses(), func(b *bus.Bus) bool { return !b.Connected() }) {
		return errors.New("NATS cannot be reached: check nats.url and the server")
	}
	return nil
}

// disconnect lets what is on its way out go out. Every answer was given before,
// so that nothing depends on it.
func (r *role) disconnect() {
	ctx, cancel := context.WithTimeout(context.Background(), drainWithin)
	defer cancel()
	for _, b := range r.buses() {
		if err := b.Drain(ctx); err != nil {
			r.Logger.Warn("broker connection cut off", telemetry.Error(err))
		}
	}
}
