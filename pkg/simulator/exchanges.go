package simulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// exchange is one attempt as a reader wants to see it: with the request that was
// sent, headers and body.
type exchange struct {
	Attempt

	URL     string
	Event   string
	Headers []headerLine
	Body    string
	// Plain is what the encrypted part says, for a reader without a tool at hand.
	Plain string
}

type headerLine struct{ Name, Value string }

// exchanges are the attempts of an order, the newest first.
func (b *books) exchanges(outTradeNo string) []exchange {
	attempts := b.deliveries(outTradeNo)
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]exchange, 0, len(attempts))
	for i := len(attempts) - 1; i >= 0; i-- {
		if notice, known := b.notices[attempts[i].NoticeID]; known {
			list = append(list, exchangeOf(attempts[i], notice.Notice))
		}
	}
	return list
}

func exchangeOf(a Attempt, n Notice) exchange {
	e := exchange{Attempt: a, URL: n.URL, Body: n.Body}
	if a.SentBody != "" {
		e.Body = a.SentBody
	}
	e.Event = eventOf(a.Protocol, n.Body)
	if a.Protocol == ProtocolV2 {
		e.Headers = []headerLine{{"Content-Type", "text/xml"}}
		return e
	}
	e.Headers = []headerLine{{"Content-Type", "application/json"}, {"Wechatpay-Timestamp", a.Timestamp},
		{"Wechatpay-Nonce", a.Nonce}, {"Wechatpay-Serial", a.Serial}, {"Wechatpay-Signature-Type", signatureType},
		{"Wechatpay-Signature", a.Signature}}
	return e
}

// openForReader decrypts the resource of a v3 notice; what cannot be decrypted, as
// some forgeries cannot, has nothing to show.
func (s *signers) openForReader(body string) string {
	var envelope noticeEnvelope
	if err := json.Unmarshal([]byte(body), &envelope); err != nil {
		return ""
	}
	secret, err := base64.StdEncoding.DecodeString(envelope.Resource.Ciphertext)
	if err != nil || len(envelope.Resource.Nonce) != gcmNonceBytes {
		return ""
	}
	aead, err := s.aead()
	if err != nil {
		return ""
	}
	plain, err := aead.Open(nil, []byte(envelope.Resource.Nonce), secret, []byte(envelope.Resource.AssociatedData))
	var pretty bytes.Buffer
	if err != nil || json.Indent(&pretty, plain, "", "  ") != nil {
		return ""
	}
	return pretty.String()
}

// eventOf says what a notice is about: v3 names it, v2 shows it by what it holds.
func eventOf(p Protocol, body string) string {
	if p == ProtocolV2 {
		if strings.Contains(body, "<req_info>") {
			return "refund"
		}
		return "payment"
	}
	var envelope struct {
		EventType string `json:"event_type"`
	}
	_ = json.Unmarshal([]byte(body), &envelope) // a forgery may be no JSON; then it has no event
	return envelope.EventType
}

// secondPayments are further payments of an order that was paid before.
func (b *books) secondPayments(outTradeNo string) []Payment {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []Payment
	for _, p := range b.second {
		if p.OutTradeNo == outTradeNo {
			found = append(found, *p)
		}
	}
	return found
}

// underway counts the order's notices that have attempts before them.
func (b *books) underway(outTradeNo string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	count := 0
	for _, n := range b.notices {
		if n.OutTradeNo == outTradeNo && n.pending() {
			count++
		}
	}
	return count
}
