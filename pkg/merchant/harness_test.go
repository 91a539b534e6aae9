package merchant_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const testAPIKey = "0123456789abcdef0123456789ABCDEF"

var newKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func testRSA(tb testing.TB) *rsa.PrivateKey {
	tb.Helper()
	key, err := newKey()
	require.NoError(tb, err)
	return key
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func privatePEM(tb testing.TB, key any) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	return encode("PRIVATE KEY", der)
}

func publicPEM(tb testing.TB, key any) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	require.NoError(tb, err)
	return encode("PUBLIC KEY", der)
}

func certificatePEM(tb testing.TB, key *rsa.PrivateKey) []byte {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0xABCDEF0123), Subject: pkix.Name{CommonName: "1900000109"},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(tb, err)
	return encode("CERTIFICATE", der)
}

// write puts files in a directory of the test and returns their paths.
func write(tb testing.TB, name string, text []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	require.NoError(tb, os.WriteFile(path, text, 0o600))
	return path
}
