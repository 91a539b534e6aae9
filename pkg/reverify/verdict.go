package reverify

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// refreshWithin bounds the wait for keys; the console waits 18 s.
const refreshWithin = 5 * time.Second

// Verdict is what a second look at a sample finds.
type Verdict struct {
	Sequence      uint64    `json:"sequence"`
	DeliveryID    string    `json:"delivery_id,omitempty"`
	MchID         string    `json:"mchid"`
	Kind          string    `json:"kind,omitempty"`
	ReceivedAt    time.Time `json:"received_at"` // as of which it is judged
	RejectedFor   string    `json:"rejected_for"`
	Passes        bool      `json:"passes"`
	KeyID         string    `json:"key_id,omitempty"` // that verifies it; of one that does not pass, that it names
	Reason        string    `json:"reason,omitempty"` // why it does not pass
	Detail        string    `json:"detail,omitempty"`
	EventType     string    `json:"event_type,omitempty"`
	OutTradeNo    string    `json:"out_trade_no,omitempty"` // of one that passes
	TransactionID string    `json:"transaction_id,omitempty"`
	Published     bool      `json:"published"`
	Unpublished   string    `json:"unpublished,omitempty"` // why one that passes was not published
}

// refreshed are the merchants whose keys were read anew for this question.
type refreshed map[pay.MchID]bool

// judge holds a sample against the keys of now, as of its receipt: the age of a
// message says nothing against it, and a clock that was wrong then is wrong
// still. Where a key is not known, what is configured and fetched is read anew.
func (s *Service) judge(ctx context.Context, sample wechatpay.Sample, fresh refreshed) Verdict {
	env := sample.Envelope
	v := Verdict{
		Sequence: sample.Sequence, DeliveryID: string(env.DeliveryID), MchID: string(env.MchID), Kind: string(env.Kind),
		ReceivedAt: env.ReceivedAt, RejectedFor: sample.Reason,
	}
	if sample.Unreadable != "" {
		v.Reason, v.Detail = string(wechatpay.ReasonMalformed), sample.Unreadable
		return v
	}
	n, err := s.open(env)
	if reason := wechatpay.ReasonOf(err); reason == wechatpay.ReasonUnknownSerial || reason == wechatpay.ReasonUnknownMerchant {
		s.refresh(ctx, env.MchID, fresh)
		n, err = s.open(env)
	}
	if err != nil {
		v.refuse(err)
		return v
	}
	v.Passes, v.KeyID, v.EventType = true, n.KeyID, n.EventType
	v.OutTradeNo, v.TransactionID = string(n.OutTradeNo()), string(n.TransactionID())
	return v
}

func (s *Service) refresh(ctx context.Context, mchid pay.MchID, fresh refreshed) {
	if fresh[mchid] {
		return
	}
	fresh[mchid] = true
	ctx, cancel := context.WithTimeout(ctx, refreshWithin)
	defer cancel()
	if err := s.Keys.Refresh(ctx, mchid); err != nil {
		s.Log.WarnContext(ctx, "keys could not be refreshed for a sample", "mchid", mchid, "error", err)
	}
}

// open is the one door: what verifies, decrypts and is about its own merchant.
func (s *Service) open(env wechatpay.Envelope) (wechatpay.Notification, error) {
	credentials, _ := s.Merchants.Credentials(env.MchID) // nil is refused as an unknown merchant
	return wechatpay.Open(env, credentials)              //nolint:wrapcheck // refuse reads it
}

func (v *Verdict) refuse(err error) {
	var refused *wechatpay.VerifyError
	if !errors.As(err, &refused) {
		v.Reason, v.Detail = string(wechatpay.ReasonMalformed), "it could not be read"
		return
	}
	v.Reason, v.Detail, v.KeyID = string(refused.Reason), refused.Detail, refused.Serial
	if refused.Reason == wechatpay.ReasonTimestamp {
		v.Detail += "; the time of receipt counts, and not today's. WeChat Pay repeats for 24 hours, and the reconciler asks about the order"
	}
}

// usable says whether the archive can file a delivery under this id.
func usable(id pay.DeliveryID) bool {
	_, err := uuid.Parse(string(id))
	return err == nil
}
