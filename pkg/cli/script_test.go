package cli_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/cli"
	"github.com/fenflow/fenflow/pkg/simulator"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"fenflow": func() {
			os.Exit(cli.Run(context.Background(), cli.Deps{
				Pipe: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Lookup: os.LookupEnv, Environ: os.Environ(),
				Random: rand.Reader, Build: boot.Build{Version: "v1.2.3", Go: "go1.26.8"}, Migrator: database{},
			}, os.Args[1:]))
		},
		"new-merchant": func() { // a complete test merchant in the directory that is named
			if _, err := simulator.Init(os.Args[1], simulator.InitOptions{}); err != nil {
				_, _ = os.Stderr.WriteString(err.Error())
				os.Exit(1)
			}
		},
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("FENFLOW_UPDATE_GOLDEN") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("NO_COLOR", "1")
			e.Setenv("GORACE", "atexit_sleep_ms=0") // each command is a process, which the race detector lets linger for a second
			return nil
		},
	})
}

// database stands behind the Migrator interface: here the subject is what the
// command line says. cmd/fenflow tests the same commands on PostgreSQL. The
// state is in the URL: what its database is called.
type database struct{}

var migratedAt = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func (database) Status(_ context.Context, url string) ([]cli.Migration, error) {
	first := cli.Migration{Version: 1, Name: "00001_orders.sql", Applied: true, AppliedAt: &migratedAt}
	switch url {
	case "postgres://h/current?sslmode=disable":
		return []cli.Migration{first}, nil
	case "postgres://h/newer?sslmode=disable":
		return []cli.Migration{first, {Version: 9, Applied: true, AppliedAt: &migratedAt}}, nil
	case "postgres://h/old?sslmode=disable":
		return []cli.Migration{first, {Version: 2, Name: "00002_refunds.sql"}}, nil
	case "postgres://h/away?sslmode=disable":
		return nil, errors.Join(cli.ErrUnavailable, errors.New("connection refused"))
	}
	return nil, errors.New("permission denied for schema public")
}

func (d database) Up(ctx context.Context, url string) ([]cli.Migration, error) {
	all, err := d.Status(ctx, url)
	var ran []cli.Migration
	for _, m := range all {
		if !m.Applied {
			m.Applied = true
			ran = append(ran, m)
		}
	}
	return ran, err
}
