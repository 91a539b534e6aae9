package wechat

import (
	"net/url"
	"strconv"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// Bounds of a push. WeChat repeats a message three times, 5 s apart; the
// window for its timestamp is the one that fenflow uses for WeChat Pay.
const (
	maxQueryBytes = 4 << 10
	pushWindow    = 5 * time.Minute
)

// PushKeys are what an app shares with WeChat for messages.
type PushKeys struct {
	AppID   pay.AppID
	Token   merchant.Secret
	AESKeys []merchant.Secret // EncodingAESKey, 43 characters; the first is current; none: plain mode
}

// PushQuery is what stands in the address of a push.
type PushQuery struct {
	Signature    string
	MsgSignature string
	Timestamp    string
	Nonce        string
	EchoStr      string
	Encrypted    bool
}

// ParsePushQuery reads the query of a push; a name that comes twice is refused.
func ParsePushQuery(raw string) (PushQuery, error) {
	if len(raw) > maxQueryBytes {
		return PushQuery{}, reject(RejectMalformed, "the query has %d bytes, and at most %d are read", len(raw), maxQueryBytes)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return PushQuery{}, reject(RejectMalformed, "the query cannot be read")
	}
	for _, v := range values {
		if len(v) != 1 {
			return PushQuery{}, reject(RejectMalformed, "the query names something twice")
		}
	}
	q := PushQuery{
		Signature: values.Get("signature"), MsgSignature: values.Get("msg_signature"),
		Timestamp: values.Get("timestamp"), Nonce: values.Get("nonce"), EchoStr: values.Get("echostr"),
	}
	switch values.Get("encrypt_type") {
	case "", "raw":
	case "aes":
		q.Encrypted = true
	default:
		return PushQuery{}, reject(RejectMalformed, "encrypt_type is neither raw nor aes")
	}
	return q, nil
}

// CheckFresh refuses a push whose timestamp is 5 minutes or more away: a
// recorded one cannot be played again later.
func (q PushQuery) CheckFresh(now time.Time) error {
	seconds, err := strconv.ParseInt(q.Timestamp, 10, 64)
	if err != nil {
		return reject(RejectMalformed, "the timestamp is not a number of seconds")
	}
	if away := now.Sub(time.Unix(seconds, 0)).Abs(); away >= pushWindow {
		return reject(RejectStale, "its timestamp is %s away from our clock", away.Round(time.Second))
	}
	return nil
}

// VerifyURL checks that WeChat asks, who alone shares the token. The answer to
// a verification is the bare echostr.
func VerifyURL(token merchant.Secret, timestamp, nonce, signature string) error {
	if token.Reveal() == "" {
		return reject(RejectSignature, "this app has no message token: look at message_token_file")
	}
	if !sameText(sortedSignature(token.Reveal(), timestamp, nonce), signature) {
		return reject(RejectSignature, "the signature was not made with this app's message token")
	}
	return nil
}
