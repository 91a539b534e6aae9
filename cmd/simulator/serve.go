package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/spf13/cobra"
)

type serveOptions struct {
	dir, listen, keyMode string
	speed                float64
	newConnections       bool
	verbose, asJSON      bool
}

func serveCommand() *cobra.Command {
	var o serveOptions
	command := &cobra.Command{
		Use:   "serve --dir D",
		Short: "Play the platform for the merchant in a directory",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return serve(c.Context(), o, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := command.Flags()
	f.StringVar(&o.dir, "dir", "", "directory that init wrote")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8090", "address of API, /control and pages; port 0 takes a free one")
	f.Float64Var(&o.speed, "speed", 1, "divides the waits of the retry schedule; 600 makes ten minutes one second")
	f.StringVar(&o.keyMode, "key-mode", string(simulator.KeyModeMixed), "which key signs notifications: public_key, platform_certificate or mixed")
	f.BoolVar(&o.newConnections, "new-connections", false, "open a connection for each notification, as WeChat does")
	f.BoolVar(&o.verbose, "verbose", false, "log also what goes as it should")
	f.BoolVar(&o.asJSON, "json", false, "print the address as one JSON document, and log in JSON")
	_ = command.MarkFlagRequired("dir") // fails only for a flag that does not exist
	return command
}

func serve(ctx context.Context, o serveOptions, out, logs io.Writer) error {
	if o.speed <= 0 {
		return fmt.Errorf("--speed must be positive, not %v", o.speed)
	}
	merchant, err := simulator.Load(o.dir)
	if err != nil {
		return fmt.Errorf("load merchant: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := announce(out, listener.Addr(), merchant, o); err != nil {
		return errors.Join(err, listener.Close())
	}
	return simulator.Serve(ctx, listener, simulator.Options{
		Merchant: merchant, StateDir: simulator.StateDir(o.dir), Logger: newLogger(logs, o),
		Speed: o.speed, KeyMode: simulator.KeyMode(o.keyMode), NewConnections: o.newConnections,
	})
}

func newLogger(w io.Writer, o serveOptions) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if o.verbose {
		options.Level = slog.LevelDebug
	}
	if o.asJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// announce says where it listens, once it does.
func announce(w io.Writer, addr net.Addr, m simulator.Merchant, o serveOptions) error {
	url := "http://" + addr.String()
	if o.asJSON {
		return json.NewEncoder(w).Encode(map[string]string{"url": url, "address": addr.String(), "mchid": m.Mchid})
	}
	_, err := fmt.Fprintf(w, "Simulator of merchant %s at %s\n", m.Mchid, url)
	return err
}
