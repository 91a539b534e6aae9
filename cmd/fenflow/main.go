package main

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/console"
	"github.com/fenflow/fenflow/pkg/cli"
	"github.com/fenflow/fenflow/pkg/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	exit := cli.Run(ctx, cli.Deps{
		Stdin: somebody(os.Stdin), Piped: piped(os.Stdin), Stdout: os.Stdout, Stderr: os.Stderr, Lookup: os.LookupEnv, Environ: os.Environ(), Terminal: isTerminal(os.Stdout),
		Random: rand.Reader, Build: cli.ReadBuild(), Migrator: migrator{}, Tokens: tokens{random: rand.Reader},
		Console: func(args []string) int { return boot.Run(config.RoleConsole, args, console.Main) },
	}, os.Args[1:])
	stop()
	os.Exit(exit)
}

// somebody is who can answer questions, if anybody.
func somebody(f *os.File) io.Reader {
	if !isTerminal(f) {
		return nil
	}
	return f
}

// piped is what another program or a file has to say, if anything.
func piped(f *os.File) io.Reader {
	if isTerminal(f) {
		return nil
	}
	return f
}

// isTerminal: what shows characters to somebody, rather than keeps them.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
