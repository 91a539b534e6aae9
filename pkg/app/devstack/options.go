package devstack

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fenflow/fenflow/pkg/testkit/scratch"
)

// Options say where and how a stack runs.
type Options struct {
	Dir         string    // everything it writes; made if missing
	Keep        bool      // keep the books for the next start
	FreePort    bool      // take free ports instead of the documented ones
	Speed       float64   // divides the stand-in's waits: repeats of notifications, progress of refunds
	RefundSpeed float64   // divides fenflow's waits of refunds; 0 and 1: as configured
	Console     bool      // serve operators, too
	Shop        bool      // open the tea shop of examples/shop, where it can be built
	Without     []string  // roles that are not started
	OwnConfig   []string  // roles that read a copy of the configuration of their own: ConfigFile(role)
	Limits      bool      // the stand-in holds fenflow to WeChat Pay's rates, and refunds of one order to their pause
	WeChatURL   string    // where the worker finds WeChat's API; empty: the stand-in
	LogLevel    string    // of fenflow's roles; empty: as configured
	Log         io.Writer // what a person reads: what was found, installed, started
}

// ports are the loopback ports of one stack.
type ports struct {
	notify, api, admin      int // ingest
	front                   int // ingest, for buyers
	workerAdmin, reconAdmin int
	simulator               int
	nats, monitor           int
	console, consoleAdmin   int
	shop                    int

	reserved []*scratch.Port // until the stack has stopped
}

// documentedPorts are those of docker-compose.yml and the README.
func documentedPorts() ports {
	return ports{notify: 8080, api: 8081, admin: 9090, workerAdmin: 9091, reconAdmin: 9092, simulator: 8090, nats: 4222, monitor: 8222, console: 8083, consoleAdmin: 9093, front: 8082, shop: 8095}
}

// freePorts reserves ports that nobody listens on, outside of what the system
// gives to outgoing connections: a role that was killed finds its own again.
func freePorts() (p ports, err error) {
	for _, target := range p.all() {
		port, err := scratch.ReservePort()
		if err != nil {
			return ports{}, errors.Join(fmt.Errorf("find a free port: %w", err), p.release())
		}
		p.reserved = append(p.reserved, port)
		*target = port.Number
	}
	return p, nil
}

func (p *ports) all() []*int {
	return []*int{&p.notify, &p.api, &p.admin, &p.workerAdmin, &p.reconAdmin, &p.simulator, &p.nats, &p.monitor, &p.console, &p.consoleAdmin, &p.front, &p.shop}
}

// release lets others have the reserved ports.
func (p ports) release() error {
	var failed []error
	for _, port := range p.reserved {
		failed = append(failed, port.Release())
	}
	return errors.Join(failed...)
}

// busy names the documented ports that somebody else already listens on.
func (p ports) busy() []string {
	var taken []string
	for _, port := range p.all() {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: *port})
		if err != nil {
			taken = append(taken, strconv.Itoa(*port))
			continue
		}
		_ = l.Close()
	}
	return taken
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func httpURL(port int) string { return "http://" + address(port) }

// natsUsers are the users of deploy/nats.conf; subscriber is the business
// system of the demo.
func natsUsers() []string {
	return []string{"notify", "api", "front", "worker", "reconciler", "console", "subscriber"}
}

// passwordVariable is the environment variable that deploy/nats.conf and the
// roles read a user's password from.
func passwordVariable(user string) string {
	return "FENFLOW_NATS_" + strings.ToUpper(user) + "_PASSWORD"
}

// newPasswords makes a password for each user of this run.
func newPasswords() map[string]string {
	passwords := map[string]string{}
	for _, user := range natsUsers() {
		secret := make([]byte, 16)
		_, _ = rand.Read(secret) // never fails: crypto/rand.Read ends the program instead
		// A leading letter: the configuration language of NATS would read some
		// hex strings as numbers.
		passwords[user] = "p" + hex.EncodeToString(secret)
	}
	return passwords
}

// environment gives the passwords of some users as variables.
func environment(passwords map[string]string, users ...string) []string {
	env := make([]string, 0, len(users))
	for _, user := range users {
		env = append(env, passwordVariable(user)+"="+passwords[user])
	}
	return env
}

func (o Options) path(parts ...string) string {
	return filepath.Join(append([]string{o.Dir}, parts...)...)
}
