// Command provision finds or installs what the tests and the development stack
// need: provision postgres redis cc chromium. What it found goes to standard output,
// one line each; what it does on the way goes to standard error.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/fenflow/fenflow/pkg/testkit/provision"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "provision:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has just been called
	}
}

func run(ctx context.Context, names []string, out, log io.Writer) error {
	providers := map[string]func(context.Context, io.Writer) (string, error){
		"postgres": provision.Postgres,
		"redis":    provision.Redis,
		"cc":       provision.CCompiler,
		"chromium": provision.Chromium,
	}
	if len(names) == 0 {
		return fmt.Errorf("say what is needed: provision postgres redis cc chromium")
	}
	for _, name := range names {
		provide, known := providers[name]
		if !known {
			return fmt.Errorf("%q is none of postgres, redis, cc, chromium", name)
		}
		found, err := provide(ctx, log)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s\t%s\n", name, found); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
	}
	return nil
}
