package queue_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/queue"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

const (
	soon = 30 * time.Second
	poll = 10 * time.Millisecond
	// blocked is the longest that one task may keep out the next of its kind,
	// as the package promises, with room for a busy machine.
	blocked = 10*time.Second + 3*time.Second
)

// said is a log that may be read while it is written.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *said) times(words string) int { return strings.Count(s.String(), words) }

// complaints are the lines at warn and error.
func (s *said) complaints() []string {
	var found []string
	for line := range strings.Lines(s.String()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			found = append(found, line)
		}
	}
	return found
}

// calls records what a handler was called for.
type calls struct {
	mu    sync.Mutex
	tasks []queue.Task
	at    []time.Time
}

func (c *calls) add(t queue.Task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tasks, c.at = append(c.tasks, t), append(c.at, time.Now())
}

func (c *calls) handle(_ context.Context, t queue.Task) error {
	c.add(t)
	return nil
}

func (c *calls) times() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]time.Time{}, c.at...)
}

func (c *calls) count() int { return len(c.times()) }

func (c *calls) all() []queue.Task {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]queue.Task{}, c.tasks...)
}

// bundle is a Redis of the test's own, with all that looks at it.
type bundle struct {
	t     *testing.T
	redis *servers.Redis
	raw   *redis.Client
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, redis: testkit.Redis(t)}
	options, err := redis.ParseURL(b.redis.URL())
	require.NoError(t, err)
	b.raw = redis.NewClient(options)
	t.Cleanup(func() { require.NoError(t, b.raw.Close()) })
	return b
}

// running is one Run.
type running struct {
	log      *said
	registry *prometheus.Registry
	stop     func() time.Duration
}

// run starts a queue; it is stopped when the test ends, if not before.
func (b *bundle) run(o queue.Options) *running {
	b.t.Helper()
	r := &running{log: &said{}, registry: prometheus.NewRegistry()}
	o.RedisURL, o.Registry = b.redis.URL(), r.registry
	o.Log = slog.New(slog.NewTextHandler(r.log, nil))
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- queue.Run(ctx, o) }()
	r.stop = sync.OnceValue(func() time.Duration {
		began := time.Now()
		cancel()
		require.NoError(b.t, <-ended)
		return time.Since(began)
	})
	b.t.Cleanup(func() { r.stop() })
	return r
}

func (b *bundle) client() *queue.Client {
	b.t.Helper()
	c, err := queue.NewClient(b.redis.URL())
	require.NoError(b.t, err)
	b.t.Cleanup(func() { require.NoError(b.t, c.Close()) })
	return c
}

// metric is the value of a counter or gauge whose labels have these values.
func (r *running) metric(t *testing.T, name string, values ...string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetValue())
			}
			if family.GetName() == name && slices.Equal(have, values) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// eventually waits for what must come soon.
func (b *bundle) eventually(what string, is func() bool) {
	b.t.Helper()
	require.Eventually(b.t, is, soon, poll, what)
}
