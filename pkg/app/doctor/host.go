package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/config"
)

// maxHostAnswer is plenty for a role's health, or for one of its refusals.
const maxHostAnswer = 64 << 10

// host looks at the addresses of this machine that roles listen at.
func (d *doctor) host() []check {
	var checks []check
	if c, there := d.of(config.Roles()...); there {
		checks = append(checks, check{name: "host.admin", subject: c.Listen.Admin, look: func(ctx context.Context) []outcome { return adminPort(ctx, c.Listen.Admin) }})
	}
	for _, l := range []struct {
		name   string
		role   config.Role
		public bool
		at     func(config.Listen) string
	}{
		{"notify", config.RoleIngest, true, func(l config.Listen) string { return l.Notify }},
		{"front", config.RoleIngest, true, func(l config.Listen) string { return l.Front }},
		{"api", config.RoleIngest, false, func(l config.Listen) string { return l.API }},
		{"console", config.RoleConsole, false, func(l config.Listen) string { return l.Console }},
	} {
		c, looked := d.roles[l.role]
		if address := l.at(c.Listen); looked && address != "" && (l.name != "front" || c.Front.Open()) {
			secure := l.public && c.Listen.TLSCertFile != ""
			checks = append(checks, check{name: "host.listen", subject: l.name, look: func(ctx context.Context) []outcome {
				return d.listener(ctx, c.Listen, address, secure)
			}})
		}
	}
	return checks
}

// local is a listen address as somebody on this machine reaches it.
func local(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// adminPort asks a role of this machine how it is. None running is no fault.
func adminPort(ctx context.Context, address string) []outcome {
	status, body, err := ask(ctx, "http://"+local(address)+"/readyz", nil)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return skipped("nothing listens there: no role runs on this machine with this listen.admin")
	}
	if err != nil {
		return warn("Look at what listens at listen.admin.", "%v", err)
	}
	var said boot.Readiness
	if json.Unmarshal(body, &said) != nil || said.Checks == nil {
		return fail("Stop that program, or give the roles another listen.admin.", "another program listens there: it answers %d, and not as a role does", status)
	}
	var failing []outcome
	for _, c := range said.Checks {
		if !c.OK {
			failing = append(failing, outcome{Fail, "the role that runs there is not ready: " + c.Name + ": " + c.Detail, "Mend what it names; its log has more."})
		}
	}
	if len(failing) > 0 {
		return failing
	}
	return ok("the role that runs there is ready")
}

// listener looks who is at a role's own address.
func (d *doctor) listener(ctx context.Context, l config.Listen, address string, secure bool) []outcome {
	scheme, trust := "http", (*tls.Config)(nil)
	if secure {
		own, left, err := ownCertificate(l, d.Now())
		if err != nil {
			return fail("Correct listen.tls_cert_file and listen.tls_key_file.", "%v", err)
		}
		if left <= 0 {
			return fail("Renew the certificate: WeChat Pay reaches nobody.", "the certificate of listen.tls_cert_file has expired")
		}
		scheme, trust = "https", own
	}
	status, body, err := ask(ctx, scheme+"://"+local(address)+"/", trust)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return ok("%s is free: no role runs there now", address)
	case err != nil:
		return fail("Stop the program that has the port, or give the role another address.", "what listens at %s is no role of fenflow's: %v", address, err)
	case !ours(body):
		return fail("Stop the program that has the port, or give the role another address.", "another program listens at %s: it answers %d, and not as a role does", address, status)
	}
	return ok("a role listens at %s", address)
}

// ours knows the refusals of our listeners: a notification's, and a problem.
func ours(body []byte) bool {
	var said struct {
		Code string `json:"code"`
	}
	return json.Unmarshal(body, &said) == nil && (said.Code == "FAIL" || strings.HasPrefix(said.Code, "FEN-"))
}

// ownCertificate trusts the configured certificate and no other, by its own name.
func ownCertificate(l config.Listen, now time.Time) (*tls.Config, time.Duration, error) {
	pair, err := tls.LoadX509KeyPair(l.TLSCertFile, l.TLSKeyFile)
	if err != nil {
		return nil, 0, fmt.Errorf("load the certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	name := pair.Leaf.Subject.CommonName
	switch {
	case len(pair.Leaf.DNSNames) > 0:
		name = strings.Replace(pair.Leaf.DNSNames[0], "*", "any", 1)
	case len(pair.Leaf.IPAddresses) > 0:
		name = pair.Leaf.IPAddresses[0].String()
	}
	return &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}, pair.Leaf.NotAfter.Sub(now), nil
}

// ask gets one page without a proxy: this machine needs none to reach itself.
func ask(ctx context.Context, url string, trust *tls.Config) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("make request: %w", err)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: trust},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err //nolint:wrapcheck // names method and address itself
	}
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxHostAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("read its answer: %w", err)
	}
	return response.StatusCode, body, nil
}
