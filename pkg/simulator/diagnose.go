package simulator

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
)

// diagnose says what a wrong signature was made over. An RSA signature gives up
// the digest that was signed; hashing the mistakes that people make and comparing
// finds the very one, where a plain verification could only say no.
func diagnose(key *rsa.PublicKey, signature []byte, r *http.Request, a authorization, body []byte) string {
	digest, ok := signedDigest(key, signature)
	if !ok {
		return "the signature was not made with the private key of this serial_no, or is not RSASSA-PKCS1-v1_5 with SHA-256"
	}
	for _, m := range mistakes(r, a, body) {
		if sum := sha256.Sum256([]byte(m.signed)); bytes.Equal(sum[:], digest) {
			return m.what
		}
	}
	expected := sha256.Sum256([]byte(stringToSign(r.Method, r.RequestURI, a.timestamp, a.nonce, body)))
	return "the key is right but another text was signed: its SHA-256 is " + hex.EncodeToString(digest) +
		", that of the expected one " + hex.EncodeToString(expected[:]) + "; compare byte by byte"
}

// signedDigest undoes the private operation and strips the PKCS #1 v1.5 padding.
func signedDigest(key *rsa.PublicKey, signature []byte) ([]byte, bool) {
	if len(signature) != key.Size() {
		return nil, false
	}
	prefix := sha256Prefix()
	block := new(big.Int).Exp(new(big.Int).SetBytes(signature), big.NewInt(int64(key.E)), key.N).FillBytes(make([]byte, key.Size()))
	hashAt := len(block) - sha256.Size
	infoAt := hashAt - len(prefix)
	padded := block[0] == 0 && block[1] == 1 && block[infoAt-1] == 0 && bytes.Equal(block[infoAt:hashAt], prefix)
	return block[hashAt:], padded && bytes.Count(block[2:infoAt-1], []byte{0xff}) == infoAt-3
}

// mistake is a text that people sign instead of the right one.
type mistake struct{ what, signed string }

func mistakes(r *http.Request, a authorization, body []byte) []mistake {
	sign := stringToSign
	right := sign(r.Method, r.RequestURI, a.timestamp, a.nonce, body)
	path, _, _ := strings.Cut(r.RequestURI, "?")
	list := []mistake{
		{"the last line feed is missing", strings.TrimSuffix(right, "\n")},
		{"lines end in CR LF instead of LF", strings.ReplaceAll(right, "\n", "\r\n")},
		{"the query string was left out of the URL line", sign(r.Method, path, a.timestamp, a.nonce, body)},
		{"the URL line holds the decoded path; sign the bytes as sent", sign(r.Method, r.URL.Path, a.timestamp, a.nonce, body)},
		{"the URL line holds the decoded path; sign the bytes as sent", sign(r.Method, joinQuery(r.URL.Path, r.URL.RawQuery), a.timestamp, a.nonce, body)},
		{"the method is in lower case", sign(strings.ToLower(r.Method), r.RequestURI, a.timestamp, a.nonce, body)},
		{"timestamp and nonce_str are swapped", sign(r.Method, r.RequestURI, a.nonce, a.timestamp, body)},
		{"the body was left out", sign(r.Method, r.RequestURI, a.timestamp, a.nonce, nil)},
		{"a body was signed that was not sent: {}", sign(r.Method, r.RequestURI, a.timestamp, a.nonce, []byte("{}"))},
		{"the text of a response or notification was signed (timestamp, nonce, body)", a.timestamp + "\n" + a.nonce + "\n" + string(body) + "\n"},
	}
	for _, scheme := range []string{"https://", "http://"} {
		for _, host := range []string{r.Host, "api.mch.weixin.qq.com"} {
			list = append(list, mistake{"the URL line holds scheme and host; it must begin with the path",
				sign(r.Method, scheme+host+r.RequestURI, a.timestamp, a.nonce, body)})
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		list = append(list, mistake{"another method was signed: " + method, sign(method, r.RequestURI, a.timestamp, a.nonce, body)})
	}
	for _, form := range reencoded(body) {
		list = append(list, mistake{form.what, sign(r.Method, r.RequestURI, a.timestamp, a.nonce, form.body)})
	}
	return list
}

// bodyForm is another form of the same body, and how people come to it.
type bodyForm struct {
	what string
	body []byte
}

// reencoded are the ways in which a body changes between signing and sending,
// the simplest first: several may come to the same bytes.
func reencoded(body []byte) []bodyForm {
	forms := []bodyForm{
		{"white space around the body was not signed", bytes.TrimSpace(body)},
		{"a line feed at the end of the body was signed but not sent", append(bytes.Clone(body), '\n')},
	}
	var compact bytes.Buffer
	if json.Compact(&compact, body) == nil {
		forms = append(forms, bodyForm{"the body was signed without its white space", compact.Bytes()})
	}
	var value any
	if json.Unmarshal(body, &value) == nil {
		if sorted, err := json.Marshal(value); err == nil {
			forms = append(forms, bodyForm{"the body was signed with its keys in another order or other escapes", sorted})
		}
	}
	return forms
}

func joinQuery(path, query string) string {
	if query == "" {
		return path
	}
	return path + "?" + query
}
