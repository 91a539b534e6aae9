package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := rootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "simulator:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "simulator",
		Short:         "A stand-in WeChat Pay platform for tests and demonstrations",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(initCommand(), serveCommand())
	return root
}
