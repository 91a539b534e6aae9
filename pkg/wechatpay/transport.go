package wechatpay

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Bounds of the calls. The time-out is below every lease that a call is made
// under, so that a call's end is always known to whoever holds the lease.
const (
	defaultTimeout  = 10 * time.Second
	dialTimeout     = 3 * time.Second // leaves time for the second host
	maxAnswerBytes  = 1 << 20
	maxHeaderBytes  = 64 << 10
	maxIdlePerHost  = 32
	idleConnTimeout = 90 * time.Second
)

var errAnswerTooLarge = fmt.Errorf("the answer has more than %d bytes", maxAnswerBytes)

// newHTTPClient makes a client that shows a certificate to servers that ask for
// one; nil: none.
func newHTTPClient(o ClientOptions, certificate *tls.Certificate) (*http.Client, error) {
	transport := o.Transport
	if transport == nil {
		config, err := o.tlsConfig(certificate)
		if err != nil {
			return nil, err
		}
		transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:     config,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: maxIdlePerHost, IdleConnTimeout: idleConnTimeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
		}
	}
	var backup *url.URL
	if o.BackupURL != "" {
		var err error
		if backup, err = parseBase("backup_url", o.BackupURL); err != nil {
			return nil, err
		}
	}
	return &http.Client{
		Transport: capped{failover{transport, backup}},
		Timeout:   o.Timeout,
		// A redirect would carry a signed request elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func (o ClientOptions) tlsConfig(certificate *tls.Certificate) (*tls.Config, error) {
	roots, err := o.roots()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if certificate != nil {
		// Certificates would hold it back from a server that lists other
		// authorities: such a refusal is WeChat Pay's to give, with a reason.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return config, nil
}

func (o ClientOptions) roots() (*x509.CertPool, error) {
	if o.CAFile == "" {
		return o.RootCAs, nil
	}
	text, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca_file %s holds no PEM certificate", o.CAFile)
	}
	return pool, nil
}

// parseBase takes scheme and host: the paths are WeChat Pay's.
func parseBase(name, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is not a URL", name)
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.User != nil, u.RawQuery != "", u.Fragment != "", u.Path != "" && u.Path != "/":
		return nil, fmt.Errorf("%s must be a scheme and a host, such as https://api.mch.weixin.qq.com", name)
	}
	return u, nil
}

// failover sends a request to the second host when the first cannot be
// reached at all. Nothing was sent then, so nothing can happen twice; the
// signature covers the path, not the host (WeChat Pay doc 4013070356).
type failover struct {
	next   http.RoundTripper
	backup *url.URL // nil: none
}

func (f failover) RoundTrip(req *http.Request) (*http.Response, error) {
	response, err := f.next.RoundTrip(req)
	var op *net.OpError
	if err == nil || f.backup == nil || !errors.As(err, &op) || op.Op != "dial" || req.Context().Err() != nil {
		return response, err
	}
	again := req.Clone(req.Context())
	again.URL.Scheme, again.URL.Host, again.Host = f.backup.Scheme, f.backup.Host, ""
	if req.GetBody != nil {
		body, bodyErr := req.GetBody()
		if bodyErr != nil {
			return nil, errors.Join(err, bodyErr)
		}
		again.Body = body
	}
	return f.next.RoundTrip(again)
}

// capped reads each answer whole, up to a bound: the SDK reads without a
// limit, and loses what kind of failure broke an answer off. Too much is an
// error, never a cut.
type capped struct{ next http.RoundTripper }

func (c capped) RoundTrip(req *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(req)
	if err != nil {
		return response, err
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	_ = response.Body.Close()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read answer: %w", err)
	case len(text) > maxAnswerBytes:
		return nil, errAnswerTooLarge
	}
	response.Body = io.NopCloser(bytes.NewReader(text))
	return response, nil
}

// transportError keeps what kind of failure it was and drops the URL, which
// names orders, and whatever an answer's bytes put into the text.
func transportError(err error) error {
	var network *net.OpError
	var resolve *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("the caller gave up: %w", context.Canceled)
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	case errors.Is(err, errAnswerTooLarge):
		return errAnswerTooLarge
	case errors.As(err, &resolve):
		return fmt.Errorf("reach WeChat Pay: %w", resolve)
	case errors.As(err, &network):
		return fmt.Errorf("reach WeChat Pay: %w", network)
	}
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	if errors.As(err, &authority) || errors.As(err, &hostname) {
		return errors.New("reach WeChat Pay: its TLS certificate is not trusted: look at base_url and ca_file")
	}
	return errors.New("reach WeChat Pay: the connection broke before a whole answer had come")
}
