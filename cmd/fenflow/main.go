package main

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/console"
	"github.com/fenflow/fenflow/pkg/cli"
	"github.com/fenflow/fenflow/pkg/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	exit := cli.Run(ctx, cli.Deps{
		Stdin: somebody(os.Stdin), Pipe: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Lookup: os.LookupEnv, Environ: os.Environ(), Terminal: isTerminal(os.Stdout),
		Random: rand.Reader, Build: cli.ReadBuild(), Migrator: migrator{}, Tokens: tokens{random: rand.Reader}, Doctor: examiner{},
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

// isTerminal: what shows characters to somebody, rather than keeps them.
// /dev/null is a character device, too, and nobody.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
