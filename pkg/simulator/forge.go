package simulator

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// Forgery is a way in which a forged notice is wrong. None may ever verify.
type Forgery string

// The forgeries. Of v3: signed with another key under the true serial, a signature
// probe, a body changed after signing, an unknown serial, an old signature. Of v2:
// signed with another key, changed after signing, not signed.
const (
	ForgedWrongKey       Forgery = "wrong_key"
	ForgedSigntest       Forgery = "signtest"
	ForgedTamperedBody   Forgery = "tampered_body"
	ForgedUnknownSerial  Forgery = "unknown_serial"
	ForgedStaleTimestamp Forgery = "stale_timestamp"
	ForgedUnsigned       Forgery = "unsigned"
	// Only faults stamp by a wrong clock.
	ForgedClockBehind Forgery = "clock_behind"
	ForgedClockAhead  Forgery = "clock_ahead"
)

const (
	// probePrefix begins the signatures of WeChat's probes (doc 4013053249).
	probePrefix = "WECHATPAY/SIGNTEST/"
	// staleBy is beyond the five minutes that a receiver may tolerate.
	staleBy = 10 * time.Minute
	// clockOff is just beyond them, either way.
	clockOff = 6 * time.Minute
)

// Forgeries lists the kinds that a protocol can have, in the order of rotation.
func Forgeries(p Protocol) []Forgery {
	if p == ProtocolV2 {
		return []Forgery{ForgedWrongKey, ForgedTamperedBody, ForgedUnsigned}
	}
	return []Forgery{ForgedWrongKey, ForgedSigntest, ForgedTamperedBody, ForgedUnknownSerial, ForgedStaleTimestamp}
}

// sealForged makes one forged v3 delivery. The wrong key is the merchant's own:
// a real RSA key of the right size that has no business here.
func (s *signers) sealForged(h http.Header, n Notice) (http.Header, []byte, error) {
	body, at, key := []byte(n.Body), s.now(), s.forForgery()
	switch n.Forgery {
	case ForgedWrongKey:
		key.key = s.merchant.PrivateKey
	case ForgedUnknownSerial:
		serial, err := s.random.hexUpper(20)
		if err != nil {
			return nil, nil, err
		}
		key = stampKey{serial, s.merchant.PlatformKey}
	case ForgedStaleTimestamp:
		at = at.Add(-staleBy)
	case ForgedClockBehind:
		at = at.Add(-clockOff)
	case ForgedClockAhead:
		at = at.Add(clockOff)
	default: // signed right; spoilt below
	}
	if err := s.stamp(h, key, at, body); err != nil {
		return nil, nil, err
	}
	switch n.Forgery {
	case ForgedSigntest:
		probe, err := s.probeSignature()
		h.Set("Wechatpay-Signature", probe)
		return h, body, err
	case ForgedTamperedBody:
		return h, tamper(body), nil
	default:
		return h, body, nil
	}
}

// probeSignature decodes to 256 bytes, the length of a true one, so that only the
// verification itself can refuse it.
func (s *signers) probeSignature() (string, error) {
	noise, err := s.random.bytes(rsaBits / 8)
	text := base64.StdEncoding.EncodeToString(noise)
	return probePrefix + text[len(probePrefix):], err
}

// tamper changes one character of the envelope's id, which comes first: the
// message still parses and decrypts, so that only its signature gives it away.
func tamper(body []byte) []byte {
	changed := bytes.Clone(body)
	at := len(`{"id":"`)
	if changed[at] == '0' {
		changed[at] = '1'
	} else {
		changed[at] = '0'
	}
	return changed
}

// forgedPayment is what a forger claims about an order: a payment that the ledger
// does not hold, so that any effect of it is visible in the books.
func (r random) forgedPayment(p Payment) (Payment, error) {
	id, err := r.transactionID(p.PaidAt)
	p.TransactionID = "4999" + strings.TrimPrefix(id, "4200")
	return p, err
}

// forgedV2 makes the body of a forged v2 notice.
func (s *signers) forgedV2(fields v2Fields, f Forgery) ([]byte, error) {
	key := s.merchant.APIv2Key
	if f == ForgedWrongKey {
		other, err := s.random.text(aesKeyLength, alphanumeric)
		if err != nil {
			return nil, err
		}
		key = other
	}
	fields["sign"] = signV2(fields, key, SignType(fields["sign_type"]))
	switch f {
	case ForgedTamperedBody:
		fields["total_fee"] += "0"
	case ForgedUnsigned:
		delete(fields, "sign")
	default: // signed with a wrong key above
	}
	return xmlOf(fields), nil
}
