package settle

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Reasons that say nothing about the message itself.
const (
	reasonNoKey    = "no_key"
	reasonInternal = "internal"
)

// question is what the edge asks about a v2 notification, whose key is shared
// and must not be held there.
type question struct {
	MchID   pay.MchID         `json:"mchid"`
	Kind    pay.DeliveryKind  `json:"kind"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"` // base64
}

type verdict struct {
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// VerifyV2 answers whether a v2 notification is genuine, also where it cannot
// be read. It writes nothing: what is genuine is published by the edge and
// settled, or becomes a letter, like any other.
func (s *Service) VerifyV2(ctx context.Context, asked []byte) ([]byte, error) {
	var q question
	if err := json.Unmarshal(asked, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	answer, err := json.Marshal(s.judge(ctx, q))
	if err != nil {
		return nil, fmt.Errorf("write verdict: %w", err)
	}
	return answer, nil
}

func (s *Service) judge(ctx context.Context, q question) (v verdict) {
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "panic while verifying a v2 notification", "mchid", q.MchID, "panic", harmless(p))
			v = verdict{Reason: reasonInternal}
		}
	}()
	credentials, known := s.merchants.Credentials(q.MchID)
	if !known || len(credentials.APIv2Keys) == 0 {
		return verdict{Reason: reasonNoKey}
	}
	if err := wechatpay.VerifyV2(wechatpay.Envelope{MchID: q.MchID, Kind: q.Kind, ReceivedAt: s.now(), Headers: q.Headers, Body: q.Body}, credentials); err != nil {
		return verdict{Reason: reasonOf(err)}
	}
	return verdict{OK: true}
}

func reasonOf(err error) string {
	if reason := wechatpay.ReasonOf(err); reason != "" {
		return string(reason)
	}
	return reasonInternal
}
