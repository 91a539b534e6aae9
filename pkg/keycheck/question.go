package keycheck

import (
	"fmt"
	"strings"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Bounds of a question. A notification takes about 0.2 ms, most of it RSA.
const (
	DefaultCount = 1000
	MaxCount     = 10_000
)

// Question is what is to be checked, and which change is rehearsed.
type Question struct {
	MchID   pay.MchID `json:"mchid"`
	Count   int       `json:"count"`             // of the latest notifications
	Without string    `json:"without,omitempty"` // this key taken away
	Only    string    `json:"only,omitempty"`    // the keys of one kind, and no others
	With    *NewKey   `json:"with,omitempty"`    // this key added, or put in the place of one with its id
	Live    bool      `json:"live,omitempty"`    // make one call to WeChat Pay, too
}

// NewKey is a public key that is not configured yet.
type NewKey struct {
	ID  string `json:"key_id"`
	PEM string `json:"pem"`
}

// The names of rehearsals in a report.
const (
	onlyPublicKeys   = KindPublicKey
	onlyCertificates = KindCertificate
	asAsked          = "asked"
)

// rehearsals are the rings that the traffic is tried with: each kind of key
// alone, and what was asked for. The question is checked on the way.
func (q Question) rehearsals(cred *merchant.Credentials) ([]*rehearsal, error) {
	var bad []problem.Field
	if q.Count < 1 || q.Count > MaxCount {
		bad = append(bad, problem.Field{Field: "count", Message: fmt.Sprintf("is %d; it must be a number from 1 to %d", q.Count, MaxCount)})
	}
	keys := cred.Keyring.All()
	all := []*rehearsal{
		newRehearsal(onlyPublicKeys, ofKind(keys, KindPublicKey)),
		newRehearsal(onlyCertificates, ofKind(keys, KindCertificate)),
	}
	asked := keys
	if q.Without != "" {
		if _, known := cred.Keyring.Find(q.Without); !known {
			bad = append(bad, problem.Field{Field: "without", Message: "is no key that verifies for this merchant; there are " + listed(cred.Keyring.IDs())})
		}
		asked = without(asked, q.Without)
	}
	switch q.Only {
	case "":
	case KindPublicKey, KindCertificate:
		asked = ofKind(asked, q.Only)
	default:
		bad = append(bad, problem.Field{Field: "only", Message: "must be " + KindPublicKey + " or " + KindCertificate})
	}
	if q.With != nil {
		key, field := q.With.parse()
		if field != nil {
			bad = append(bad, *field)
		}
		asked = append(without(asked, key.ID), key)
	}
	if len(bad) > 0 {
		return nil, problem.InvalidFields(bad...)
	}
	if q.Without != "" || q.Only != "" || q.With != nil {
		all = append(all, newRehearsal(asAsked, asked))
	}
	return all, nil
}

func (k NewKey) parse() (merchant.PublicKey, *problem.Field) {
	if !strings.HasPrefix(k.ID, merchant.PublicKeyIDPrefix) {
		return merchant.PublicKey{}, &problem.Field{Field: "with.key_id", Message: "must begin with " + merchant.PublicKeyIDPrefix + ": the merchant platform shows it beside the key"}
	}
	key, err := merchant.ParsePublicKeyPEM([]byte(k.PEM))
	if err != nil {
		return merchant.PublicKey{}, &problem.Field{Field: "with.pem", Message: err.Error()}
	}
	return merchant.PublicKey{ID: k.ID, Key: key}, nil
}

func ofKind(keys []merchant.PublicKey, kind string) (some []merchant.PublicKey) {
	for _, k := range keys {
		if kindOf(k) == kind {
			some = append(some, k)
		}
	}
	return some
}

func without(keys []merchant.PublicKey, id string) (others []merchant.PublicKey) {
	for _, k := range keys {
		if k.ID != id {
			others = append(others, k)
		}
	}
	return others
}

func listed(ids []string) string {
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}
