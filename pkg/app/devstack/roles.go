package devstack

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// Parts are the programs that the stack brings itself; the roles are
// given by cmd/devstack.
func Parts() map[string]Role {
	return map[string]Role{"nats": part("nats", runNATS), "simulator": part("simulator", runSimulator)}
}

func part(name string, run func(context.Context, []string) error) Role {
	return func(ctx context.Context, args []string) int {
		if err := run(ctx, args); err != nil {
			_, _ = fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			return 1
		}
		return 0
	}
}

// runNATS is the broker in a process of its own, under the configuration that
// production uses; passwords come from the environment, as there.
func runNATS(ctx context.Context, args []string) error {
	o := servers.NATSOptions{Log: os.Stderr}
	flags := flag.NewFlagSet("nats", flag.ContinueOnError)
	flags.StringVar(&o.ConfigFile, "conf", "", "configuration file")
	flags.StringVar(&o.StoreDir, "store", "", "where streams are kept")
	flags.IntVar(&o.Port, "port", 0, "client port")
	flags.IntVar(&o.MonitorPort, "monitor-port", 0, "monitoring port")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	reload := make(chan os.Signal, 1) // one that is pending reads what is there by then
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	server, err := servers.StartNATS(o)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	for {
		select {
		case <-reload:
			if err := server.Reload(); err != nil {
				_, _ = fmt.Fprintf(os.Stderr, "nats: the configuration of before stays: %v\n", err) // its log
			}
		case <-ctx.Done():
			return server.Close()
		}
	}
}

// runSimulator is the stand-in WeChat Pay in a process of its own.
func runSimulator(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("simulator", flag.ContinueOnError)
	dir := flags.String("dir", "", "merchant directory")
	listen := flags.String("listen", "", "address")
	speed := flags.Float64("speed", 1, "divides waits")
	limits := flags.Bool("limits", false, "hold callers to the documented rates")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	merchant, err := simulator.Load(*dir)
	if err != nil {
		return fmt.Errorf("load the merchant: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return simulator.Serve(ctx, listener, simulator.Options{
		Merchant: merchant, StateDir: simulator.StateDir(*dir), Speed: *speed, Limits: *limits,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
}
