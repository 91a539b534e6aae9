package merchant_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

func goodFiles(t *testing.T) merchant.Files {
	t.Helper()
	key := testRSA(t)
	return merchant.Files{
		PrivateKey:        write(t, "apiclient_key.pem", privatePEM(t, key)),
		ClientCertificate: write(t, "apiclient_cert.pem", certificatePEM(t, key)),
		APIv3Keys:         []string{write(t, "apiv3.key", []byte(testAPIKey+"\r\n")), write(t, "old.key", []byte(strings.ToUpper(testAPIKey)))},
		APIv2Keys:         []string{write(t, "apiv2.key", []byte("\n"+testAPIKey+"\n"))},
		PublicKeys:        []merchant.PublicKeyFile{{ID: "PUB_KEY_ID_1", File: write(t, "pub_key.pem", publicPEM(t, &key.PublicKey))}},
	}
}

func testMerchant() merchant.Merchant {
	return merchant.Merchant{MchID: "1900000109", Protocol: pay.ProtocolV3, Serial: "ABCDEF0123"}
}

func TestLoadCredentials_reads_all_files(t *testing.T) {
	t.Parallel()
	cred, err := merchant.LoadCredentials(testMerchant(), goodFiles(t))
	require.NoError(t, err)
	require.True(t, testRSA(t).Equal(cred.PrivateKey))
	require.Equal(t, testAPIKey, cred.APIv3Keys[0].Reveal(), "white space around it is cut off")
	require.Len(t, cred.APIv3Keys, 2)
	require.Equal(t, testAPIKey, cred.APIv2Keys[0].Reveal())
	require.Equal(t, []string{"PUB_KEY_ID_1"}, cred.Keyring.IDs())
	require.NotNil(t, cred.ClientCertificate.Leaf)

	files := goodFiles(t)
	files.ClientCertificate, files.APIv2Keys = "", nil
	cred, err = merchant.LoadCredentials(testMerchant(), files)
	require.NoError(t, err)
	require.Nil(t, cred.ClientCertificate)
}

func TestLoadCredentials_names_the_file_and_the_fix(t *testing.T) {
	t.Parallel()
	key := testRSA(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	public := func(id string, text []byte) func(*merchant.Files) {
		return func(f *merchant.Files) {
			f.PublicKeys = []merchant.PublicKeyFile{{ID: id, File: write(t, "named.pem", text)}}
		}
	}
	private := func(text []byte) func(*merchant.Files) {
		return func(f *merchant.Files) { f.PrivateKey = write(t, "named.pem", text) }
	}
	v3 := func(text string) func(*merchant.Files) {
		return func(f *merchant.Files) { f.APIv3Keys = []string{write(t, "named.pem", []byte(text))} }
	}
	for name, tc := range map[string]struct {
		change func(*merchant.Files)
		want   []string
	}{
		"no such file":                 {func(f *merchant.Files) { f.PrivateKey = "/nowhere/named.pem" }, []string{"private_key_file", "named.pem", "correct the path"}},
		"a directory":                  {func(f *merchant.Files) { f.PrivateKey = t.TempDir() }, []string{"private_key_file"}},
		"a huge file":                  {private(bytes.Repeat([]byte("x"), 65<<10)), []string{"named.pem", "another file"}},
		"an empty file":                {private(nil), []string{"named.pem", "no PEM block"}},
		"a certificate as private key": {private(certificatePEM(t, key)), []string{"named.pem", "CERTIFICATE", "PRIVATE KEY"}},
		"a broken private key":         {private(encode("PRIVATE KEY", []byte("x"))), []string{"named.pem", "apiclient_key.pem"}},
		"a private key of a curve":     {private(privatePEM(t, curve)), []string{"named.pem", "RSA"}},
		"a weak private key":           {private(encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(weak))), []string{"named.pem", "1024", "2048"}},
		"a key of 16 bytes":            {v3(testAPIKey[:16]), []string{"api_v3_key_files", "named.pem", "16 bytes", "exactly 32"}},
		"a key of 33 bytes":            {v3(testAPIKey + "x"), []string{"named.pem", "33 bytes"}},
		"an empty key":                 {v3(" \n"), []string{"named.pem", "0 bytes"}},
		"a private key as public key":  {public("PUB_KEY_ID_1", privatePEM(t, key)), []string{"wechatpay_public_keys", "named.pem", "PRIVATE KEY"}},
		"a broken public key":          {public("PUB_KEY_ID_1", encode("PUBLIC KEY", []byte("x"))), []string{"named.pem", "pub_key.pem"}},
		"a public key of a curve":      {public("PUB_KEY_ID_1", publicPEM(t, &curve.PublicKey)), []string{"named.pem", "RSA"}},
		"an id of another form":        {public("5157F09E", publicPEM(t, &key.PublicKey)), []string{"5157F09E", "PUB_KEY_ID_"}},
		"another's certificate": {func(f *merchant.Files) { f.ClientCertificate = write(t, "named.pem", certificatePEM(t, other)) },
			[]string{"client_certificate_file", "named.pem", "does not belong"}},
		"no certificate at all": {func(f *merchant.Files) { f.ClientCertificate = write(t, "named.pem", []byte("x")) },
			[]string{"client_certificate_file", "named.pem"}},
		"a certificate without its key": {func(f *merchant.Files) { f.PrivateKey = "" },
			[]string{"client_certificate_file is of no use"}},
		"nothing": {func(f *merchant.Files) { *f = merchant.Files{} },
			[]string{"private_key_file is not set", "api_v3_key_files is empty", "platform_certificates: true"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := goodFiles(t)
			tc.change(&files)
			cred, err := merchant.LoadCredentials(testMerchant(), files)
			require.Nil(t, cred)
			require.ErrorContains(t, err, "merchant 1900000109")
			for _, part := range tc.want {
				require.ErrorContains(t, err, part)
			}
			require.NotContains(t, err.Error(), testAPIKey[:16])
		})
	}
}

