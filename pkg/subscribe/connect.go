package subscribe

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	connectTimeout = 2 * time.Second
	reconnectWait  = 250 * time.Millisecond
	pingInterval   = 5 * time.Second // a silent broker is found in two of these
	// connectReports bounds how often a broker that stays away is reported.
	connectReports = 30 * time.Second
)

// connect gives a connection that goes on trying where the broker cannot be
// reached. Only refused credentials and a broken URL are errors.
func (i *Inbox) connect() error {
	options, err := i.natsOptions()
	if err != nil {
		return err
	}
	conn, err := nats.Connect(i.o.URL, options...)
	if err != nil && !isRefused(err) {
		i.reportAway(err)
		conn, err = nats.Connect(i.o.URL, append(options, nats.RetryOnFailedConnect(true))...)
	}
	if err != nil {
		return fmt.Errorf("connect to NATS as %s: %w", i.o.identity(), err)
	}
	i.conn = conn
	return nil
}

func isRefused(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAccountAuthExpired)
}

// natsOptions lets the caller's options stand over our defaults, but for what
// a reconnection means to us.
func (i *Inbox) natsOptions() ([]nats.Option, error) {
	options := []nats.Option{
		nats.Name("fenflow inbox " + i.o.Name),
		nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		// No buffer: an acknowledgement that cannot leave now is worth nothing
		// later, for the event comes again anyway.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		// Keys are changed while we run: keep trying.
		nats.IgnoreAuthErrorAbort(),
		nats.CustomInboxPrefix(i.o.InboxPrefix),
	}
	switch {
	case i.o.SeedFile != "":
		seed, err := nats.NkeyOptionFromSeed(i.o.SeedFile)
		if err != nil {
			return nil, fmt.Errorf("read the seed file %s: %w", i.o.SeedFile, err)
		}
		options = append(options, seed)
	case i.o.User != "":
		options = append(options, nats.UserInfo(i.o.User, i.o.Password))
	}
	if i.o.TLS != nil {
		options = append(options, nats.Secure(i.o.TLS))
	}
	return append(append(options, i.o.NATS...),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { i.reportAsync(err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				i.reportAway(err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { i.reportAway(err) }),
		nats.ConnectHandler(func(*nats.Conn) { i.connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { i.connected() }),
	), nil
}

// reportAsync tells what nobody waits for; a denied permission shows here and,
// where somebody waits, only as a time-out.
func (i *Inbox) reportAsync(err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		err = fmt.Errorf("%w (the broker's user may not do this: compare Consumer, APIPrefix and InboxPrefix with its permissions in fenflow's nats.conf)", err)
	}
	i.report(Failure{Step: StepConnect, Err: err})
}

// reportAway tells that the broker is away, now and then.
func (i *Inbox) reportAway(err error) {
	i.mu.Lock()
	now := time.Now()
	tell := now.Sub(i.awayTold) >= connectReports
	if tell {
		i.awayTold = now
	}
	i.mu.Unlock()
	if tell {
		i.report(Failure{Step: StepConnect, Err: fmt.Errorf("broker at %s: %w", redacted(i.o.URL), err), Again: reconnectWait})
	}
}

// connected makes the pull under way void: the broker forgot it with the
// connection that it came over.
func (i *Inbox) connected() {
	i.mu.Lock()
	i.awayTold = time.Time{}
	renew := i.renew
	i.mu.Unlock()
	if renew != nil {
		renew()
	}
	i.o.Logger.Info("inbox: connected to the broker", "inbox", i.o.Name)
}
