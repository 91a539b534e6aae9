package wechatpay

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	testMchID    = pay.MchID("1900000109")
	testAPIv3Key = "Qr7sT9uV2wX4yZ6aB8cD0eF1gH3iJ5kL"
	testAPIv2Key = "8934e7d15453e97507ef794cf7b0519d"
	testPlain    = `{"appid":"wx8888888888888888","mchid":"1900000109","out_trade_no":"T20260101000001",` +
		`"transaction_id":"4200002567202601011234567890","trade_type":"JSAPI","trade_state":"SUCCESS","bank_type":"CMB_DEBIT",` +
		`"success_time":"2026-01-01T08:00:00+08:00","payer":{"openid":"o-1"},"amount":{"total":100,"payer_total":95,"currency":"CNY"}}`
)

var testAt = time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)

// vector is one known answer; each category uses some of the fields.
type vector struct {
	ID             string            `json:"id"`
	Category       string            `json:"category"`
	Key            string            `json:"key"`
	Expect         string            `json:"expect"`
	MchID          string            `json:"mchid"`
	SerialNo       string            `json:"serial_no"`
	Method         string            `json:"method"`
	URL            string            `json:"url"`
	Timestamp      json.RawMessage   `json:"timestamp"`
	NonceStr       string            `json:"nonce_str"`
	Body           string            `json:"body"`
	Message        string            `json:"message"`
	Signature      string            `json:"signature"`
	AppID          string            `json:"app_id"`
	PrepayID       string            `json:"prepay_id"`
	PaySign        string            `json:"pay_sign"`
	Headers        map[string]string `json:"headers"`
	Now            int64             `json:"now"`
	APIv3Key       string            `json:"api_v3_key"`
	Nonce          string            `json:"nonce"`
	AssociatedData string            `json:"associated_data"`
	Ciphertext     string            `json:"ciphertext"`
	Plaintext      string            `json:"plaintext"`
	EventType      string            `json:"event_type"`
	Response       json.RawMessage   `json:"response"`
	Certs          []struct {
		SerialNo string `json:"serial_no"`
		PEM      string `json:"pem"`
	} `json:"certs"`
	Params     map[string]string `json:"params"`
	SignType   string            `json:"sign_type"`
	Sign       string            `json:"sign"`
	XML        string            `json:"xml"`
	AckSuccess string            `json:"ack_success"`
	ReqInfo    string            `json:"req_info"`
	MD5Key     string            `json:"md5_key"`
}

