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
		checks = append(checks, d.payHost(foreign{group: "wechatpay", address: address, caFile: c.WeChatPay.CAFile})...)
	}
	return checks
}

// foreign is a host of others that calls go to.
type foreign struct{ group, address, caFile string }

// payHost looks at its clock, too: WeChat Pay looks at ours.
func (d *doctor) payHost(f foreign) []check {
	var probed wechatpay.Probed
	checks, host := d.foreignHost(f, &probed), hostOf(f.address)
	if d.Offline {
		return checks
	}
	reach, secure := checks[0], checks[1]
	return append(checks, check{name: "wechatpay.clock", subject: host, needs: []string{reach.id(), secure.id()}, look: func(context.Context) []outcome {
		if probed.Date.IsZero() {
			return skipped("the host's answer (%d) has no Date", probed.Status)
		}
		return skew(probed.Date, probed.AskedAt, probed.Blur, weChatSkewWarn, weChatSkewFail, "the host's clock", "WeChat Pay refuses what is signed 300 s off, and so does ingest.")
	}})
}

// foreignHost looks whether it is reached, and proven to be who it is.
func (d *doctor) foreignHost(f foreign, probed *wechatpay.Probed) []check {
	reach := check{name: f.group + ".reachable", subject: hostOf(f.address), look: func(ctx context.Context) []outcome { return reachHost(ctx, f.address) }}
	if d.Offline {
		reach.look = func(context.Context) []outcome { return skipped("--offline") }
		return []check{reach}
	}
	return []check{reach, {name: f.group + ".tls", subject: reach.subject, needs: []string{reach.id()}, look: func(ctx context.Context) []outcome {
		var err error
		*probed, err = wechatpay.Probe(ctx, wechatpay.ClientOptions{BaseURL: f.address, CAFile: f.caFile})
		return d.chain(*probed, err, f)
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
func (d *doctor) chain(p wechatpay.Probed, err error, f foreign) []outcome {
	switch {
	case err != nil:
		return badChain(err, f)
	case p.Certificate == nil && f.group == "wechat" && isLoopback(f.address):
		return ok("it is plain http to this machine: a stand-in")
	case p.Certificate == nil:
		return warn("Set "+f.group+".base_url to an https address, unless it is a stand-in's.", "it is plain http: nobody is proven to be there")
	}
	left := p.Certificate.NotAfter.Sub(d.Now())
	said := fmt.Sprintf("%s, issued by %s, for %s more, verified against %s", names(p.Certificate), p.Certificate.Issuer.CommonName, counted(days(left), "day"), f.roots())
	if left < hostCertificateSoon {
		return warn("It is the host's to renew: look again tomorrow.", "%s", said)
	}
	return ok("%s", said)
}

func (f foreign) roots() string {
	if f.caFile != "" {
		return "ca_file " + f.caFile
	}
	return "this machine's roots"
}

// resigned says what to do where a proxy shows a certificate of its own: only calls
// to WeChat Pay have a setting for that.
func (f foreign) resigned() string {
	if f.group == "wechatpay" {
		return "name its authority in wechatpay.ca_file."
	}
	return "install its authority among them."
}

// badChain says what is wrong with a certificate, and shows it.
func badChain(err error, f foreign) []outcome {
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
		return fail("Correct "+f.group+".base_url; if it is right, something stands between (a proxy, a wrong DNS entry).", "its certificate is for another name%s", shown)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fail("Compare this machine's clock first (`timedatectl`); then it is the host's to renew.", "its certificate has expired or is not valid yet%s", shown)
	case errors.As(err, &authority) && f.caFile != "":
		return fail("Correct wechatpay.ca_file, or leave it out for WeChat Pay's own hosts: it takes the place of this machine's roots.", "its certificate is of an authority that is not in %s%s", f.roots(), shown)
	case errors.As(err, &authority):
		return fail("Install the roots (package ca-certificates); where a proxy re-signs TLS, "+f.resigned(), "its certificate is of an authority that %s do not have%s", f.roots(), shown)
	}
	where := "wechat.base_url"
	if f.group == "wechatpay" {
		where = "wechatpay.base_url, wechatpay.ca_file"
	}
	return fail("Look at "+where+", and at what stands between.", "%s%s", strings.TrimPrefix(err.Error(), "ask "), shown)
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