func TestLoadCredentials_compares_serials(t *testing.T) {
	t.Parallel()
	m := testMerchant()
	m.Serial = "ABCDEF0124"
	_, err := merchant.LoadCredentials(m, goodFiles(t))
	require.ErrorContains(t, err, "has serial ABCDEF0123, and merchant_serial says ABCDEF0124")
	m.Serial = ""
	_, err = merchant.LoadCredentials(m, goodFiles(t))
	require.ErrorContains(t, err, "merchant_serial is not set")
}

func TestLoadCredentials_of_protocol_v2_needs_only_its_key(t *testing.T) {
	t.Parallel()
	m := merchant.Merchant{MchID: "1900000109", Protocol: pay.ProtocolV2}
	cred, err := merchant.LoadCredentials(m, merchant.Files{APIv2Keys: goodFiles(t).APIv2Keys})
	require.NoError(t, err)
	require.Nil(t, cred.PrivateKey)
	_, err = merchant.LoadCredentials(m, merchant.Files{})
	require.ErrorContains(t, err, "api_v2_key_files")
}

func TestLoadPublicKeys_opens_no_secret(t *testing.T) {
	t.Parallel()
	files := goodFiles(t)
	require.NoError(t, os.Remove(files.PrivateKey))
	keys, err := merchant.LoadPublicKeys(files.PublicKeys)
	require.NoError(t, err)
	require.Len(t, keys, 1)
}

func TestParseCertificatePEM_reads_serial_and_validity(t *testing.T) {
	t.Parallel()
	k, err := merchant.ParseCertificatePEM(certificatePEM(t, testRSA(t)))
	require.NoError(t, err)
	require.Equal(t, "ABCDEF0123", k.ID)
	require.Equal(t, 2026, k.NotBefore.Year())
	require.Equal(t, 2031, k.NotAfter.Year())
	_, err = merchant.ParseCertificatePEM(encode("CERTIFICATE", []byte("x")))
	require.Error(t, err)
}

func FuzzParsePEM(f *testing.F) {
	key, err := newKey()
	require.NoError(f, err)
	f.Add(privatePEM(f, key))
	f.Add(publicPEM(f, &key.PublicKey))
	f.Add(certificatePEM(f, key))
	f.Add([]byte("-----BEGIN X-----\n-----END X-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, parse := range []func() error{
			func() error { _, err := merchant.ParsePrivateKeyPEM(text); return err },
			func() error { _, err := merchant.ParsePublicKeyPEM(text); return err },
			func() error { _, err := merchant.ParseCertificatePEM(text); return err },
			func() error { _, err := merchant.ParseAPIKey(text); return err },
		} {
			if err := parse(); err != nil {
				require.Less(t, len(err.Error()), 400)
			}
		}
	})
}
