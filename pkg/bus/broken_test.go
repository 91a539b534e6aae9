package bus

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

const childEnv = "FENFLOW_BUS_TEST_BROKER"

// TestMain is a broker when the tests below started it as one: in-process
// servers can be stopped but not killed.
func TestMain(m *testing.M) {
	if options := os.Getenv(childEnv); options != "" {
		if err := beBroker(options); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beBroker serves until standard input ends, which it does with the parent.
func beBroker(options string) error {
	var o servers.NATSOptions
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return err
	}
	n, err := servers.StartNATS(o)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(os.Stdout, n.URL())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// child starts a broker process and gives where it listens and how to kill it.
func child(t testing.TB, o servers.NATSOptions) (url string, kill func()) {
	t.Helper()
	options, err := json.Marshal(o)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(options))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var once sync.Once
	kill = func() {
		once.Do(func() {
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait() // says that it was killed
			_ = in.Close()
		})
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line), kill
}

func TestBroker_killed_under_load_keeps_what_it_acknowledged(t *testing.T) {
	t.Parallel()
	o := servers.NATSOptions{StoreDir: t.TempDir(), ConfigFile: confFile, Environment: passwords()}
	url, kill := child(t, o)
	open := func(role string) *Bus {
		b, err := Connect(t.Context(), Config{URL: url, Role: role, Password: "pw-" + role, PublishTimeout: 2 * time.Second})
		require.NoError(t, err)
		t.Cleanup(b.Close)
		return b
	}
	w := world{worker: open("worker"), notify: open("notify")}
	require.NoError(t, w.worker.EnsureStreams(t.Context()))
	var mu sync.Mutex
	notified, published := map[string]bool{}, map[string]uint64{}
	enough := make(chan struct{})
	var wg sync.WaitGroup
	p := NewPacker(w.notify, "1")
	for c := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				env := envelope(c*1_000_000 + i)
				if p.Publish(t.Context(), env) != nil {
					return
				}
				mu.Lock()
				if notified[string(env.DeliveryID)] = true; len(notified) == 1000 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for i := 0; ; i += 20 {
			done, err := w.worker.PublishEvents(t.Context(), events(i, i+20))
			mu.Lock()
			for _, d := range done {
				published[d.EventID] = d.Sequence
			}
			mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	<-enough
	kill()
	wg.Wait()

	url, _ = child(t, o)
	w = world{worker: open("worker")}
	all, _ := w.stored(t)
	for _, env := range all {
		delete(notified, string(env.DeliveryID))
	}
	require.Empty(t, notified)
	require.NotEmpty(t, published)
	last := w.stream(t, StreamEvent).State.LastSeq
	for id, sequence := range published {
		require.LessOrEqual(t, sequence, last, id)
	}
	require.Zero(t, last%20, "a batch is there whole or not at all")
}

// stall is a line to a broker that can be held up.
type stall struct {
	listener net.Listener
	mu       sync.RWMutex // held for writing while nothing passes
}

func newStall(t testing.TB, target string) *stall {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &stall{listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", strings.TrimPrefix(target, "nats://"))
			if err != nil {
				_ = client.Close()
				continue
			}
			go s.pass(server, client)
			go s.pass(client, server)
		}
	}()
	return s
}

func (s *stall) pass(to, from net.Conn) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		s.mu.RLock()
		_, err = to.Write(buffer[:n])
		s.mu.RUnlock()
		if err != nil {
			return
		}
	}
}

func TestPublish_gives_up_on_a_broker_that_is_slow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	line := newStall(t, w.server.URL())
	slow := func(role string) *Bus {
		return connect(t, w.server, role, func(c *Config) {
			c.URL, c.PublishTimeout = "nats://"+line.listener.Addr().String(), 200*time.Millisecond
		})
	}
	p, worker := NewPacker(slow("notify"), "1"), slow("worker")
	require.NoError(t, p.Publish(t.Context(), envelope(1)))
	line.mu.Lock()
	require.ErrorIs(t, p.Publish(t.Context(), envelope(2)), ErrSlow)
	_, err := worker.PublishEvents(t.Context(), events(0, 10))
	require.ErrorIs(t, err, ErrSlow)
	line.mu.Unlock()
	require.Eventually(t, func() bool {
		published, err := worker.PublishEvents(t.Context(), events(0, 10))
		return err == nil && len(published) == 10
	}, soon, often)
	require.EqualValues(t, 10, w.stream(t, StreamEvent).State.Msgs, "what was ambiguous is there once")
}
