package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
)

// ids of checks that others need.
const (
	natsReachable  = "nats.reachable"
	natsUserWorker = "nats.user/worker"
	natsUserNotify = "nats.user/notify"
)

// natsUsers are the users of deploy/nats.conf that a role is.
func natsUsers(role config.Role) []string {
	switch role {
	case config.RoleIngest:
		return []string{"notify", "api", "front"}
	case config.RoleWorker, config.RoleReconciler, config.RoleConsole:
		return []string{string(role)}
	case config.RoleAny, config.RoleCLI:
	}
	return nil
}

// nats looks at the broker as each user that this machine has the password of.
func (d *doctor) nats() []check {
	if d.all.NATS.URL == "" || !d.concerns(config.Roles()...) {
		return nil
	}
	checks := []check{{name: natsReachable, look: d.reachNATS}}
	for _, role := range config.Roles() {
		l, looked := d.roles[role]
		if !looked {
			continue
		}
		for _, user := range natsUsers(role) {
			checks = append(checks, check{name: "nats.user", subject: user, needs: []string{natsReachable}, look: func(ctx context.Context) []outcome {
				return d.natsUser(ctx, l.Config, user)
			}})
		}
	}
	for _, address := range d.all.NATS.MonitorURLs {
		checks = append(checks, d.natsServer(address)...)
	}
	return append(checks, d.natsStreams()...)
}

// reachNATS looks whether something that speaks NATS is at each address: a
// server sends INFO before anybody says anything.
func (d *doctor) reachNATS(ctx context.Context) []outcome {
	var there []string
	var away []error
	for _, server := range strings.Split(d.all.NATS.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil {
			continue // configuration.file tells
		}
		if err := greeted(ctx, u); err != nil {
			away = append(away, fmt.Errorf("%s: %w", u.Host, err))
			continue
		}
		there = append(there, u.Host)
	}
	const fix = "Start the NATS server, or correct nats.url."
	switch {
	case len(there) == 0:
		return fail(fix, "%v", errors.Join(away...))
	case len(away) > 0:
		return warn(fix, "%s is there; %v", strings.Join(there, ", "), errors.Join(away...))
	}
	return ok("%s", strings.Join(there, ", "))
}

// greetWithin is a part of what the check has: there may be several servers.
const greetWithin = 1500 * time.Millisecond

func greeted(ctx context.Context, u *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, greetWithin)
	defer cancel()
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "4222")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return err //nolint:wrapcheck // names what it tried
	}
	defer func() { _ = conn.Close() }()
	if u.Scheme == "ws" || u.Scheme == "wss" {
		return nil
	}
	until, _ := ctx.Deadline()
	_ = conn.SetReadDeadline(until) // a connection that cannot be bounded is read all the same
	word := make([]byte, len("INFO "))
	if _, err := io.ReadFull(conn, word); err != nil || string(word) != "INFO " {
		return errors.New("what listens there is no NATS server")
	}
	return nil
}

// natsUser connects as one user. A front door that is not open needs no password,
// and a user whose password is not on this machine cannot be looked at.
func (d *doctor) natsUser(ctx context.Context, c config.Config, user string) []outcome {
	password := c.NATSPassword(user)
	b, err := bus.Connect(ctx, bus.Config{
		URL: c.NATS.URL, Role: user, Password: password.Reveal(), Name: "fenflow-doctor", Replicas: c.NATS.Replicas, PublishTimeout: checkWithin / 2,
	})
	fix := "Compare the password with the server's: FENFLOW_NATS_" + strings.ToUpper(user) + "_PASSWORD (or nats.password_files." + user + ") is the one that deploy/nats.conf was started with."
	switch {
	case err != nil && password == "":
		return skipped("no password of this user is set here")
	case err != nil:
		return fail(fix, "%s", withoutSecret(err, password))
	}
	d.keep(b.Close)
	switch {
	case !b.Connected():
		return fail(fix, "the connection does not come up")
	case password == "":
		return warn("Start NATS with deploy/nats.conf, and give each role its password.", "NATS lets this user in without a password: whoever reaches it may publish payments")
	}
	switch user {
	case "worker":
		d.worker = b
	case "notify":
		d.notify = b
	}
	return ok("is let in with its password")
}

// withoutSecret makes sure of what should be so anyway: neither a secret nor the
// password in a URL is told.
func withoutSecret(err error, secret merchant.Secret) string {
	said := err.Error()
	hide := []string{secret.Reveal()}
	if u, bad := url.Parse(secret.Reveal()); bad == nil {
		password, _ := u.User.Password()
		hide = append(hide, password)
	}
	for _, h := range hide {
		if h != "" {
			said = strings.ReplaceAll(said, h, "[redacted]")
		}
	}
	return said
}
