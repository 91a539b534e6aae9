package devstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/console"
	"github.com/fenflow/fenflow/pkg/app/ingest"
	"github.com/fenflow/fenflow/pkg/app/reconciler"
	"github.com/fenflow/fenflow/pkg/app/worker"
	"github.com/fenflow/fenflow/pkg/cli"
	"github.com/fenflow/fenflow/pkg/config"
)

// The stack starts this same program again for each of its parts; in a test
// that is the test binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "role" {
		os.Exit(Main(os.Args[1:], testRoles(), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func testRoles() map[string]Role {
	roles := Parts()
	for role, main := range map[config.Role]boot.Main{
		config.RoleIngest: ingest.Main, config.RoleWorker: worker.Main, config.RoleReconciler: reconciler.Main,
		config.RoleConsole: console.Main,
	} {
		roles[string(role)] = func(_ context.Context, args []string) int { return boot.Run(role, args, main) }
	}
	roles["fenflow"] = func(ctx context.Context, args []string) int {
		return cli.Run(ctx, cli.Deps{Stdout: os.Stdout, Stderr: os.Stderr, Lookup: os.LookupEnv, Environ: os.Environ(), Build: cli.ReadBuild()}, args)
	}
	return roles
}

// killer kills roles with kill -9 as the run goes by certain counts of events.
type killer struct {
	t     *testing.T
	stack *Stack

	mu       sync.Mutex
	paid     []kill // by order.paid received, rising
	refunded []kill // by refund.succeeded received, rising
}

type kill struct {
	at   int
	role string
}

func (*killer) Placed(int)       {}
func (*killer) Paid(int)         {}
func (k *killer) Received(n int) { k.due(&k.paid, n) }
func (k *killer) Refunded(n int) { k.due(&k.refunded, n) }

func (k *killer) due(kills *[]kill, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(*kills) > 0 && n >= (*kills)[0].at {
		role := (*kills)[0].role
		err := k.stack.Kill(role)
		if errors.Is(err, syscall.ESRCH) {
			return // the former kill's: it is not up again yet, and is killed at the next event
		}
		*kills = (*kills)[1:]
		if err != nil {
			k.t.Errorf("kill %s: %v", role, err)
		}
	}
}

func (k *killer) requireDone() {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	require.Empty(k.t, k.paid, "every kill took place")
	require.Empty(k.t, k.refunded, "every kill took place")
}

func startForTest(t *testing.T) *Stack {
	t.Helper()
	stack, err := Start(t.Context(), Options{Dir: t.TempDir(), FreePort: true, Speed: demoSpeed, Log: testWriter{t}})
	require.NoError(t, err)
	t.Cleanup(stack.Stop)
	return stack
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimRight(p, "\n"))
	return len(p), nil
}

// Whatever is killed in the middle of a run, every payment becomes one event.
func TestDemo_keeps_every_payment_when_roles_are_killed(t *testing.T) {
	t.Parallel()
	stack := startForTest(t)
	k := &killer{t: t, stack: stack, paid: []kill{{20, "worker"}, {45, "ingest"}, {70, "worker"}, {95, "nats"}}}
	report, err := RunDemo(t.Context(), stack, DemoOptions{
		Orders: 150, Duplicates: 2, Forged: 25, PayWithin: 3 * time.Second, Patience: 2 * time.Minute, Progress: k,
	})
	require.NoError(t, err)
	require.True(t, report.Good(), report.verdict())
	k.requireDone()
	require.Equal(t, 150, report.Events)
	require.Equal(t, 25, report.ForgedSent)
	require.GreaterOrEqual(t, report.Restarts, 4)
	require.NotZero(t, report.DuplicateNotifications)
	requireNoSecrets(t, stack)
}

// The command's JSON document stands alone on stdout, also when a run fails.
func TestMain_prints_one_document(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	code := Main([]string{"demo", "--orders", "5", "--duplicates", "1", "--forged", "5", "--pay-within", "100ms", "--json"}, nil, &stdout, io.Discard)
	var report Report
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &report), stdout.String())
	require.Zero(t, code, report.verdict())
	require.Equal(t, Report{
		Orders: 5, Paid: 5, Events: 5, DuplicateNotifications: 5, ForgedSent: 5,
		Queries: report.Queries, AckMS: report.AckMS, PaidEventMS: report.PaidEventMS, Seconds: report.Seconds,
	}, report)
	require.NotNil(t, report.AckMS.P99)
	require.NotNil(t, report.PaidEventMS.P50)
}

func TestMain_refuses_a_run_without_orders(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	require.Equal(t, 2, Main([]string{"demo", "--orders", "0", "--json"}, nil, &stdout, &stderr))
	require.Contains(t, stderr.String(), "place at least one")
	require.JSONEq(t, `{"orders":0,"paid":0,"events":0,"duplicate_notifications":0,"duplicate_events":0,"lost":0,"forged_sent":0,"forged_accepted":0,
		"queries":0,"refunds":0,"refunded_fen":0,"platform_refunded_fen":0,"refunds_doubled":0,"anomalies":0,"restarts":0,
		"ack_ms":{"p50":null,"p99":null},"paid_event_ms":{"p50":null,"p99":null},"seconds":null,"error":"--orders is 0: place at least one"}`, stdout.String())
}

func TestMain_prints_one_document_when_a_flag_is_wrong(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	require.NotZero(t, Main([]string{"demo", "--orders", "many", "--json"}, nil, &stdout, io.Discard))
	var report Report
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &report), stdout.String())
	require.Contains(t, report.Error, "many")
}
