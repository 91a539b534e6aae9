package ingest

import (
	"encoding/json"
	"net/http"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Outcome is how one notification ended, in logs and metrics.
type Outcome string

// The outcomes. All but the first are answered outside 2xx.
const (
	Accepted          Outcome = "accepted"
	UnknownMerchant   Outcome = "unknown_merchant"
	GateShut          Outcome = "gate_shut"
	WrongMethod       Outcome = "wrong_method"
	WrongMediaType    Outcome = "wrong_media_type"
	BadHeader         Outcome = "bad_header"
	BodyTooLarge      Outcome = "body_too_large"
	BodyUnreadable    Outcome = "body_unreadable"
	NoKeys            Outcome = "no_keys"
	WrongTimestamp    Outcome = "timestamp"
	UnknownSerial     Outcome = "unknown_serial"
	BadSignature      Outcome = "bad_signature"
	Malformed         Outcome = "malformed"
	VerifierAway      Outcome = "verifier_unavailable"
	BrokerUnavailable Outcome = "broker_unavailable"
	InternalError     Outcome = "internal"
)

// refusal is a notification turned away: what WeChat Pay is told, and what is
// counted. Its message goes out, so it names keys, serials and clocks, and
// nothing of our insides.
type refusal struct {
	status  int
	outcome Outcome
	message string
	sample  bool   // worth keeping for operators
	serial  string // of the key that the message named
	cause   error  // for our log only
}

// answer is what WeChat Pay reads of a v3 refusal (doc 4012791861).
type answer struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// reply writes the outcome in the language of the route.
type reply func(w http.ResponseWriter, status int, ok bool, message string)

func replyV3(w http.ResponseWriter, status int, ok bool, message string) {
	if ok {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	raw, err := json.Marshal(answer{Code: "FAIL", Message: message})
	if err != nil { // two strings always marshal; should they not, the status still says no
		raw = []byte(`{"code":"FAIL","message":"refused"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // the status decides; WeChat Pay repeats when it cannot read it
}

// replyV2 writes compact XML: white space made WeChat repeat (WxJava#1088).
func replyV2(w http.ResponseWriter, status int, ok bool, message string) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	if ok {
		status, message = http.StatusOK, "OK"
	}
	w.WriteHeader(status)
	_, _ = w.Write(wechatpay.AckV2(ok, message)) // as above
}
