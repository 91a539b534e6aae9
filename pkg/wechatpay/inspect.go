package wechatpay

import (
	"encoding/json"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// Inspection is what can be told of an envelope, right or wrong. It is for
// people: only Open makes a Notification.
type Inspection struct {
	Protocol pay.Protocol

	Serial   string       // the key that it names; v2 names none
	SignedAt time.Time    // by the clock of whoever signed; v2 does not say
	Message  []byte       // what a signature of v3 is over; of v2 it would end in the secret
	KeyID    string       // the key that verified it; empty: none did
	Refusal  *VerifyError // why it is not believed; nil: its signature is right
	OnlyTime bool         // the signature is right, and only its time is not

	Place        int          // from 1: which of the configured APIv3 keys (of v2: APIv2 keys) decrypts it; 0: none, or nothing is encrypted
	Resource     []byte       // what was encrypted: the buyer's data
	Undeciphered *VerifyError // why it does not decrypt; nil: it does, or nothing is encrypted
}

// Inspect looks at an envelope as of the time of its receipt. Signature and
// decryption are told apart, and what is wrong with one does not hide the other.
func Inspect(env Envelope, cred *merchant.Credentials) Inspection {
	switch {
	case cred == nil || cred.Merchant.MchID != env.MchID:
		return Inspection{Refusal: reject(ReasonUnknownMerchant, "there are no credentials of merchant %s here", env.MchID)}
	case len(env.Body) > MaxBodyBytes:
		return Inspection{Refusal: reject(ReasonBodyTooLarge, "the body has %d bytes, and at most %d are read", len(env.Body), MaxBodyBytes)}
	}
	switch env.Kind {
	case pay.DeliveryNotifyV3:
		return inspectV3(env, cred)
	case pay.DeliveryNotifyV2Pay, pay.DeliveryNotifyV2Refund:
		return inspectV2(env, cred)
	case pay.DeliveryAnswer:
	}
	return Inspection{Refusal: reject(ReasonMalformed, "a delivery of kind %q is no notification", env.Kind)}
}

func inspectV3(env Envelope, cred *merchant.Credentials) Inspection {
	i := Inspection{Protocol: pay.ProtocolV3}
	h, rejected := readSignatureHeader(env.Headers)
	i.Serial, i.Refusal = h.serial, rejected
	if rejected == nil {
		i.SignedAt, i.Message = time.Unix(h.unix, 0).UTC(), h.message(env.Body)
		i.verify(env, cred.Keyring)
	}
	var notice noticeV3
	if err := json.Unmarshal(env.Body, &notice); err != nil || notice.Resource == nil {
		i.Undeciphered = reject(ReasonMalformed, "the body is no JSON object with a resource")
		return i
	}
	i.Resource, i.Place, i.Undeciphered = notice.Resource.open(cred.APIv3Keys)
	return i
}

func (i *Inspection) verify(env Envelope, keys *merchant.Keyring) {
	keyID, err := VerifySignature(env, keys, env.ReceivedAt)
	if err == nil {
		i.KeyID = keyID
		return
	}
	i.Refusal = asRejection(err)
	if i.Refusal.Reason == ReasonTimestamp {
		_, err = VerifySignature(env, keys, i.SignedAt)
		i.OnlyTime = err == nil
	}
}

// inspectV2: a payment is signed and not encrypted, a refund notice is
// encrypted and not signed.
func inspectV2(env Envelope, cred *merchant.Credentials) Inspection {
	i := Inspection{Protocol: pay.ProtocolV2}
	fields, rejected := parseXML(env.Body, "xml")
	switch {
	case rejected != nil:
		i.Refusal = rejected
	case env.Kind == pay.DeliveryNotifyV2Pay:
		i.KeyID, i.Refusal = verifyV2(fields, cred.APIv2Keys)
	default:
		var plain []byte
		plain, i.KeyID, i.Place, i.Refusal = openReqInfo(fields["req_info"], cred.APIv2Keys)
		i.Resource, i.Undeciphered = plain, i.Refusal
	}
	return i
}
