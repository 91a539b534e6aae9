package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/doctor"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/testkit"
)

// authority issues certificates as a test wants them.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().AddDate(-10, 0, 0), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return authority{t, certificate, key}
}

func (a authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}))
}

// serve answers over TLS, under a certificate for an address that ends then.
func (a authority) serve(ends time.Duration, address string, h http.Handler) string {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "host"}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().Add(ends),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.ParseIP(address)},
	}, a.certificate, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that turn away are the point
	server.StartTLS()
	a.t.Cleanup(server.Close)
	return server.URL
}

// dated answers as WeChat Pay does to a request without a signature, by a clock
// that is off.
func dated(off time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusUnauthorized)
	})
}

const year = 365 * 24 * time.Hour

func TestWeChatPay_hosts_are_judged_by_the_roots_that_calls_go_by(t *testing.T) {
	t.Parallel()
	ours, strange := newAuthority(t, "test roots"), newAuthority(t, "somebody else")
	for name, c := range map[string]struct {
		issuer    authority
		ends      time.Duration
		address   string
		roots     string // of ca_file; "": this machine's
		verdict   doctor.Verdict
		says, fix string
	}{
		"right":                        {ours, year, "127.0.0.1", ours.pem(), doctor.OK, "127.0.0.1, issued by test roots, for 364 days more, verified against ca_file", ""},
		"about to end":                 {ours, 5 * 24 * time.Hour, "127.0.0.1", ours.pem(), doctor.Warn, "for 4 days more", "It is the host's to renew"},
		"expired":                      {ours, -time.Hour, "127.0.0.1", ours.pem(), doctor.Fail, "has expired or is not valid yet (127.0.0.1, issued by test roots, valid until", "this machine's clock first"},
		"of another name":              {ours, year, "192.0.2.1", ours.pem(), doctor.Fail, "for another name (192.0.2.1, issued by test roots", "wechatpay.base_url"},
		"of an authority not in file":  {strange, year, "127.0.0.1", ours.pem(), doctor.Fail, "an authority that is not in ca_file", "Correct wechatpay.ca_file"},
		"of an authority not in roots": {ours, year, "127.0.0.1", "", doctor.Fail, "an authority that this machine's roots do not have (127.0.0.1, issued by test roots", "ca-certificates"},
		"roots that are none":          {ours, year, "127.0.0.1", "nonsense", doctor.Fail, "holds no PEM certificate", "wechatpay.ca_file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := c.issuer.serve(c.ends, c.address, dated(0))
			s := newSite(t, func(o *simulator.InitOptions) { o.BaseURL = strings.Replace(base, "https", "http", 1) })
			s.env["FENFLOW_WECHATPAY_BASE_URL"] = base
			if c.roots != "" {
				require.NoError(t, os.WriteFile(s.file("roots.pem"), []byte(c.roots), 0o600))
				s.env["FENFLOW_WECHATPAY_CA_FILE"] = s.file("roots.pem")
			}
			f := s.examine()
			f.is(doctor.OK, "wechatpay.reachable", host(base), "127.0.0.1:")
			f.is(c.verdict, "wechatpay.tls", host(base), c.says, c.fix)
			want := doctor.OK
			if c.verdict == doctor.Fail {
				want = doctor.Skipped
			}
			f.is(want, "wechatpay.clock", host(base))
		})
	}
}

func TestWeChatPay_clocks_decide_whether_signatures_are_taken(t *testing.T) {
	t.Parallel()
	for off, want := range map[time.Duration]doctor.Verdict{
		30 * time.Second: doctor.OK, -100 * time.Second: doctor.Warn, 200 * time.Second: doctor.Warn, -5 * time.Minute: doctor.Fail, 299 * time.Second: doctor.Fail,
	} {
		server := httptest.NewServer(dated(off))
		t.Cleanup(server.Close)
		s := newSite(t, func(o *simulator.InitOptions) { o.BaseURL = server.URL })
		f := s.examine()
		f.is(want, "wechatpay.clock", host(server.URL), "this machine's")
		f.is(doctor.Warn, "wechatpay.tls", host(server.URL), "plain http")
	}
}

func TestWeChatPay_both_hosts_are_asked_and_none_offline(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(dated(0))
	t.Cleanup(server.Close)
	away := "http://" + testkit.FreeAddr(t)
	s := newSite(t, func(o *simulator.InitOptions) { o.BaseURL = server.URL })
	s.env["FENFLOW_WECHATPAY_BACKUP_URL"] = away
	f := s.examine()
	f.is(doctor.OK, "wechatpay.reachable", host(server.URL))
	f.is(doctor.Fail, "wechatpay.reachable", host(away), "connection refused", "HTTPS_PROXY")
	f.is(doctor.Skipped, "wechatpay.clock", host(away))

	s.env["FENFLOW_WECHATPAY_BACKUP_URL"] = "https://nowhere..invalid"
	s.examine().is(doctor.Fail, "wechatpay.reachable", "nowhere..invalid", "the name nowhere..invalid is not resolved", "resolv.conf")
	s.offline = true
	f = s.examine()
	f.is(doctor.Skipped, "wechatpay.reachable", host(server.URL), "--offline")
	f.is(doctor.Skipped, "wechatpay.reachable", "nowhere..invalid", "--offline")
	require.False(t, f.has("wechatpay.tls"))
}

func host(address string) string { return address[strings.Index(address, "//")+2:] }
