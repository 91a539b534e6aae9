package devstack

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// Stack is everything that runs.
type Stack struct {
	options   Options
	ports     ports
	passwords map[string]string
	merchant  simulator.Merchant
	postgres  *servers.Postgres
	redis     *servers.Redis
	token     string     // of an operator; empty without a console
	processes []*process // in the order of their start
	waits     []string   // fenflow's waits, where they differ from the configuration, as variables
	out       io.Writer
}

// Start brings everything up, in the order in which each part needs the other.
// What was started is stopped again when a later step fails.
func Start(ctx context.Context, o Options) (_ *Stack, err error) {
	s := &Stack{options: o, out: o.Log, passwords: newPasswords()}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if s.ports, err = choosePorts(o); err != nil {
		return nil, err
	}
	// 0711: as root, PostgreSQL runs as another user, who must pass through.
	for _, dir := range []string{o.Dir, o.path("log"), o.path("nats"), o.path("redis")} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("make %s: %w", dir, err)
		}
	}
	for _, step := range []func(context.Context) error{
		s.startPostgres, s.startRedis, s.writeMerchant, s.copyConfig, s.hasten, s.startNATS, s.startSimulator, s.migrate, s.startRoles, s.startConsole, s.startShop,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func choosePorts(o Options) (ports, error) {
	if o.FreePort {
		return freePorts()
	}
	p := documentedPorts()
	if taken := p.busy(); len(taken) > 0 {
		return ports{}, fmt.Errorf("port %s is in use by another program: stop it, or run with --free-ports", strings.Join(taken, ", "))
	}
	return p, nil
}

func (s *Stack) say(format string, args ...any) { _, _ = fmt.Fprintf(s.out, format+"\n", args...) }

func (s *Stack) sayIf(step string, err error) {
	if err != nil {
		s.say("%s: %v", step, err)
	}
}

func (s *Stack) find(name string) *process {
	for _, p := range s.processes {
		if p.name == name {
			return p
		}
	}
	return nil
}

// Kill ends a role with kill -9; its supervisor starts it again.
func (s *Stack) Kill(name string) error {
	p := s.find(name)
	if p == nil {
		return fmt.Errorf("no process is called %q", name)
	}
	return p.kill()
}

// Restarts counts the processes that died and were started again.
func (s *Stack) Restarts() int {
	total := 0
	for _, p := range s.processes {
		_, n := p.status()
		total += n
	}
	return total
}

// Failed returns the verdict on a process that cannot be kept alive.
func (s *Stack) Failed(ctx context.Context) error {
	for {
		for _, p := range s.processes {
			select {
			case err := <-p.failed:
				return err
			default:
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// Stop ends everything, the last first.
func (s *Stack) Stop() {
	for i := len(s.processes) - 1; i >= 0; i-- {
		s.processes[i].stop()
	}
	if s.redis != nil {
		s.sayIf("stop Redis", s.redis.Close())
	}
	if s.postgres != nil {
		s.sayIf("stop PostgreSQL", s.postgres.Close())
	}
	s.sayIf("release the ports", s.ports.release())
}

// APIURL is the base of the business API.
func (s *Stack) APIURL() string { return httpURL(s.ports.api) }

// FrontURL is the base of the front door, where buyers come.
func (s *Stack) FrontURL() string { return httpURL(s.ports.front) }

// ShopURL is where the tea shop sells; empty when it is not open.
func (s *Stack) ShopURL() string {
	if s.find(shopName) == nil {
		return ""
	}
	return s.shopAddress()
}

func (s *Stack) shopAddress() string { return httpURL(s.ports.shop) }

// ConsoleURL is the base of the operators' API.
func (s *Stack) ConsoleURL() string { return httpURL(s.ports.console) }

// NotifyURL is the base of the address that WeChat Pay posts to.
func (s *Stack) NotifyURL() string { return httpURL(s.ports.notify) }

// Token is an operator's; it is empty without a console.
func (s *Stack) Token() string { return s.token }

// Merchant is the test merchant, its shop's API key included.
func (s *Stack) Merchant() simulator.Merchant { return s.merchant }

// LogDir holds a file for each process.
func (s *Stack) LogDir() string { return s.options.path("log") }

// ConfigFile is the fenflow.yaml that a role reads.
func (s *Stack) ConfigFile(role string) string {
	if slices.Contains(s.options.OwnConfig, role) {
		return s.options.path("merchant-"+role, "fenflow.yaml")
	}
	return s.options.path("merchant", "fenflow.yaml")
}

// Environment is what a program beside the stack needs to reach all of it as one
// role (a user of deploy/nats.conf), as variables.
func (s *Stack) Environment(users ...string) []string {
	env := append(environment(s.passwords, users...), s.addresses()...)
	return append(append(env, s.waits...), "FENFLOW_POSTGRES_URL="+s.postgres.URL(databaseName), "FENFLOW_REDIS_URL="+s.redis.URL())
}

// SimulatorURL is the base of the stand-in platform.
func (s *Stack) SimulatorURL() string { return httpURL(s.ports.simulator) }

// NATSURL is where roles and subscribers connect.
func (s *Stack) NATSURL() string { return "nats://" + address(s.ports.nats) }

// keepLogs copies the logs of a failed run out of its directory, which goes.
func (s *Stack) keepLogs(dir string) {
	kept, err := os.MkdirTemp("", "fenflow-demo-logs-")
	if err != nil {
		return
	}
	entries, err := os.ReadDir(filepath.Join(dir, "log"))
	if err != nil {
		return
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, "log", e.Name()))
		if err == nil {
			_ = os.WriteFile(filepath.Join(kept, e.Name()), raw, 0o600) // best effort: the run has failed already
		}
	}
	s.say("the logs of this run are in %s", kept)
}
