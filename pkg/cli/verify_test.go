package cli_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/cli"
	"github.com/fenflow/fenflow/pkg/simulator"
)

// shop is a merchant's directory, as people have one, and the other side's keys.
type shop struct {
	t   *testing.T
	dir string
	m   simulator.Merchant
}

func newShop(t *testing.T) shop {
	t.Helper()
	s := shop{t: t, dir: t.TempDir()}
	var err error
	s.m, err = simulator.Init(s.dir, simulator.InitOptions{Now: func() time.Time { return time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC) }})
	require.NoError(t, err)
	return s
}

// request is a notification as it is on the wire, signed at noon.
func (s shop) request(key *rsa.PrivateKey, serial string) string {
	s.t.Helper()
	block, err := aes.NewCipher([]byte(s.m.APIv3Key))
	require.NoError(s.t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(s.t, err)
	plain := `{"appid":"` + s.m.Appid + `","mchid":"` + s.m.Mchid + `","out_trade_no":"TEA-1","transaction_id":"4200000001","trade_type":"JSAPI","trade_state":"SUCCESS","success_time":"2026-03-01T12:00:00+08:00",
		"payer":{"openid":"o-buyer"},"amount":{"total":880,"currency":"CNY"}}`
	body, err := json.Marshal(map[string]any{"id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource": map[string]string{
		"algorithm": "AEAD_AES_256_GCM", "nonce": "fdasflkja484", "associated_data": "transaction",
		"ciphertext": base64.StdEncoding.EncodeToString(aead.Seal(nil, []byte("fdasflkja484"), []byte(plain), []byte("transaction"))),
	}})
	require.NoError(s.t, err)
	const noon = 1772337600
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\nonce\n%s\n", noon, body))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	require.NoError(s.t, err)
	return fmt.Sprintf("POST /notify/v3/%s HTTP/1.1\r\nHost: pay.example.com\r\nContent-Type: application/json\r\nWechatpay-Timestamp: %d\r\nWechatpay-Nonce: once\r\nWechatpay-Serial: %s\r\n"+
		"Wechatpay-Signature: %s\r\n\r\n%s", s.m.Mchid, noon, serial, base64.StdEncoding.EncodeToString(signature), body)
}

func (s shop) genuine() string { return s.request(s.m.WechatpayKey, s.m.PublicKeyID) }

// verify runs the command on a text in a file. No secret is ever said.
func (s shop) verify(text string, args ...string) (exit int, said string) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "message")
	require.NoError(s.t, os.WriteFile(file, []byte(text), 0o600))
	return s.run(strings.NewReader(""), append([]string{"notification", "verify", file}, args...)...)
}

func (s shop) run(stdin *strings.Reader, args ...string) (exit int, said string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	env := map[string]string{"FENFLOW_CONFIG": filepath.Join(s.dir, "fenflow.yaml"), "FENFLOW_NATS_WORKER_PASSWORD": "pw", "NO_COLOR": "1"}
	exit = cli.Run(s.t.Context(), cli.Deps{Pipe: stdin, Stdout: &out, Stderr: &errs, Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}, args)
	said = out.String() + errs.String()
	for _, secret := range []string{s.m.APIv3Key, s.m.APIv2Key, "BEGIN PRIVATE KEY"} {
		require.NotContains(s.t, said, secret)
	}
	return exit, said
}

func TestVerify_says_that_a_message_is_right(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	exit, said := s.verify(s.genuine())
	require.Zero(t, exit, said)
	require.Contains(t, said, "signature       right\n")
	require.Contains(t, said, "key             "+s.m.PublicKeyID)
	require.Contains(t, said, "signed          2026-03-01 04:00:00Z (1772337600)\n")
	require.Contains(t, said, "as of its signature: nothing else says when it came")
	require.Contains(t, said, `it begins "1772337600\nonce\n"`)
	require.Contains(t, said, "decrypts        with key 1 of api_v3_key_files")
	require.Contains(t, said, "it would get in")
	require.NotContains(t, said, "o-buyer", "the buyer's data takes --decrypt")

	exit, said = s.verify(s.genuine(), "--decrypt")
	require.Zero(t, exit)
	require.Contains(t, said, `"openid":"o-buyer"`)
	exit, said = s.run(strings.NewReader(s.genuine()), "notification", "verify", "-", "--json")
	require.Zero(t, exit, said)
	require.Contains(t, said, `"ok": true`)
	require.NotContains(t, said, "resource")
}

