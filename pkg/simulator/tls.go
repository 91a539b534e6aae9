package simulator

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// authority is the certificate authority of one merchant directory. It issues the
// certificate of the TLS listener and the merchant's own.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// newAuthority makes one. P-256 is quick to make, so that tests may have their own.
func newAuthority(now time.Time) (a authority, certificatePEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, nil, nil, fmt.Errorf("generate key: %w", err)
	}
	template, _, err := newTemplate("fenflow simulator CA", now)
	if err != nil {
		return authority{}, nil, nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	certificatePEM, err = authority{template, key}.issue(template, &key.PublicKey)
	if err != nil {
		return authority{}, nil, nil, err
	}
	if keyPEM, err = signerPEM(key); err != nil {
		return authority{}, nil, nil, err
	}
	a.key = key
	a.certificate, err = parseCertificate(certificatePEM)
	return a, certificatePEM, keyPEM, err
}

// authority takes up the merchant's own.
func (m Merchant) authority() (authority, error) {
	certificate, err := parseCertificate(m.CACertificate)
	if err != nil {
		return authority{}, fmt.Errorf("read CA certificate: %w", err)
	}
	block, _ := pem.Decode(m.CAKey)
	if block == nil {
		return authority{}, errors.New("read CA key: no PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return authority{}, fmt.Errorf("read CA key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return authority{}, errors.New("read CA key: it cannot sign")
	}
	return authority{certificate, signer}, nil
}

func (a authority) issue(template *x509.Certificate, public crypto.PublicKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("create certificate: %w", err)
	}
	return toPEM("CERTIFICATE", der), nil
}

// issueMerchant makes the merchant API certificate, which is its TLS client
// certificate too, as WeChat Pay's apiclient_cert.pem is.
func (a authority) issueMerchant(mchid string, public crypto.PublicKey, now time.Time) (serial string, certificate []byte, err error) {
	template, serial, err := newTemplate(mchid, now)
	if err != nil {
		return "", nil, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	certificate, err = a.issue(template, public)
	return serial, certificate, err
}

// issueServer makes the certificate of the TLS listener: for this machine, for the
// hosts asked for, and for WeChat Pay's own names, so that a client that cannot be
// given a base URL can be sent here by name resolution.
func (a authority) issueServer(hosts []string, now time.Time) (certificate, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	template, _, err := newTemplate("fenflow simulator", now)
	if err != nil {
		return nil, nil, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range append([]string{"localhost", "127.0.0.1", "::1", "api.mch.weixin.qq.com", "api2.mch.weixin.qq.com"}, hosts...) {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if !slices.Contains(template.DNSNames, host) {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if certificate, err = a.issue(template, &key.PublicKey); err != nil {
		return nil, nil, err
	}
	keyPEM, err = signerPEM(key)
	return certificate, keyPEM, err
}

// newTemplate has a serial of 40 upper-case hex digits, as WeChat Pay's have.
func newTemplate(name string, now time.Time) (template *x509.Certificate, serial string, err error) {
	number, err := random{rand.Reader}.bytes(20)
	if err != nil {
		return nil, "", err
	}
	number[0] = number[0]&0x3f | 0x40 // positive in DER, and no leading zero in hex
	template = &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(number),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"fenflow simulator"}},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.AddDate(certificateYears, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	return template, strings.ToUpper(template.SerialNumber.Text(16)), nil
}

func signerPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("marshal PKCS#8 key: %w", err)
	}
	return toPEM("PRIVATE KEY", der), nil
}

// withServer returns the merchant with a certificate for the TLS listener that also
// covers the host of a base URL.
func (m Merchant) withServer(baseURL string, now time.Time) (Merchant, error) {
	a, err := m.authority()
	if err != nil {
		return m, err
	}
	var hosts []string
	if u, err := url.Parse(baseURL); err == nil && u.Hostname() != "" {
		hosts = append(hosts, u.Hostname())
	}
	m.ServerCertificate, m.ServerKey, err = a.issueServer(hosts, now)
	return m, err
}

// TLSConfig is that of a TLS listener in front of Handler. A client certificate is
// asked for and may be missing: only /secapi/ wants one.
func (s *Simulator) TLSConfig() (*tls.Config, error) { return s.merchant.tlsConfig() }

func (m Merchant) tlsConfig() (*tls.Config, error) {
	if len(m.ServerCertificate) == 0 {
		return nil, errors.New(`the merchant has no TLS certificate; "simulator init --force" makes one`)
	}
	certificate, err := tls.X509KeyPair(m.ServerCertificate, m.ServerKey)
	if err != nil {
		return nil, fmt.Errorf("read TLS certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}, nil
}

// secured lets only those pass who hold the merchant's client certificate.
func (s *Simulator) secured(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := s.checkClient(r)
		if err == nil {
			next(w, r)
			return
		}
		s.log.Warn("request refused", "method", r.Method, "uri", clip(r.RequestURI), "err_code", "CERT_ERROR", "issue", err)
		drain(r)
		s.refuseV2(w, nil, v2Broken("CERT_ERROR", "证书校验错误"))
	}
}

// checkClient: the handshake has proved that the caller has the certificate's key.
func (s *Simulator) checkClient(r *http.Request) error {
	if r.TLS == nil {
		return errors.New("/secapi/ is served on the TLS listener only (serve --listen-tls)")
	}
	if len(r.TLS.PeerCertificates) == 0 {
		return errors.New("the client sent no certificate; it must send apiclient_cert.pem")
	}
	client := r.TLS.PeerCertificates[0]
	own, err := parseCertificate(s.merchant.Certificate)
	if err != nil {
		return fmt.Errorf("read merchant certificate: %w", err)
	}
	now := s.now()
	if bytes.Equal(client.Raw, own.Raw) {
		if now.Before(own.NotBefore) || now.After(own.NotAfter) {
			return errors.New("the merchant's certificate has expired or is not valid yet")
		}
		return nil
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.merchant.CACertificate)
	if _, err := client.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return fmt.Errorf("the client's certificate is not of this merchant: %w", err)
	}
	if name := client.Subject.CommonName; name != s.merchant.Mchid {
		return fmt.Errorf("the client's certificate is of %q, not of %s", name, s.merchant.Mchid)
	}
	return nil
}
