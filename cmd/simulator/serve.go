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
	listenTLS            string
	speed                float64
	newConnections       bool
	strictNotifyURL      bool
	faults               []string
	seed                 uint64
	limits               bool
	keys                 string
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
	f.StringVar(&o.listenTLS, "listen-tls", "", "also listen here with TLS, under the CA that init made; /secapi/ is served here only")
	f.Float64Var(&o.speed, "speed", 1, "divides waits: the retry schedule, the progress of refunds and the minute between them, and so on; 600 makes ten minutes one second")
	f.StringVar(&o.keyMode, "key-mode", string(simulator.KeyModeMixed), "which key signs notifications: public_key, platform_certificate or mixed")
	f.BoolVar(&o.strictNotifyURL, "strict-notify-url", false, "demand https and a public host of every notify_url, as WeChat does")
	f.BoolVar(&o.newConnections, "new-connections", false, "open a connection for each notification, as WeChat does")
	f.StringVar(&o.keys, "keys", string(simulator.KeysBoth), "which keys the merchant has: public_key, platform_certificate or both")
	f.StringArrayVar(&o.faults, "fault", nil, "switch a fault on: kind[=probability|=xN][~delay][@order], such as notice_drop=0.1; repeatable")
	f.Uint64Var(&o.seed, "seed", 0, "makes faults with a probability happen to the same orders each time; 0 draws a seed")
	f.BoolVar(&o.limits, "limits", false, "hold requests to WeChat Pay's documented rates, and refunds of one order to one a minute")
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
	faults, err := parseFaults(o.faults)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	secure, err := listenTLS(ctx, o.listenTLS)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := announce(out, listener.Addr(), secure, merchant, o); err != nil {
		return errors.Join(err, listener.Close())
	}
	return simulator.ServeTLS(ctx, listener, secure, simulator.Options{
		Merchant: merchant, StateDir: simulator.StateDir(o.dir), Logger: newLogger(logs, o),
		Speed: o.speed, KeyMode: simulator.KeyMode(o.keyMode), NewConnections: o.newConnections, StrictNotifyURL: o.strictNotifyURL,
		Faults: faults, Seed: o.seed, Limits: o.limits, Keys: simulator.KeySet(o.keys),
	})
}

// parseFaults reports every mistake at once.
func parseFaults(texts []string) ([]simulator.Fault, error) {
	var faults []simulator.Fault
	var problems []error
	for _, text := range texts {
		fault, err := simulator.ParseFault(text)
		faults, problems = append(faults, fault), append(problems, err)
	}
	return faults, errors.Join(problems...)
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

// listenTLS opens the second listener, if there is to be one.
func listenTLS(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // no listener is what was asked for
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen with TLS: %w", err)
	}
	return listener, nil
}

// announce says where it listens, once it does.
func announce(w io.Writer, addr net.Addr, secure net.Listener, m simulator.Merchant, o serveOptions) error {
	document := map[string]string{"url": "http://" + addr.String(), "address": addr.String(), "mchid": m.Mchid}
	text := fmt.Sprintf("Simulator of merchant %s at %s\n", m.Mchid, document["url"])
	if secure != nil {
		document["tls_url"] = "https://" + secure.Addr().String()
		text += "and at " + document["tls_url"] + "\n"
	}
	if o.asJSON {
		return json.NewEncoder(w).Encode(document)
	}
	_, err := io.WriteString(w, text)
	return err
}
