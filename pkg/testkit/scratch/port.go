package scratch

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"syscall"
)

// The ports lie below what Linux (from 32768) and macOS (from 49152) hand out
// to outgoing connections: a stopped server finds its port free when it comes back.
const (
	firstPort = 20000
	portCount = 12000
	portTries = 200
)

// Port is a free port of 127.0.0.1, kept from our other processes until Release.
type Port struct {
	Number int
	held   *Held
}

// ReservePort picks a port that nobody listens on and nobody else reserved.
func ReservePort() (*Port, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	if dir, err = Sub(dir, "ports"); err != nil {
		return nil, err
	}
	for range portTries {
		number := firstPort + rand.IntN(portCount) // spread, not secrecy
		held, err := TryLockFile(filepath.Join(dir, strconv.Itoa(number)))
		if err != nil {
			return nil, fmt.Errorf("reserve a port: %w", err)
		}
		if held == nil {
			continue
		}
		if portFree(number) {
			return &Port{Number: number, held: held}, nil
		}
		if err := held.Release(); err != nil {
			return nil, fmt.Errorf("reserve a port: %w", err)
		}
	}
	return nil, errors.New("find a free port on 127.0.0.1: none in " + strconv.Itoa(portTries) + " tries")
}

// FixedPort is a port that the caller insists on; it reserves nothing.
func FixedPort(number int) *Port {
	return &Port{Number: number}
}

// Addr is the port as host:port.
func (p *Port) Addr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Number))
}

// Release lets others have the port. A second call does nothing.
func (p *Port) Release() error {
	if p.held == nil {
		return nil
	}
	held := p.held
	p.held = nil
	return held.Release()
}

// portFree binds the port and lets it go. Nothing may be forked meanwhile: the
// child would have the port, too, until it runs its program.
func portFree(number int) bool {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(number))) //nolint:noctx // returns at once
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
