package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Protocol of a notification.
type Protocol string

// The two protocols; none pays without telling anyone, as a lost notification.
const (
	ProtocolV3   Protocol = "v3"
	ProtocolV2   Protocol = "v2"
	ProtocolNone Protocol = "none"
)

// NoticeKind says whether what is posted is true.
type NoticeKind string

// A duplicate is a genuine notice sent again after it was acknowledged.
const (
	Genuine   NoticeKind = "genuine"
	Duplicate NoticeKind = "duplicate"
	Forged    NoticeKind = "forged"
)

// Notice is one message to a merchant. Its body is made once and never changes;
// a v3 notice gets fresh headers each time that it is sent.
type Notice struct {
	ID         string `json:"id"`
	OutTradeNo string `json:"out_trade_no"`
	// OutRefundNo is set in notices about a refund.
	OutRefundNo string     `json:"out_refund_no,omitempty"`
	Protocol    Protocol   `json:"protocol"`
	Kind        NoticeKind `json:"kind"`
	Forgery     Forgery    `json:"forgery,omitempty"`
	URL         string     `json:"url"`
	Body        string     `json:"body"`
	// Duplicates is how often it is sent again after the acknowledgement.
	Duplicates int       `json:"duplicates,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
}

// noticeEnvelope is the outside of a v3 notification (WeChat Pay doc 4012791861).
type noticeEnvelope struct {
	ID           string `json:"id"`
	CreateTime   string `json:"create_time"`
	ResourceType string `json:"resource_type"`
	EventType    string `json:"event_type"`
	Summary      string `json:"summary"`
	Resource     sealed `json:"resource"`
}

// payNoticeV3 writes TRANSACTION.SUCCESS about a payment.
func (s *signers) payNoticeV3(id string, o Order, p Payment) ([]byte, error) {
	plain, err := json.Marshal(transactionOf(o, &p))
	if err != nil {
		return nil, fmt.Errorf("encode transaction: %w", err)
	}
	return s.envelope(id, "TRANSACTION.SUCCESS", "transaction", "支付成功", plain, p.PaidAt)
}

// seal makes the headers and body of one delivery.
func (s *signers) seal(n Notice) (http.Header, []byte, error) {
	header := http.Header{}
	// As observed on real callbacks (wechatpay-go issue 28).
	header.Set("User-Agent", "Mozilla/4.0")
	header.Set("Accept", "*/*")
	if n.Protocol == ProtocolV2 {
		header.Set("Content-Type", "text/xml")
		if n.Kind == Forged && n.Forgery == ForgedTamperedBody {
			return header, tamperV2([]byte(n.Body)), nil
		}
		return header, []byte(n.Body), nil
	}
	header.Set("Content-Type", "application/json")
	if n.Kind == Forged {
		return s.sealForged(header, n)
	}
	body := []byte(n.Body)
	return header, body, s.stamp(header, s.keyring.forNotice(), s.now(), body)
}

// wireTime is RFC 3339 in Beijing time to the second, as in every v3 message.
func wireTime(t time.Time) string { return t.In(beijing()).Format(time.RFC3339) }
