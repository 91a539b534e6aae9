package reconciler_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/reconciler"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

func lookup(name string) (string, bool) {
	if name == "FENFLOW_NATS_RECONCILER_PASSWORD" {
		return "pw", true
	}
	return "", false
}

func TestReconciler_starts_is_healthy_and_says_that_it_schedules_nothing(t *testing.T) {
	t.Parallel()
	environment := map[string]string{}
	for _, role := range []string{"NOTIFY", "API", "FRONT", "WORKER", "RECONCILER", "CONSOLE", "SUBSCRIBER"} {
		environment["FENFLOW_NATS_"+role+"_PASSWORD"] = "pw"
	}
	broker := testkit.NATS(t, func(o *servers.NATSOptions) {
		o.ConfigFile, o.Environment = "../../../deploy/nats.conf", environment
	})
	m, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "merchant")
	_, err = simulator.Init(dir, simulator.InitOptions{PostgresURL: testkit.Database(t, "empty", nil), NATSURL: broker.URL(), Merchant: &m})
	require.NoError(t, err)
	c, err := config.Load(config.Options{File: filepath.Join(dir, "fenflow.yaml"), Lookup: lookup, Role: config.RoleReconciler})
	require.NoError(t, err)
	said, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = said.Close() })
	env := boot.Env{
		Role: config.RoleReconciler, Config: c, Logger: slog.New(slog.NewTextHandler(said, nil)),
		Registry: prometheus.NewRegistry(), Health: boot.NewHealth(),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- reconciler.Main(ctx, env) }()
	require.Eventually(t, func() bool { return env.Health.Ready(t.Context()).Ready }, 30*time.Second, 20*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	text, err := os.ReadFile(said.Name())
	require.NoError(t, err)
	require.True(t, bytes.Contains(text, []byte("schedules nothing")), string(text))
}
