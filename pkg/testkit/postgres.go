package testkit

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/provision"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// shared is the one PostgreSQL of this test binary, and the template databases
// in it. Tests have nothing else in common that could hold it.
var shared binary //nolint:gochecknoglobals // one server per test binary is the point; it ends with the process

type binary struct {
	mu        sync.Mutex
	server    *servers.Postgres
	err       error
	templates map[string]*template
	databases atomic.Int64
}

// template is a migrated database that others are copied from.
type template struct {
	once sync.Once
	name string
	err  error
}

// Postgres is the server that all tests of this binary share. It starts with
// the first call and ends with the process; the next process removes its data.
func Postgres(tb testing.TB) *servers.Postgres {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = startPostgres(tb)
	}
	require.NoError(tb, shared.err)
	return shared.server
}

// OwnPostgres is a server of the test's own, which it may stop, kill and restart.
func OwnPostgres(tb testing.TB, change ...func(*servers.PostgresOptions)) *servers.Postgres {
	tb.Helper()
	server, err := startPostgres(tb, change...)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, server.Close()) })
	return server
}

// startPostgres takes no context of the test's: the shared server outlives it.
func startPostgres(tb testing.TB, change ...func(*servers.PostgresOptions)) (*servers.Postgres, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setUpWithin)
	defer cancel()
	binDir, err := provision.Postgres(ctx, logOf(tb))
	if err != nil {
		return nil, err
	}
	options := servers.PostgresOptions{BinDir: binDir}
	for _, c := range change {
		c(&options)
	}
	return servers.StartPostgres(ctx, options)
}

// Database is a fresh database of the test's own, by its address. It is a copy
// of a template that migrate fills once per test binary and key; migrate must
// close its connections. The database is dropped when the test ends. Without
// migrate the database is empty.
func Database(tb testing.TB, key string, migrate func(ctx context.Context, url string) error) string {
	tb.Helper()
	server := Postgres(tb)
	original := "template0"
	if migrate != nil {
		original = templateDatabase(tb, server, key, migrate)
	}
	name := fmt.Sprintf("test_%d", shared.databases.Add(1))
	require.NoError(tb, server.CloneDatabase(tb.Context(), original, name))
	// The test's context is over by the time of the clean-up.
	tb.Cleanup(func() { require.NoError(tb, server.DropDatabase(context.Background(), name)) })
	return server.URL(name)
}

func templateDatabase(tb testing.TB, server *servers.Postgres, key string, migrate func(context.Context, string) error) string {
	tb.Helper()
	made := templateOf(key)
	made.once.Do(func() {
		made.name = templateName(key)
		if made.err = server.CreateDatabase(tb.Context(), made.name); made.err == nil {
			made.err = migrate(tb.Context(), server.URL(made.name))
		}
	})
	require.NoError(tb, made.err, "migrate the template database %s", key)
	return made.name
}

func templateOf(key string) *template {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.templates == nil {
		shared.templates = map[string]*template{}
	}
	if shared.templates[key] == nil {
		shared.templates[key] = &template{}
	}
	return shared.templates[key]
}

// templateName keeps any key within PostgreSQL's 63 bytes for a name.
func templateName(key string) string {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(key))
	return fmt.Sprintf("template_%x", sum.Sum64())
}