func TestVerify_says_what_is_wrong(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for name, tc := range map[string]struct {
		text string
		args []string
		want []string
	}{
		"a byte was changed": {strings.Replace(s.genuine(), "EV-1", "EV-2", 1), nil, []string{"signature       wrong", "bad_signature: the signature is not one of key", "decrypts        with key 1"}},
		"the clock was off":  {s.genuine(), []string{"--at", "2026-03-01T04:05:00Z"}, []string{"right, but its time is not", "from --at: 5m0s after it was signed", "timestamp: Wechatpay-Timestamp 1772337600 is -300 s off"}},
		"signed by somebody": {s.request(s.m.PrivateKey, s.m.PublicKeyID), nil, []string{"signature       wrong"}},
		"a certificate that is not given": {s.request(s.m.PlatformKey, s.m.PlatformSerial), nil, []string{
			"names key       " + s.m.PlatformSerial, "unknown_serial"}},
		"a header was lost":     {strings.Replace(s.genuine(), "Wechatpay-Nonce", "X-Nonce", 1), nil, []string{"missing_header: Wechatpay-Nonce is missing"}},
		"another merchant's":    {strings.Replace(s.genuine(), s.m.Mchid, "1900000199", 1), nil, []string{"FEN-2001"}},
		"a terminal's own text": {strings.Replace(s.genuine(), "Wechatpay-Nonce: once", "Wechatpay-Nonce: \x1b[2J", 1), nil, []string{"malformed_header"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exit, said := s.verify(tc.text, tc.args...)
			require.NotZero(t, exit)
			for _, want := range tc.want {
				require.Contains(t, strings.Join(strings.Fields(said), " "), strings.Join(strings.Fields(want), " "))
			}
			require.NotContains(t, said, "\x1b")
		})
	}
}

func TestVerify_reads_through_what_copying_does(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	exit, said := s.verify(s.genuine() + "\n")
	require.Zero(t, exit, said)
	require.Contains(t, said, "an editor adds them")
	exit, said = s.verify(s.genuine()+"\n", "--at", "2026-03-01T05:00:00Z")
	require.Equal(t, 5, exit)
	require.Contains(t, said, "right, but its time is not")
}

func TestVerify_takes_a_certificate_from_a_file(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	file := filepath.Join(s.dir, "platform", "platform_cert.pem")
	text := s.request(s.m.PlatformKey, s.m.PlatformSerial)
	exit, said := s.verify(text, "--certificate", file)
	require.Zero(t, exit, said)
	require.Contains(t, said, s.m.PlatformSerial)
	exit, said = s.verify(strings.ReplaceAll(text, "1772337600", "1672531200"), "--certificate", file)
	require.Equal(t, 5, exit, "of before the certificate began")
	require.Contains(t, said, "was not valid at")
	exit, said = s.verify(text, "--certificate", filepath.Join(s.dir, "secrets", "apiclient_key.pem"))
	require.Equal(t, 2, exit)
	require.Contains(t, said, "--certificate")
	exit, _ = s.verify(text, "--certificate", "nowhere.pem")
	require.Equal(t, 2, exit)
}

func TestVerify_reads_protocol_v2(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	fields := "appid=" + s.m.Appid + "&cash_fee=880&mch_id=" + s.m.Mchid + "&out_trade_no=TEA-1&result_code=SUCCESS&return_code=SUCCESS&time_end=20260301120000&total_fee=880&transaction_id=4200000001"
	sum := md5.Sum([]byte(fields + "&key=" + s.m.APIv2Key))
	body := "<xml>"
	for field := range strings.SplitSeq(fields+"&sign="+strings.ToUpper(hex.EncodeToString(sum[:])), "&") {
		name, value, _ := strings.Cut(field, "=")
		body += "<" + name + ">" + value + "</" + name + ">"
	}
	body += "</xml>"
	exit, said := s.verify(body)
	require.Zero(t, exit, said)
	require.Contains(t, said, "apiv2#1/MD5")
	exit, said = s.verify(strings.Replace(body, "<total_fee>880<", "<total_fee>1<", 1))
	require.Equal(t, 5, exit)
	require.Contains(t, said, "signature  wrong")
	exit, said = s.verify("<xml><return_code>SUCCESS</return_code><mch_id>" + s.m.Mchid + "</mch_id><req_info>AAAA</req_info></xml>")
	require.Equal(t, 5, exit, said)
}

func TestVerify_needs_the_configuration_and_nothing_else(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	exit, said := s.verify(s.genuine(), "--mchid", "x")
	require.Equal(t, 2, exit, said)
	exit, said = s.verify(s.genuine(), "--at", "noon")
	require.Equal(t, 2, exit, said)
	exit, said = s.verify("{}")
	require.Equal(t, 2, exit, said)
	exit, said = s.verify(strings.Repeat("x", 1<<20+1))
	require.Equal(t, 2, exit, said)
	require.NoError(t, os.Remove(filepath.Join(s.dir, "secrets", "apiv3.key")))
	exit, said = s.verify(s.genuine())
	require.Equal(t, 3, exit, said)
	require.Contains(t, said, "apiv3.key")
	exit, said = s.run(strings.NewReader(""), "notification", "verify", "nowhere", "--config", "nowhere.yaml")
	require.Equal(t, 2, exit, said)
	exit, said = s.verify(s.genuine(), "--config", "nowhere.yaml")
	require.Equal(t, 3, exit, said)
}
