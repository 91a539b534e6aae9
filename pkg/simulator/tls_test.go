package simulator_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// overTLS serves the bench's simulator with TLS, too, on an address of its own.
func (b bench) overTLS(t *testing.T) string {
	t.Helper()
	config, err := b.simulator.TLSConfig()
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(b.simulator.Handler())
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// tlsClient trusts the merchant's CA and nothing else.
func (b bench) tlsClient(t *testing.T, certificates ...tls.Certificate) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(b.merchant.CACertificate))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (b bench) clientCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	block, _ := pem.Decode(b.merchant.Certificate)
	require.NotNil(t, block)
	return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: b.merchant.PrivateKey}
}

// stranger has the right name on a certificate of nobody's.
func stranger(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func v2RefundOf(number string, fee, total int, change ...string) map[string]string {
	fields := map[string]string{"out_trade_no": number, "out_refund_no": number + "-r", "refund_fee": strconv.Itoa(fee), "total_fee": strconv.Itoa(total)}
	for i := 0; i < len(change); i += 2 {
		fields[change[i]] = change[i+1]
	}
	return fields
}

func TestSecapiWantsTheMerchantsCertificate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.v2Order(t, "order-1", "http://127.0.0.1:1/n", 888)
	secure := b.overTLS(t)
	const path = "/secapi/pay/refund"
	body := b.v2Body(v2RefundOf("order-1", 100, 888))
	code := func(client *http.Client, url string) string {
		answer := v2Elements(t, b.v2Send(t, client, url+path, body))
		return answer["return_code"] + " " + answer["err_code"]
	}
	require.Equal(t, "FAIL CERT_ERROR", code(http.DefaultClient, b.url), "without TLS it is refused")
	require.Contains(t, b.log.String(), "--listen-tls")
	require.Equal(t, "FAIL CERT_ERROR", code(b.tlsClient(t), secure))
	require.Contains(t, b.log.String(), "sent no certificate")
	require.Equal(t, "FAIL CERT_ERROR", code(b.tlsClient(t, stranger(t, b.merchant.Mchid)), secure))
	server, err := tls.X509KeyPair(b.merchant.ServerCertificate, b.merchant.ServerKey)
	require.NoError(t, err)
	require.Equal(t, "FAIL CERT_ERROR", code(b.tlsClient(t, server), secure), "the CA's other certificates are no clients")
	require.Empty(t, b.simulator.Ledger().Refunds)

	require.Equal(t, "SUCCESS ", code(b.tlsClient(t, b.clientCertificate(t)), secure))
	require.Len(t, b.simulator.Ledger().Refunds, 1)
	response, err := http.Post(secure+"/pay/orderquery", "text/xml", nil)
	if err == nil {
		require.NoError(t, response.Body.Close())
	}
	require.ErrorContains(t, err, "certificate", "the CA must be trusted first")
	response, err = b.tlsClient(t).Get(secure + "/healthz")
	require.NoError(t, err)
	status, _ := statusOf(t, response)
	require.Equal(t, http.StatusOK, status, "the rest of TLS wants no certificate")
}

// TestRefusalsOverHTTP2 read the body first: a stream that is reset with its body
// unread loses the answer in some clients. Here the client's body is read to its end.
func TestRefusalsOverHTTP2(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	config, err := b.simulator.TLSConfig()
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(b.simulator.Handler())
	server.TLS, server.EnableHTTP2 = config, true
	server.StartTLS()
	t.Cleanup(server.Close)
	client := b.tlsClient(t)
	for _, target := range []struct{ method, path string }{{http.MethodPost, "/secapi/pay/refund"}, {http.MethodPut, "/pay/orderquery"}, {http.MethodPost, "/v3/nothing"}} {
		body := &wholly{Reader: strings.NewReader(strings.Repeat("x", 100<<10))}
		request, err := http.NewRequestWithContext(t.Context(), target.method, server.URL+target.path, body)
		require.NoError(t, err)
		request.ContentLength = 100 << 10
		response, err := client.Do(request)
		require.NoError(t, err)
		_, answer := statusOf(t, response)
		require.NotEmpty(t, answer)
		require.Equal(t, 2, response.ProtoMajor)
		require.Eventually(t, body.read.Load, soon, tick, target.path)
	}
}

