package simulator

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// clockSkew is how far a merchant's clock may be off: five minutes, after which
// WeChat Pay answers 401 SIGN_ERROR (doc 4012365342).
const clockSkew = 5 * time.Minute

// authorization is the parsed Authorization header.
type authorization struct {
	mchid, nonce, signature, serial string
	timestamp                       string
}

// authorize checks who sent a request. What it refuses it explains in full in the
// log, because that is how people find their signing mistakes.
func (s *Simulator) authorize(r *http.Request, body []byte) *refusal {
	header := r.Header.Get("Authorization")
	if header == "" {
		return signError("the Authorization header is missing")
	}
	a, err := parseAuthorization(header)
	if err != nil {
		return signError("the Authorization header is malformed: " + err.Error())
	}
	if a.mchid != s.merchant.Mchid {
		return signError("mchid is not a merchant here", "mchid", a.mchid, "expected_mchid", s.merchant.Mchid)
	}
	if !strings.EqualFold(a.serial, s.merchant.Serial) { // some libraries read it from the certificate in lower case
		return signError("serial_no is not a certificate of this merchant",
			"serial_no", a.serial, "expected_serial_no", s.merchant.Serial)
	}
	if refused := s.checkTimestamp(a.timestamp); refused != nil {
		return refused
	}
	return s.checkSignature(r, a, body)
}

func (s *Simulator) checkTimestamp(text string) *refusal {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return signError("timestamp is not a number of seconds", "timestamp", text)
	}
	off := s.now().Sub(time.Unix(seconds, 0))
	if off.Abs() > clockSkew {
		return signError("timestamp is more than five minutes off",
			"timestamp", text, "platform_timestamp", s.now().Unix(), "behind", off.String())
	}
	return nil
}

func (s *Simulator) checkSignature(r *http.Request, a authorization, body []byte) *refusal {
	signature, err := base64.StdEncoding.DecodeString(a.signature)
	if err != nil {
		return signError("signature is not standard base64", "signature", a.signature)
	}
	expected := stringToSign(r.Method, r.RequestURI, a.timestamp, a.nonce, body)
	digest := sha256.Sum256([]byte(expected))
	key := &s.merchant.PrivateKey.PublicKey
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil {
		return nil
	}
	return signError("the signature does not verify",
		"expected_string_to_sign", clip(expected), "differs", diagnose(key, signature, r, a, body))
}

// stringToSign has five lines, each ended by a line feed (WeChat Pay doc 4012365336).
func stringToSign(method, uri, timestamp, nonce string, body []byte) string {
	return method + "\n" + uri + "\n" + timestamp + "\n" + nonce + "\n" + string(body) + "\n"
}

// parseAuthorization accepts the scheme and exactly the five items, in any order.
func parseAuthorization(header string) (authorization, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	if scheme != signatureType {
		return authorization{}, fmt.Errorf("the scheme must be %s", signatureType)
	}
	var a authorization
	items := map[string]*string{"mchid": &a.mchid, "nonce_str": &a.nonce, "signature": &a.signature,
		"timestamp": &a.timestamp, "serial_no": &a.serial}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, err := parseItem(strings.TrimSpace(part))
		if err != nil {
			return authorization{}, err
		}
		slot, known := items[name]
		if !known {
			return authorization{}, fmt.Errorf("%q is unknown or given twice", name)
		}
		*slot = value
		delete(items, name)
	}
	for _, name := range sortedKeys(items) {
		return authorization{}, fmt.Errorf("%s is missing", name)
	}
	return a, nil
}

func parseItem(part string) (name, value string, err error) {
	name, quoted, found := strings.Cut(part, "=")
	if !found || len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
		return "", "", errors.New(`items must read name="value", separated by commas`)
	}
	value = quoted[1 : len(quoted)-1]
	if value == "" || strings.ContainsAny(value, "\"\n") {
		return "", "", fmt.Errorf("%q is empty or holds a quotation mark", name)
	}
	return name, value, nil
}

// clip keeps log lines readable.
func clip(text string) string {
	const longest = 4096
	if len(text) <= longest {
		return text
	}
	return text[:longest] + fmt.Sprintf("… (%d bytes in all)", len(text))
}
