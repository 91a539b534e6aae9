package wechatpay

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// SignatureTypeRSA is the one signature type that is understood, and what is
// meant where the header is missing (as the official SDK takes it).
const SignatureTypeRSA = "WECHATPAY2-SHA256-RSA2048"

// replayWindow: what is this far off the clock, or further, is refused
// (WeChat Pay doc 4013053420; the official SDK draws the same line).
const replayWindow = 300 // seconds

// Bounds of header values, well above what WeChat Pay sends: a Unix time has
// 10 digits, a nonce 32 characters, a key id 51, an RSA-4096 signature 684.
const (
	maxTimestampDigits = 12
	maxNonceBytes      = 128
	maxSerialBytes     = 128
	maxSignatureBytes  = 1024
)

// signatureHeader is what the five headers say, shapes checked, nothing believed.
type signatureHeader struct {
	timestamp string
	unix      int64
	nonce     string
	serial    string
	signature string
}

// VerifySignature checks the v3 signature of an envelope as of an instant: at
// the edge that is now; later it is always env.ReceivedAt. The clock is
// compared before any cryptography. It returns the id of the key that signed.
func VerifySignature(env Envelope, keys *merchant.Keyring, at time.Time) (keyID string, err error) {
	h, rejected := readSignatureHeader(env.Headers)
	if rejected != nil {
		return "", rejected
	}
	if off := at.Unix() - h.unix; off >= replayWindow || off <= -replayWindow {
		e := reject(ReasonTimestamp, "%s %d is %d s off the clock at %s, and less than %d s are allowed: compare this machine's clock with NTP",
			HeaderTimestamp, h.unix, -off, at.UTC().Format(time.RFC3339), replayWindow)
		e.Serial = h.serial
		return "", e
	}
	key, rejected := selectKey(keys, h.serial, at)
	if rejected != nil {
		return "", rejected
	}
	if !verifyRSA(key.Key, h, env.Body) {
		return "", &VerifyError{Reason: ReasonBadSignature, Serial: h.serial, Detail: "the signature is not one of key " + h.serial + " over these bytes"}
	}
	return key.ID, nil
}

func readSignatureHeader(headers map[string]string) (signatureHeader, *VerifyError) {
	h := signatureHeader{
		timestamp: headerValue(headers, HeaderTimestamp), nonce: headerValue(headers, HeaderNonce),
		serial: headerValue(headers, HeaderSerial), signature: headerValue(headers, HeaderSignature),
	}
	for _, field := range []struct {
		name, value string
		most        int
	}{
		{HeaderTimestamp, h.timestamp, maxTimestampDigits},
		{HeaderNonce, h.nonce, maxNonceBytes},
		{HeaderSerial, h.serial, maxSerialBytes},
		{HeaderSignature, h.signature, maxSignatureBytes},
	} {
		if field.value == "" {
			return h, reject(ReasonMissingHeader, "%s is missing: a proxy or firewall in front may have dropped it", field.name)
		}
		if len(field.value) > field.most {
			return h, reject(ReasonMalformedHeader, "%s has %d bytes, and at most %d are allowed", field.name, len(field.value), field.most)
		}
		if !printable(field.value) {
			return h, reject(ReasonMalformedHeader, "%s holds characters that are not printable ASCII", field.name)
		}
	}
	return h.checked(headerValue(headers, HeaderSignatureType))
}

func (h signatureHeader) checked(signatureType string) (signatureHeader, *VerifyError) {
	if signatureType != "" && signatureType != SignatureTypeRSA {
		return h, reject(ReasonMalformedHeader, "%s names a signature type other than %s", HeaderSignatureType, SignatureTypeRSA)
	}
	unix, err := strconv.ParseInt(h.timestamp, 10, 64)
	// What does not read back as it was written ("+1", "01") would be signed
	// as one text and checked as another.
	if err != nil || strconv.FormatInt(unix, 10) != h.timestamp {
		return h, reject(ReasonMalformedHeader, "%s is not a Unix time", HeaderTimestamp)
	}
	h.unix = unix
	return h, nil
}

// headerValue finds a header whatever its case; the canonical name goes first.
func headerValue(headers map[string]string, name string) string {
	if v, ok := headers[name]; ok {
		return v
	}
	for k, v := range headers {
		if http.CanonicalHeaderKey(k) == name {
			return v
		}
	}
	return ""
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// selectKey picks the one key that the serial names: a WeChat Pay public key
// by its exact id, a platform certificate by its serial while it is valid.
func selectKey(keys *merchant.Keyring, serial string, at time.Time) (merchant.PublicKey, *VerifyError) {
	key, ok := keys.Find(serial)
	unknown := func(detail string) *VerifyError {
		return &VerifyError{Reason: ReasonUnknownSerial, Serial: serial, Detail: detail}
	}
	switch {
	case !ok && !(merchant.PublicKey{ID: serial}).IsPlatform():
		return key, unknown("public key " + serial + " is not configured: add it to wechatpay_public_keys of this merchant, then run `fenflow config check --secrets`")
	case !ok:
		return key, unknown("no platform certificate has serial " + serial + ": they are fetched anew; if it stays, run `fenflow config check --secrets`")
	case key.IsPlatform() && !key.ValidAt(at):
		return key, unknown("platform certificate " + serial + " was not valid at " + at.UTC().Format(time.RFC3339) +
			", only from " + key.NotBefore.Format(time.RFC3339) + " to " + key.NotAfter.Format(time.RFC3339))
	}
	return key, nil
}

// verifyRSA checks a signature over time, nonce and body.
func verifyRSA(key *rsa.PublicKey, h signatureHeader, body []byte) bool {
	return verifyMessage(key, h.message(body), h.signature)
}

// message is what is signed: time, nonce and body, each followed by a line feed
// (WeChat Pay doc 4013053249).
func (h signatureHeader) message(body []byte) []byte {
	message := make([]byte, 0, len(h.timestamp)+len(h.nonce)+len(body)+3)
	message = append(append(message, h.timestamp...), '\n')
	message = append(append(message, h.nonce...), '\n')
	return append(append(message, body...), '\n')
}

// verifyMessage checks RSASSA-PKCS1-v1_5 with SHA-256.
func verifyMessage(key *rsa.PublicKey, message []byte, signature string) bool {
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return false
	}
	digest := sha256.Sum256(message)
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], raw) == nil
}
