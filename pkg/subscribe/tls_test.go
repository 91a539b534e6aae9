package subscribe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

func TestInbox_speaks_TLS_to_a_broker_that_it_can_prove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	roots := selfSigned(t, dir)
	conf, err := os.ReadFile(confFile)
	require.NoError(t, err)
	file := writeConf(t, dir, string(conf)+fmt.Sprintf("\ntls {cert_file: %q, key_file: %q}\n", dir+"/cert.pem", dir+"/key.pem"))
	broker := testkit.NATS(t, func(o *servers.NATSOptions) { o.ConfigFile, o.Environment = file, environment() })
	db := openDB(t, "postgres://127.0.0.1:1/?sslmode=disable")

	seen := &failures{}
	o := shopOptions(broker.URL(), db)
	o.OnError, o.TLS = seen.add, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	i, err := Open(t.Context(), o)
	require.NoError(t, err)
	defer i.Close()
	state, err := i.conn.TLSConnectionState()
	require.NoError(t, err)
	require.NotEmpty(t, state.PeerCertificates)
	require.Empty(t, seen.of(""))

	o.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	stranger, err := Open(t.Context(), o) // a broker that cannot prove itself is one that is away
	require.NoError(t, err)
	defer stranger.Close()
	require.False(t, stranger.conn.IsConnected())
	require.ErrorContains(t, seen.of(StepConnect)[0].Err, "certificate")
}

func selfSigned(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return pool
}