// wholly says whether it was read to its end.
type wholly struct {
	io.Reader
	read atomic.Bool
}

func (w *wholly) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		w.read.Store(true)
	}
	return n, err
}

func TestV2Refund(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *simulator.Options) { o.Speed = 1e4 })
	shop := newReceiver(t, ackV2)
	payment := b.v2Order(t, "order-1", shop.url+"/notify/v2/"+b.merchant.Mchid+"/pay", 888)
	secure, client := b.overTLS(t), b.tlsClient(t, b.clientCertificate(t))
	refund := func(fields map[string]string) map[string]string {
		answer := v2Elements(t, b.v2Send(t, client, secure+"/secapi/pay/refund", b.v2Body(fields)))
		b.requireSigned(t, answer)
		return answer
	}
	first := refund(v2RefundOf("order-1", 300, 888, "refund_desc", "缺货"))
	require.Equal(t, []string{"SUCCESS", "300", "888", payment.TransactionID}, []string{first["result_code"], first["refund_fee"], first["total_fee"], first["transaction_id"]}, first)
	again := refund(v2RefundOf("order-1", 300, 888, "refund_desc", "缺货"))
	require.Equal(t, first["refund_id"], again["refund_id"], "the same number and elements refund once")
	require.Equal(t, "REFUND_FEE_MISMATCH", refund(v2RefundOf("order-1", 301, 888, "refund_desc", "缺货"))["err_code"])
	require.Equal(t, "INVALID_REQUEST", refund(v2RefundOf("order-1", 300, 888))["err_code"])
	require.Equal(t, "INVALID_REQUEST", refund(v2RefundOf("order-1", 1, 887, "out_refund_no", "r-2"))["err_code"])
	require.Equal(t, "ERROR", refund(v2RefundOf("order-1", 589, 888, "out_refund_no", "r-2"))["err_code"])
	require.Equal(t, "ORDERNOTEXIST", refund(v2RefundOf("order-9", 1, 888))["err_code"])
	byID := v2RefundOf("order-1", 588, 888, "out_trade_no", "", "transaction_id", payment.TransactionID, "out_refund_no", "r-2")
	require.Equal(t, "SUCCESS", refund(byID)["result_code"])
	require.Len(t, b.simulator.Ledger().Refunds, 2)

	query := func(name, value string) map[string]string {
		return b.v2(t, "/pay/refundquery", map[string]string{name: value})
	}
	require.Eventually(t, func() bool {
		all := query("out_trade_no", "order-1")
		return all["refund_status_0"] == "SUCCESS" && all["refund_status_1"] == "SUCCESS"
	}, soon, tick)
	all := query("transaction_id", payment.TransactionID)
	require.Equal(t, []string{"2", "2", "300", "588"}, []string{all["refund_count"], all["total_refund_count"], all["refund_fee_0"], all["refund_fee_1"]})
	require.Regexp(t, `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`, all["refund_success_time_1"])
	one := query("refund_id", first["refund_id"])
	require.Equal(t, []string{"1", "order-1-r", "ORIGINAL"}, []string{one["refund_count"], one["out_refund_no_0"], one["refund_channel_0"]})
	require.Equal(t, first["refund_id"], query("out_refund_no", "order-1-r")["refund_id_0"])
	require.Equal(t, "REFUNDNOTEXIST", query("out_refund_no", "nothing")["err_code"])
	require.Equal(t, "REFUND", b.v2(t, "/pay/orderquery", map[string]string{"out_trade_no": "order-1"})["trade_state"])

	b.settled(t)
	got := shop.all()
	require.Len(t, got, 2)
	for _, notice := range got {
		require.Equal(t, "/notify/v2/"+b.merchant.Mchid+"/refund", notice.path, "a refund of v2 is notified by v2")
		require.NotEmpty(t, v2Elements(t, notice.body)["req_info"])
	}
}

