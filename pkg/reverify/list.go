package reverify

import (
	"context"
	"slices"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// maxLook bounds how many samples are looked at for one page; each is a round
// trip to the broker, 32 at a time.
const maxLook = 2000

// clocksDiffer: samples are stored by the broker's clock and received by the
// edge's.
const clocksDiffer = 10 * time.Minute

// Filter picks a page of samples, the newest first.
type Filter struct {
	MchID  pay.MchID `json:"mchid,omitempty"`  // empty: of every merchant
	Reason string    `json:"reason,omitempty"` // empty: any
	Since  time.Time `json:"since,omitzero"`   // received then or later
	Before uint64    `json:"before,omitempty"` // of the page before; 0: the first page
	Limit  int       `json:"limit"`
}

// Sample is a sample as it is listed.
type Sample struct {
	Sequence   uint64    `json:"sequence"`
	MchID      string    `json:"mchid"`
	DeliveryID string    `json:"delivery_id,omitempty"`
	Kind       string    `json:"kind,omitempty"`
	Reason     string    `json:"reason"`
	Detail     string    `json:"detail"`
	KeyID      string    `json:"key_id,omitempty"` // that it names
	ReceivedAt time.Time `json:"received_at"`
	Bytes      int       `json:"bytes"`
	Unreadable string    `json:"unreadable,omitempty"`
}

// Whole is a sample with its bytes.
type Whole struct {
	Sample

	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body_base64"`
}

// Page is what List finds; Before is where the page after begins, 0 for none.
type Page struct {
	Samples []Sample `json:"samples"`
	Before  uint64   `json:"before,omitempty"`
}

// List gives a page of samples. A page may be short and have others after it: a
// look takes only so many.
func (s *Service) List(ctx context.Context, f Filter) (Page, error) {
	p, looked, last := Page{Samples: []Sample{}}, 0, uint64(0)
	err := s.Samples.WalkSamples(ctx, f.Before, func(one wechatpay.Sample) bool {
		if looked++; looked > maxLook {
			p.Before = last
			return false
		}
		if one.StoredAt.Before(f.Since.Add(-clocksDiffer)) {
			return false
		}
		if !f.wants(one) {
			last = one.Sequence
			return true
		}
		if len(p.Samples) == f.Limit { // one more than fits
			p.Before = p.Samples[f.Limit-1].Sequence
			return false
		}
		p.Samples, last = append(p.Samples, sampleOf(one)), one.Sequence
		return true
	})
	if err != nil {
		return Page{}, problem.Wrap(problem.BrokerUnavailable, err, "samples cannot be read at the moment")
	}
	return p, nil
}

func (f Filter) wants(s wechatpay.Sample) bool {
	return (f.MchID == "" || f.MchID == s.Envelope.MchID) && (f.Reason == "" || f.Reason == s.Reason) && !s.Envelope.ReceivedAt.Before(f.Since)
}

// Show gives one sample with its bytes.
func (s *Service) Show(ctx context.Context, sequence uint64) (Whole, error) {
	one, err := s.sample(ctx, sequence)
	if err != nil {
		return Whole{}, err
	}
	w := Whole{Sample: sampleOf(one), Headers: one.Envelope.Headers, Body: slices.Concat([]byte{}, one.Envelope.Body)}
	if w.Headers == nil {
		w.Headers = map[string]string{}
	}
	return w, nil
}

func sampleOf(s wechatpay.Sample) Sample {
	e := s.Envelope
	return Sample{
		Sequence: s.Sequence, MchID: string(e.MchID), DeliveryID: string(e.DeliveryID), Kind: string(e.Kind), Reason: s.Reason, Detail: s.Detail,
		KeyID: e.Headers[wechatpay.HeaderSerial], ReceivedAt: e.ReceivedAt, Bytes: len(e.Body), Unreadable: s.Unreadable,
	}
}
