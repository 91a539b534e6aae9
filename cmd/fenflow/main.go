package main

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"syscall"

	"github.com/fenflow/fenflow/pkg/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	exit := cli.Run(ctx, cli.Deps{
		Stdout: os.Stdout, Stderr: os.Stderr, Lookup: os.LookupEnv, Environ: os.Environ(),
		Random: rand.Reader, Build: cli.ReadBuild(), Migrator: migrator{},
	}, os.Args[1:])
	stop()
	os.Exit(exit)
}