// TestRefundQueryPages: ten refunds at a time, from an offset.
func TestRefundQueryPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.v2Order(t, "order-1", "http://127.0.0.1:1/n", 888)
	secure, client := b.overTLS(t), b.tlsClient(t, b.clientCertificate(t))
	for i := range 12 {
		answer := b.v2Send(t, client, secure+"/secapi/pay/refund", b.v2Body(v2RefundOf("order-1", 1, 888, "out_refund_no", "r-"+strconv.Itoa(i))))
		require.Equal(t, "SUCCESS", v2Elements(t, answer)["result_code"])
	}
	first := b.v2(t, "/pay/refundquery", map[string]string{"out_trade_no": "order-1"})
	require.Equal(t, []string{"10", "12", "r-9"}, []string{first["refund_count"], first["total_refund_count"], first["out_refund_no_9"]})
	rest := b.v2(t, "/pay/refundquery", map[string]string{"out_trade_no": "order-1", "offset": "10"})
	require.Equal(t, []string{"2", "12", "r-10", ""}, []string{rest["refund_count"], rest["total_refund_count"], rest["out_refund_no_0"], rest["out_refund_no_2"]})
}

func TestInitMakesACertificateAuthority(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	merchant, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	made, err := simulator.Init(dir, simulator.InitOptions{Merchant: &merchant, BaseURL: "https://pay.example:8443"})
	require.NoError(t, err)
	config, err := os.ReadFile(filepath.Join(dir, "fenflow.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(config), "ca_file: secrets/ca.pem")
	_, err = simulator.Init(t.TempDir(), simulator.InitOptions{Merchant: &merchant})
	require.NoError(t, err)

	roots, ca := x509.NewCertPool(), made.CACertificate
	require.True(t, roots.AppendCertsFromPEM(ca))
	server := parsePEM(t, made.ServerCertificate)
	for _, host := range []string{"localhost", "127.0.0.1", "pay.example", "api.mch.weixin.qq.com"} {
		_, err := server.Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
		require.NoError(t, err, host)
	}
	_, err = parsePEM(t, made.Certificate).Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	require.NoError(t, err, "the merchant's certificate chains to the CA")

	plain := t.TempDir()
	_, err = simulator.Init(plain, simulator.InitOptions{Merchant: &merchant})
	require.NoError(t, err)
	config, err = os.ReadFile(filepath.Join(plain, "fenflow.yaml"))
	require.NoError(t, err)
	require.NotContains(t, string(config), "ca_file", "without https there is nothing to trust it for")
}

func parsePEM(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	require.NotNil(t, block)
	certificate, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return certificate
}

// TestServeTLS: both listeners serve the same platform, and both end.
func TestServeTLS(t *testing.T) {
	t.Parallel()
	merchant, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	b := bench{merchant: merchant}
	plain, secure := listen(t), listen(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- simulator.ServeTLS(ctx, plain, secure, simulator.Options{Merchant: merchant}) }()
	for url, client := range map[string]*http.Client{"http://" + plain.Addr().String(): http.DefaultClient, "https://" + secure.Addr().String(): b.tlsClient(t)} {
		response, err := client.Get(url + "/healthz")
		require.NoError(t, err)
		status, _ := statusOf(t, response)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, map[bool]int{true: 2, false: 1}[strings.HasPrefix(url, "https:")], response.ProtoMajor)
	}
	stop()
	require.NoError(t, <-ended)

	merchant.ServerCertificate = nil
	require.ErrorContains(t, simulator.ServeTLS(t.Context(), listen(t), listen(t), simulator.Options{Merchant: merchant}), "init")
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}
