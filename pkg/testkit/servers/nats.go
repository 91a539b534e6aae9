package servers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/fenflow/fenflow/pkg/testkit/scratch"
)

// NATSOptions say where and how a NATS server with JetStream runs.
type NATSOptions struct {
	// StoreDir holds the streams and is kept. It must be set.
	StoreDir string
	// ConfigFile, such as deploy/nats.conf, brings users and permissions;
	// addresses, store and logging are replaced by what stands here.
	ConfigFile string
	// Environment answers the $NAMES in ConfigFile; a name that is not here is
	// looked up in the process environment.
	Environment map[string]string
	// Port and MonitorPort on 127.0.0.1; 0 picks free ones.
	Port, MonitorPort int
	// LazySync turns the fsync of each message off, so that a test can show
	// that the roles notice. The zero value is the durable one.
	LazySync bool
	// Log gets warnings and errors; nil drops them.
	Log io.Writer
}

// NATS is a server inside this process, with JetStream and monitoring, on loopback.
type NATS struct {
	options       NATSOptions
	port, monitor *scratch.Port
	server        *server.Server
}

const natsReadyWithin = 20 * time.Second

// StartNATS starts a server and returns once it accepts connections.
func StartNATS(options NATSOptions) (*NATS, error) {
	n := &NATS{options: options}
	if err := n.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("start NATS: %w", err), n.free())
	}
	if err := n.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start NATS: %w", err), n.Close())
	}
	return n, nil
}

func (n *NATS) prepare() error {
	if n.options.StoreDir == "" {
		return errors.New("StoreDir is not set")
	}
	if err := os.MkdirAll(n.options.StoreDir, 0o700); err != nil {
		return fmt.Errorf("make the store folder: %w", err)
	}
	var err error
	if n.port, err = choosePort(n.options.Port); err != nil {
		return err
	}
	n.monitor, err = choosePort(n.options.MonitorPort)
	return err
}

func choosePort(wanted int) (*scratch.Port, error) {
	if wanted != 0 {
		return scratch.FixedPort(wanted), nil
	}
	return scratch.ReservePort()
}

// URL is where clients connect; users and passwords are the configuration's.
func (n *NATS) URL() string { return "nats://" + n.port.Addr() }

// MonitorURL is the base of /varz, /jsz and so on.
func (n *NATS) MonitorURL() string { return "http://" + n.monitor.Addr() }

// ID names the server that runs, and is another one after each start; empty: none runs.
func (n *NATS) ID() string {
	if n.server == nil {
		return ""
	}
	return n.server.ID()
}

// StoreDir is where the streams are.
func (n *NATS) StoreDir() string { return n.options.StoreDir }

// Stop shuts the server down and keeps its streams; connections are cut.
func (n *NATS) Stop() error {
	if n.server != nil {
		n.server.Shutdown()
		n.server.WaitForShutdown()
		n.server = nil
	}
	return nil
}

// Restart stops the server if it runs and starts it with the same streams and addresses.
func (n *NATS) Restart() error {
	if err := n.Stop(); err != nil {
		return fmt.Errorf("restart NATS: %w", err)
	}
	if err := n.start(); err != nil {
		return fmt.Errorf("restart NATS: %w", err)
	}
	return nil
}

// Reload has the running server read its configuration again, as SIGHUP does:
// users and accounts change, connections that may stay do.
func (n *NATS) Reload() error {
	if n.server == nil {
		return errors.New("reload NATS: it does not run")
	}
	options, err := n.serverOptions()
	if err != nil {
		return err
	}
	if err := n.server.ReloadOptions(options); err != nil {
		return fmt.Errorf("reload NATS: %w", err)
	}
	return nil
}

// Close stops the server for good. The store is the caller's to remove.
func (n *NATS) Close() error {
	return errors.Join(n.Stop(), n.free())
}

func (n *NATS) free() error {
	var err error
	for _, port := range []*scratch.Port{n.port, n.monitor} {
		if port != nil {
			err = errors.Join(err, port.Release())
		}
	}
	return err
}

// start makes a new server from fresh options: a server changes those it is given.
func (n *NATS) start() error {
	options, err := n.serverOptions()
	if err != nil {
		return err
	}
	s, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("check the options: %w", err)
	}
	words := &natsLog{words: &tail{next: n.options.Log}}
	s.SetLoggerV2(words, false, false, false)
	n.server = s
	// Start returns once the listeners stand, or after a fatal error, which goes to the log.
	s.Start()
	if !s.ReadyForConnections(natsReadyWithin) || !s.JetStreamEnabled() {
		return fmt.Errorf("it is not ready: %s", words.words)
	}
	return nil
}
