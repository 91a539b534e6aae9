package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"

	"github.com/fenflow/fenflow/pkg/config"
)

// WeChat's console asks for this file, whose content stands in its name.
const (
	verifyPrefix = "MP_verify_"
	verifySuffix = ".txt"
)

// frontAnswers asks front.url as buyers and WeChat's console do: from outside, as
// far as this machine can.
func (d *doctor) frontAnswers(c config.Config) []check {
	if !c.Front.Open() || !d.concerns(config.RoleIngest) || c.Listen.Front == "" || c.FrontURL() == "" {
		return nil
	}
	answers := false
	reach := check{name: "front.reachable", subject: hostOf(c.FrontURL()), look: func(ctx context.Context) []outcome {
		if d.Offline {
			return skipped("--offline")
		}
		found := frontReached(ctx, c.FrontURL())
		answers = found[0].verdict == OK
		return found
	}}
	checks := []check{reach}
	for _, name := range c.Front.VerifyFiles {
		checks = append(checks, check{name: "front.verify_file", subject: name, needs: []string{reach.id()}, look: func(ctx context.Context) []outcome {
			if !answers {
				return skipped("not looked at, because %s does not answer", c.FrontURL())
			}
			return verifyFile(ctx, c.FrontURL(), name)
		}})
	}
	return checks
}

// frontReached takes no answer for no fault: where the address of the house leads
// back into the house, a machine inside often cannot use it.
func frontReached(ctx context.Context, address string) []outcome {
	status, body, err := ask(ctx, address+"/", nil)
	var invalid *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid), errors.As(err, &authority):
		return fail("Give the listener (listen.tls_cert_file), or the proxy before it, the whole chain of a certificate for this name that phones trust.", "%v", err)
	case err != nil:
		return warn("Start ingest. If it runs, open the address on a phone: behind NAT, a machine often cannot reach its own public address.", "no answer from here: %v", err)
	case !ours(body):
		return fail("Lead /wx/ and /MP_verify_ of that host to listen.front.", "another program answers at %s, with %d", address, status)
	}
	return ok("%s leads to the front door", address)
}

// verifyFile gets a file as WeChat's console does, which follows no redirect.
func verifyFile(ctx context.Context, address, name string) []outcome {
	const fix = "Lead /MP_verify_ at the root of that host to listen.front, without a redirect."
	status, body, err := ask(ctx, address+"/"+name, nil)
	want := strings.TrimSuffix(strings.TrimPrefix(name, verifyPrefix), verifySuffix)
	switch {
	case err != nil:
		return fail(fix, "%v", err)
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest:
		return fail(fix, "%s/%s is redirected (%d): WeChat's console does not follow", address, name, status)
	case status != http.StatusOK && ours(body):
		return fail("Have ingest read the configuration again: restart it, or send it SIGHUP.", "the front door does not serve it (%d)", status)
	case status != http.StatusOK:
		return fail(fix, "another program answers at %s/%s, with %d", address, name, status)
	case strings.TrimSpace(string(body)) != want:
		return fail(fix, "%s/%s holds another text than its name says", address, name)
	}
	return ok("is served at the root of %s", address)
}
