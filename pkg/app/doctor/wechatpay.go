package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// WeChat Pay refuses signatures that are 300 s off, and so do we (doc
// 4013053420): at 240 s it is a matter of minutes.
const (
	weChatSkewWarn = 60 * time.Second
	weChatSkewFail = 240 * time.Second
)

// hostCertificateSoon: hosts renew by themselves, so that a shorter time is a sign.
const hostCertificateSoon = 14 * 24 * time.Hour

// wechatpay looks at the hosts that calls go to.
func (d *doctor) wechatpay() []check {
	c, there := d.of(config.RoleReconciler, config.RoleWorker)
	if !there {
		return nil
	}
	var checks []check
	for _, address := range []string{c.WeChatPay.BaseURL, c.WeChatPay.BackupURL} {
		if address == "" {
			continue
		}
		checks = append(checks, d.wechatHost(c, address)...)
	}
	return checks
}

func (d *doctor) wechatHost(c config.Config, address string) []check {
	host := hostOf(address)
	if d.Offline {
		return []check{{name: "wechatpay.reachable", subject: host, look: func(context.Context) []outcome { return skipped("--offline") }}}
	}
	o := wechatpay.ClientOptions{BaseURL: address, CAFile: c.WeChatPay.CAFile}
	var probed wechatpay.Probed
	reach := check{name: "wechatpay.reachable", subject: host, look: func(ctx context.Context) []outcome { return reachHost(ctx, address) }}
	secure := check{name: "wechatpay.tls", subject: host, needs: []string{reach.id()}, look: func(ctx context.Context) []outcome {
		var err error
		probed, err = wechatpay.Probe(ctx, o)
		return d.chain(probed, err, c.WeChatPay.CAFile)
	}}
	return []check{reach, secure, {name: "wechatpay.clock", subject: host, needs: []string{reach.id(), secure.id()}, look: func(context.Context) []outcome {
		if probed.Date.IsZero() {
			return skipped("the host's answer (%d) has no Date", probed.Status)
		}
		return skew(probed.Date, probed.AskedAt, probed.Blur, weChatSkewWarn, weChatSkewFail, "the host's clock", "WeChat Pay refuses what is signed 300 s off, and so does ingest.")
	}}}
}

// hostOf is what of an address tells it from others.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	return u.Host
}

// reachHost resolves the name and opens a connection, to the proxy where one is set.
func reachHost(ctx context.Context, address string) []outcome {
	u, err := url.Parse(address)
	if err != nil {
		return skipped("it is no address; configuration.file tells")
	}
	said := u.Host
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err == nil && proxy != nil {
		u, said = proxy, u.Host+" through the proxy "+proxy.Host
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = map[string]string{"http": "80"}[u.Scheme]
	}
	if port == "" {
		port = "443"
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return fail("Look at the resolver of this machine (/etc/resolv.conf), and at the name.", "the name %s is not resolved: %v", host, err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return fail("Let this machine reach it through its firewall, or set HTTPS_PROXY.", "%v", err)
	}
	_ = conn.Close()
	return ok("%s, of %s", said, counted(len(addresses), "address"))
}

// chain judges the certificate of a host by the roots that calls go by.
func (d *doctor) chain(p wechatpay.Probed, err error, caFile string) []outcome {
	roots := "this machine's roots"
	if caFile != "" {
		roots = "ca_file " + caFile
	}
	switch {
	case err != nil:
		return badChain(err, roots, caFile)
	case p.Certificate == nil:
		return warn("Set wechatpay.base_url to an https address, unless it is a stand-in's.", "it is plain http: nobody is proven to be there")
	}
	left := p.Certificate.NotAfter.Sub(d.Now())
	said := fmt.Sprintf("%s, issued by %s, for %s more, verified against %s", names(p.Certificate), p.Certificate.Issuer.CommonName, counted(days(left), "day"), roots)
	if left < hostCertificateSoon {
		return warn("It is the host's to renew: look again tomorrow.", "%s", said)
	}
	return ok("%s", said)
}

// badChain says what is wrong with a certificate, and shows it.
func badChain(err error, roots, caFile string) []outcome {
	shown := ""
	var broken *tls.CertificateVerificationError
	if errors.As(err, &broken) && len(broken.UnverifiedCertificates) > 0 {
		leaf := broken.UnverifiedCertificates[0]
		shown = fmt.Sprintf(" (%s, issued by %s, valid until %s)", names(leaf), leaf.Issuer.CommonName, leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &hostname):
		return fail("Correct wechatpay.base_url; if it is right, something stands between (a proxy, a wrong DNS entry).", "its certificate is for another name%s", shown)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fail("Compare this machine's clock first (`timedatectl`); then it is the host's to renew.", "its certificate has expired or is not valid yet%s", shown)
	case errors.As(err, &authority) && caFile != "":
		return fail("Correct wechatpay.ca_file, or leave it out for WeChat Pay's own hosts: it takes the place of this machine's roots.", "its certificate is of an authority that is not in %s%s", roots, shown)
	case errors.As(err, &authority):
		return fail("Install the roots (package ca-certificates); where a proxy re-signs TLS, name its authority in wechatpay.ca_file.", "its certificate is of an authority that %s do not have%s", roots, shown)
	}
	return fail("Look at wechatpay.base_url, wechatpay.ca_file, and at what stands between.", "%s%s", strings.TrimPrefix(err.Error(), "ask "), shown)
}

// names is whom a certificate is for: some have dozens.
func names(c *x509.Certificate) string {
	all := c.DNSNames
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	const most = 3
	switch {
	case len(all) == 0:
		return "no name"
	case len(all) > most:
		return fmt.Sprintf("%s and %d more names", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}