// vectorKey is one key of the vectors.
type vectorKey struct {
	KeyID     string    `json:"key_id"`
	SerialNo  string    `json:"serial_no"`
	Private   string    `json:"private_pem"`
	Public    string    `json:"public_pem"`
	Cert      string    `json:"cert_pem"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

type vectorFile struct {
	Keys    map[string]vectorKey `json:"keys"`
	Vectors []vector             `json:"vectors"`
}

var readVectors = sync.OnceValues(func() (f vectorFile, err error) {
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(text, &f)
})

// vectors returns the known answers of a category; there are some.
func vectors(tb testing.TB, category string) []vector {
	tb.Helper()
	f, err := readVectors()
	require.NoError(tb, err)
	var out []vector
	for _, v := range f.Vectors {
		if v.Category == category {
			out = append(out, v)
		}
	}
	require.NotEmpty(tb, out)
	return out
}

func (v vector) timestamp() string {
	var text string
	if json.Unmarshal(v.Timestamp, &text) == nil {
		return text
	}
	return string(v.Timestamp)
}

func testKey(tb testing.TB, name string) vectorKey {
	tb.Helper()
	f, err := readVectors()
	require.NoError(tb, err)
	require.Contains(tb, f.Keys, name)
	return f.Keys[name]
}

// parsedKeys saves parsing a private key for each signature.
var parsedKeys sync.Map

func privateKey(tb testing.TB, name string) *rsa.PrivateKey {
	tb.Helper()
	if key, ok := parsedKeys.Load(name); ok {
		return key.(*rsa.PrivateKey)
	}
	key, err := merchant.ParsePrivateKeyPEM([]byte(testKey(tb, name).Private))
	require.NoError(tb, err)
	parsedKeys.Store(name, key)
	return key
}

// wechatKey is a key that WeChat Pay signs with, as a keyring holds it.
func wechatKey(tb testing.TB, name string) merchant.PublicKey {
	tb.Helper()
	k := testKey(tb, name)
	if k.Cert != "" {
		parsed, err := merchant.ParseCertificatePEM([]byte(k.Cert))
		require.NoError(tb, err)
		require.Equal(tb, k.SerialNo, parsed.ID)
		return parsed
	}
	public, err := merchant.ParsePublicKeyPEM([]byte(k.Public))
	require.NoError(tb, err)
	return merchant.PublicKey{ID: k.KeyID, Key: public}
}

// testKeyring holds both kinds of key at the same time.
func testKeyring(tb testing.TB) *merchant.Keyring {
	tb.Helper()
	return merchant.NewKeyring(
		wechatKey(tb, "gen_wechatpay_public_key"), wechatKey(tb, "gen_platform_a"), wechatKey(tb, "gen_platform_b"),
		wechatKey(tb, "official_doc_wechatpay_public_key"), wechatKey(tb, "wechatpay_go_test_key"))
}

func testCredentials(tb testing.TB) *merchant.Credentials {
	tb.Helper()
	return &merchant.Credentials{
		Merchant:   merchant.Merchant{MchID: testMchID, Protocol: pay.ProtocolV3, Serial: testKey(tb, "gen_merchant").SerialNo},
		PrivateKey: privateKey(tb, "gen_merchant"),
		APIv3Keys:  []merchant.Secret{testAPIv3Key},
		APIv2Keys:  []merchant.Secret{testAPIv2Key},
		Keyring:    testKeyring(tb),
	}
}

// forge is a WeChat Pay of our own: it makes notifications that are right but
// for what a test changes.
type forge struct {
	signWith string // a key of the vectors
	serial   string
	apiV3Key string
	event    string
	aad      string
	nonce    string
	at       time.Time
	resource func(map[string]any) // changes the resource before it is signed
}

func newForge(tb testing.TB) forge {
	tb.Helper()
	return forge{
		signWith: "gen_wechatpay_public_key", serial: testKey(tb, "gen_wechatpay_public_key").KeyID, apiV3Key: testAPIv3Key,
		event: EventTransactionSuccess, aad: "transaction", nonce: "fdasflkja484", at: testAt,
	}
}

func (f forge) envelope(tb testing.TB, plain string) Envelope {
	tb.Helper()
	block, err := aes.NewCipher([]byte(f.apiV3Key))
	require.NoError(tb, err)
	aead, err := cipher.NewGCMWithNonceSize(block, max(len(f.nonce), 1))
	require.NoError(tb, err)
	resource := map[string]any{
		"algorithm": algorithmAESGCM, "original_type": "transaction", "associated_data": f.aad, "nonce": f.nonce,
		"ciphertext": base64.StdEncoding.EncodeToString(aead.Seal(nil, []byte(f.nonce), []byte(plain), []byte(f.aad))),
	}
	if f.resource != nil {
		f.resource(resource)
	}
	body, err := json.Marshal(map[string]any{
		"id": "EV-1", "create_time": "2026-01-01T08:00:01+08:00", "event_type": f.event,
		"resource_type": "encrypt-resource", "summary": "支付成功", "resource": resource,
	})
	require.NoError(tb, err)
	return f.sign(tb, body)
}

func (f forge) sign(tb testing.TB, body []byte) Envelope {
	tb.Helper()
	ts := strconv.FormatInt(f.at.Unix(), 10)
	signature, err := signRSA(privateKey(tb, f.signWith), ts, "nonce-1", string(body))
	require.NoError(tb, err)
	return Envelope{
		DeliveryID: "0197a000-0000-7000-8000-000000000001", MchID: testMchID, Kind: pay.DeliveryNotifyV3, ReceivedAt: testAt, Body: body,
		Headers: map[string]string{
			HeaderTimestamp: ts, HeaderNonce: "nonce-1", HeaderSerial: f.serial,
			HeaderSignature: signature, HeaderSignatureType: SignatureTypeRSA,
		},
	}
}

// envelopeV2 is a v2 notification whose fields are signed with the first key.
func envelopeV2(tb testing.TB, kind pay.DeliveryKind, body string) Envelope {
	tb.Helper()
	return Envelope{DeliveryID: "0197a000-0000-7000-8000-000000000002", MchID: testMchID, Kind: kind, ReceivedAt: testAt, Body: []byte(body)}
}

// requireClass: an error that is not there has a class, too.
func requireClass(tb testing.TB, want Class, err error, says ...any) {
	tb.Helper()
	require.Error(tb, err, says...)
	require.Equal(tb, want, ClassOf(err), says...)
}

func requireRejected(tb testing.TB, err error, reason RejectReason) {
	tb.Helper()
	require.Error(tb, err)
	require.Equal(tb, reason, ReasonOf(err), err.Error())
}
