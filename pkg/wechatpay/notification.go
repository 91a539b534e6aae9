package wechatpay

import (
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// MaxBodyBytes is the largest notification that is read. Real ones have 1 to
// 4 KiB; what is larger is refused, never cut.
const MaxBodyBytes = 128 << 10

// NotificationKind says what a notification is about.
type NotificationKind string

// The kinds of notification.
const (
	NotificationTransaction NotificationKind = "transaction"
	NotificationRefund      NotificationKind = "refund"
	NotificationOther       NotificationKind = "other" // another product on the same URL
)

// Notification is a message of WeChat Pay that was verified against the time
// of its receipt, decrypted and read. Only Open makes one.
type Notification struct {
	DeliveryID pay.DeliveryID
	MchID      pay.MchID // of the path, and of the content where it names one
	Protocol   pay.Protocol
	ReceivedAt time.Time
	KeyID      string // the key that verified it; for v2 which APIv2 key, and how

	ID        string // WeChat's own id of the notice; v2 has none
	EventType string // such as TRANSACTION.SUCCESS; of v2 the delivery kind
	Kind      NotificationKind

	Transaction *Transaction  // of NotificationTransaction
	Refund      *RefundNotice // of NotificationRefund
}

// Open verifies an envelope against the time of its receipt, decrypts and
// reads it. Every refusal is a *VerifyError; LetterCauseOf turns it into a letter.
func Open(env Envelope, cred *merchant.Credentials) (Notification, error) {
	n, rejected := open(env, cred)
	if rejected != nil {
		return Notification{}, rejected
	}
	return n, nil
}

func open(env Envelope, cred *merchant.Credentials) (Notification, *VerifyError) {
	if cred == nil || cred.Merchant.MchID != env.MchID {
		return Notification{}, reject(ReasonUnknownMerchant, "there are no credentials of merchant %s here", env.MchID)
	}
	if len(env.Body) > MaxBodyBytes {
		return Notification{}, reject(ReasonBodyTooLarge, "the body has %d bytes, and at most %d are read", len(env.Body), MaxBodyBytes)
	}
	n := Notification{DeliveryID: env.DeliveryID, MchID: env.MchID, ReceivedAt: env.ReceivedAt}
	switch env.Kind {
	case pay.DeliveryNotifyV3:
		return openV3(n, env, cred)
	case pay.DeliveryNotifyV2Pay:
		return openV2Pay(n, env, cred)
	case pay.DeliveryNotifyV2Refund:
		return openV2Refund(n, env, cred)
	case pay.DeliveryAnswer:
	}
	return Notification{}, reject(ReasonMalformed, "a delivery of kind %q is no notification", env.Kind)
}

// Observation is what the notification means for an order. ok is false where
// it concerns none: refunds, and other products on the same URL.
func (n Notification) Observation(source pay.Source) (obs pay.Observation, ok bool) {
	if n.Transaction == nil {
		return pay.Observation{}, false
	}
	obs = n.Transaction.observation()
	obs.Source, obs.ObservedAt, obs.DeliveryID, obs.KeyID = source, n.ReceivedAt, n.DeliveryID, n.KeyID
	return obs, true
}

// OutTradeNo is the order that the notification names, if any.
func (n Notification) OutTradeNo() pay.OutTradeNo {
	switch {
	case n.Transaction != nil:
		return n.Transaction.OutTradeNo
	case n.Refund != nil:
		return n.Refund.OutTradeNo
	}
	return ""
}

// TransactionID is the payment that the notification names, if any.
func (n Notification) TransactionID() pay.TransactionID {
	switch {
	case n.Transaction != nil:
		return n.Transaction.TransactionID
	case n.Refund != nil:
		return n.Refund.TransactionID
	}
	return ""
}

// about refuses what is genuine and tells of another merchant: its order would
// be looked for under the wrong name.
func (n Notification) about(mchid string) *VerifyError {
	if mchid == string(n.MchID) {
		return nil
	}
	return reject(ReasonMismatch, "it came in for merchant %s and tells of merchant %s", n.MchID, clip(mchid))
}

// clip bounds outside text that goes into an error.
func clip(s string) string {
	const most = 40
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), most)])
}
