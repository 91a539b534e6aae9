package devstack

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"github.com/fenflow/fenflow/deploy"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit/provision"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// startPatience bounds the start of one part; the first start makes a
// database cluster.
const startPatience = 60 * time.Second

// databaseName is the database of the stack.
const databaseName = "fenflow"

func (s *Stack) startPostgres(ctx context.Context) error {
	bin, err := provision.Postgres(ctx, s.out)
	if err != nil {
		return fmt.Errorf("find PostgreSQL: %w", err)
	}
	log, err := s.openLog("postgres")
	if err != nil {
		return err
	}
	o := servers.PostgresOptions{BinDir: bin, Log: log}
	if s.options.Keep {
		o.DataDir = s.options.path("postgres")
	}
	if s.postgres, err = servers.StartPostgres(ctx, o); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := s.postgres.CreateDatabase(ctx, databaseName); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return nil
}

// openLog opens the log file of one part; it is closed with the program.
func (s *Stack) openLog(name string) (*os.File, error) {
	log, err := os.OpenFile(s.options.path("log", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	return log, nil
}

func (s *Stack) startRedis(ctx context.Context) error {
	bin, err := provision.Redis(ctx, s.out)
	if err != nil {
		return fmt.Errorf("find Redis: %w", err)
	}
	log, err := s.openLog("redis")
	if err != nil {
		return err
	}
	if s.redis, err = servers.StartRedis(ctx, servers.RedisOptions{Bin: bin, Dir: s.options.path("redis"), Log: log}); err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	return nil
}

// writeMerchant makes the test merchant, or takes up the one that a former
// run left here, keys and ledger included.
func (s *Stack) writeMerchant(context.Context) error {
	dir := s.options.path("merchant")
	o := simulator.InitOptions{
		BaseURL: s.SimulatorURL(), PublicURL: s.NotifyURL(), FrontURL: s.FrontURL(), ShopURL: s.shopAddress(),
		ListenNotify: address(s.ports.notify), ListenFront: address(s.ports.front), ListenAPI: address(s.ports.api), ListenAdmin: address(s.ports.admin),
		PostgresURL: s.postgres.URL(databaseName), NATSURL: s.NATSURL(), NATSMonitorURLs: []string{httpURL(s.ports.monitor)}, RedisURL: s.redis.URL(),
	}
	former, err := simulator.Load(dir)
	switch _, missing := os.Stat(s.options.path("merchant", "merchant.json")); {
	case err != nil && missing == nil:
		return fmt.Errorf("take up the test merchant of a former run: %w", err)
	case err == nil && (!s.options.Shop || former.ShopURL == "" || former.ShopURL == o.ShopURL):
		s.merchant = former // and what a person wrote into its fenflow.yaml
		return nil
	case err == nil: // its logins would lead back to where the shop was
		o.Merchant, o.Force, o.KeepLedger = &former, true, true
	}
	if s.merchant, err = simulator.Init(dir, o); err != nil {
		return fmt.Errorf("make the test merchant: %w", err)
	}
	return nil
}

// addresses are the same as variables: a stack that is started again may find
// its parts elsewhere than its fenflow.yaml says.
func (s *Stack) addresses() []string {
	addresses := []string{
		"FENFLOW_CONFIG=" + s.options.path("merchant", "fenflow.yaml"),
		"FENFLOW_PUBLIC_URL=" + s.NotifyURL(), "FENFLOW_WECHATPAY_BASE_URL=" + s.SimulatorURL(),
		"FENFLOW_LISTEN_NOTIFY=" + address(s.ports.notify), "FENFLOW_LISTEN_API=" + address(s.ports.api),
		"FENFLOW_LISTEN_FRONT=" + address(s.ports.front), "FENFLOW_FRONT_URL=" + s.FrontURL(),
		"FENFLOW_WECHAT_BASE_URL=" + cmp.Or(s.options.WeChatURL, s.SimulatorURL()), "FENFLOW_WECHAT_OPEN_URL=" + s.SimulatorURL(),
		"FENFLOW_NATS_URL=" + s.NATSURL(), "FENFLOW_NATS_MONITOR_URLS=" + httpURL(s.ports.monitor),
		// After a kill the broker hands out again what was not acknowledged, soon.
		"FENFLOW_WAITS_ACK_WAIT=2s",
	}
	if s.options.LogLevel != "" {
		addresses = append(addresses, "FENFLOW_LOG_LEVEL="+s.options.LogLevel)
	}
	return addresses
}

func (s *Stack) startNATS(ctx context.Context) error {
	conf := s.options.path("nats.conf")
	if err := os.WriteFile(conf, deploy.NATSConf(), 0o600); err != nil {
		return fmt.Errorf("write nats.conf: %w", err)
	}
	if err := s.writeAccounts(); err != nil {
		return fmt.Errorf("write the accounts of business systems: %w", err)
	}
	args := []string{"role", "nats", "--conf", conf, "--store", s.options.path("nats"), "--port", strconv.Itoa(s.ports.nats), "--monitor-port", strconv.Itoa(s.ports.monitor)}
	if err := s.role(ctx, "nats", environment(s.passwords, natsUsers()...), args...); err != nil {
		return err
	}
	return s.await(ctx, "nats", httpURL(s.ports.monitor)+"/healthz")
}

func (s *Stack) startSimulator(ctx context.Context) error {
	args := []string{"role", "simulator", "--dir", s.options.path("merchant"), "--listen", address(s.ports.simulator), "--speed", strconv.FormatFloat(s.options.Speed, 'f', -1, 64),
		"--limits=" + strconv.FormatBool(s.options.Limits)}
	if err := s.role(ctx, "simulator", nil, args...); err != nil {
		return err
	}
	return s.await(ctx, "simulator", s.SimulatorURL()+"/healthz")
}

func (s *Stack) migrate(ctx context.Context) error {
	if _, err := store.Migrate(ctx, s.postgres.URL(databaseName)); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

// roleSpec is one of fenflow's own programs.
type roleSpec struct {
	name  string
	admin int
	users []string // of the broker
}

// roleSpecs are those that this stack starts.
func (s *Stack) roleSpecs() []roleSpec {
	return slices.DeleteFunc([]roleSpec{
		{"worker", s.ports.workerAdmin, []string{"worker"}},
		{"ingest", s.ports.admin, []string{"notify", "api", "front"}},
		{"reconciler", s.ports.reconAdmin, []string{"reconciler"}},
	}, func(r roleSpec) bool { return slices.Contains(s.options.Without, r.name) })
}

func (s *Stack) startRoles(ctx context.Context) error {
	for _, r := range s.roleSpecs() {
		if err := s.spawnRole(ctx, r); err != nil {
			return err
		}
	}
	return s.AwaitReady(ctx)
}

func (s *Stack) spawnRole(ctx context.Context, r roleSpec) error {
	env := append(environment(s.passwords, r.users...), "FENFLOW_LISTEN_ADMIN="+address(r.admin))
	env = append(append(append(env, s.addresses()...), "FENFLOW_CONFIG="+s.ConfigFile(r.name)), s.waits...)
	if r.name != "ingest" { // the edge is given nothing that it must not hold
		env = append(env, "FENFLOW_POSTGRES_URL="+s.postgres.URL(databaseName), "FENFLOW_REDIS_URL="+s.redis.URL())
	}
	return s.role(ctx, r.name, env, "role", r.name)
}

// role starts this same program again as one role.
func (s *Stack) role(ctx context.Context, name string, env []string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	return s.program(ctx, name, env, self, args...)
}

// program starts a program and keeps it alive.
func (s *Stack) program(ctx context.Context, name string, env []string, path string, args ...string) error {
	p, err := spawn(ctx, name, s.options.path("log", name+".log"), s.say, func(context.Context) (*exec.Cmd, error) {
		// Ends with the stack, through stop; a context would kill it without asking.
		cmd := exec.Command(path, args...) //nolint:noctx // see above
		cmd.Env = append(os.Environ(), env...)
		return cmd, nil
	})
	if err != nil {
		return err
	}
	s.processes = append(s.processes, p)
	return nil
}

// await polls a health address until it answers 200.
func (s *Stack) await(ctx context.Context, name, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		last := probe(ctx, url)
		if last == nil {
			return nil
		}
		select {
		case err := <-s.find(name).failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %w; its log ends with:\n%s", name, startPatience, last, tail(s.options.path("log", name+".log"), 12))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func probe(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 2048)) // only for the message
		return fmt.Errorf("%s answers %d: %s", url, resp.StatusCode, body)
	}
	return nil
}
