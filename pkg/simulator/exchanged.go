package simulator

import (
	"net/http"
	"strings"
	"unicode/utf8"
)

// keptAnswerBytes of an answer are kept: an acknowledgement has a hundred.
const keptAnswerBytes = 2 << 10

// exchanged is what went over the wire, beside the notice's own body: enough to
// check a signature by hand.
type exchanged struct {
	Timestamp string `json:"timestamp,omitempty"`
	Nonce     string `json:"nonce,omitempty"`
	Signature string `json:"signature,omitempty"`
	// SentBody is set if another body was sent than the notice's.
	SentBody string `json:"sent_body,omitempty"`
	// Answer is what came back, its beginning if it was long.
	Answer string `json:"answer,omitempty"`
}

func (e *exchanged) sent(n Notice, header http.Header, body []byte) {
	e.Timestamp, e.Nonce = header.Get("Wechatpay-Timestamp"), header.Get("Wechatpay-Nonce")
	e.Signature = header.Get("Wechatpay-Signature")
	if string(body) != n.Body {
		e.SentBody = string(body)
	}
}

// answered keeps what a page and a JSON line can show.
func (e *exchanged) answered(body []byte) {
	if len(body) > keptAnswerBytes {
		body = body[:keptAnswerBytes]
	}
	e.Answer = string(body)
	if !utf8.Valid(body) {
		e.Answer = strings.ToValidUTF8(e.Answer, "\ufffd")
	}
}
