package keycheck

import (
	"context"
	"errors"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// maxSamples bounds how far back samples are looked at for a new key.
const maxSamples = 2000

// rehearsal tries the traffic with a ring that is not in use.
type rehearsal struct {
	name    string
	ring    *merchant.Keyring
	outcome Outcome
}

func newRehearsal(name string, keys []merchant.PublicKey) *rehearsal {
	return &rehearsal{name: name, ring: merchant.NewKeyring(keys...)}
}

// try verifies one message as of its receipt; messages come the newest first.
func (r *rehearsal) try(env wechatpay.Envelope) {
	_, err := wechatpay.VerifySignature(env, r.ring, env.ReceivedAt)
	if err == nil {
		r.outcome.Passed++
		return
	}
	r.outcome.Failed++
	var refused *wechatpay.VerifyError
	if r.outcome.LatestFailure == nil && errors.As(err, &refused) {
		f := failureOf(env, refused)
		r.outcome.LatestFailure = &f
	}
}

// modes reports both kinds of keys, and the rehearsal that was asked for.
func (r *Report) modes(rehearsals []*rehearsal) {
	r.Modes, r.BothPass = []Mode{}, true
	for _, one := range rehearsals {
		if one.name == asAsked {
			r.Rehearsal = &Rehearsal{Outcome: one.outcome}
			continue
		}
		m := Mode{Mode: one.name, Ready: has(r.Merchant.Keys, one.name), Alone: one.outcome}
		for _, k := range r.Keys {
			if k.Kind != one.name {
				continue
			}
			if m.Verified += k.Verified; k.LastVerifiedAt.After(m.LastVerifiedAt) {
				m.LastVerifiedAt = k.LastVerifiedAt
			}
		}
		r.BothPass = r.BothPass && m.Ready
		r.Modes = append(r.Modes, m)
	}
}

// name says what was asked for; nothing was where there is no rehearsal.
func (h *Rehearsal) name(q Question) {
	if h == nil {
		return
	}
	h.Without, h.Only = q.Without, q.Only
	if q.With != nil {
		h.With = q.With.ID
	}
}

// rehearseSamples tries a new key on what was turned away for want of it: the
// proof that the file and the id belong together.
func (s *Service) rehearseSamples(ctx context.Context, q Question, r *Rehearsal) error {
	key, _ := q.With.parse() // it was checked with the question
	ring, looked := merchant.NewKeyring(key), 0
	return s.Samples.WalkSamples(ctx, 0, func(sample wechatpay.Sample) bool { //nolint:wrapcheck // fault names the step
		looked++
		env := sample.Envelope
		if env.MchID == q.MchID && env.Kind == pay.DeliveryNotifyV3 && env.Headers[wechatpay.HeaderSerial] == key.ID {
			r.Samples++
			if _, err := wechatpay.VerifySignature(env, ring, env.ReceivedAt); err == nil {
				r.SamplesPass++
			}
		}
		return looked < maxSamples
	})
}
