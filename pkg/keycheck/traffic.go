package keycheck

import (
	"context"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	// pageRows bounds what is in memory at a time: bodies of at most 128 KiB.
	pageRows = 100
	// lookWithin is the time for the archive; the console waits 18 s.
	lookWithin = 12 * time.Second
	// maxFailures is how many failures a report names.
	maxFailures = 10
)

// tally counts what the keys of now do to the traffic.
type tally struct {
	cred       *merchant.Credentials
	rehearsals []*rehearsal

	looked         int
	newest, oldest time.Time
	keys           map[string]use
	ciphers        map[cipher]use
	failed         int
	failures       []Failure
	cut            bool
}

type cipher struct {
	protocol pay.Protocol
	place    int
}

// use is how often a key was used, and for what was received last.
type use struct {
	count int
	last  time.Time
}

func newTally(cred *merchant.Credentials, rehearsals []*rehearsal) *tally {
	return &tally{cred: cred, rehearsals: rehearsals, keys: map[string]use{}, ciphers: map[cipher]use{}}
}

// read takes the latest notifications through the tally.
func (s *Service) read(ctx context.Context, q Question, t *tally) error {
	until := s.Now().Add(lookWithin)
	f := pay.DeliveryFilter{MchID: q.MchID, Bytes: true}
	for t.looked < q.Count {
		f.Limit = min(pageRows, q.Count-t.looked)
		page, err := s.Archive.ListDeliveries(ctx, f)
		if err != nil {
			return err //nolint:wrapcheck // fault names the step
		}
		for i := range page.Deliveries {
			t.add(envelopeOf(&page.Deliveries[i]))
		}
		if !page.More {
			return nil
		}
		if f.AfterID, f.AfterMchID = page.LastID, page.LastMchID; s.Now().After(until) {
			t.cut = t.looked < q.Count
			return nil
		}
	}
	return nil
}

func envelopeOf(d *pay.Delivery) wechatpay.Envelope {
	return wechatpay.Envelope{DeliveryID: d.ID, MchID: d.MchID, Kind: d.Kind, ReceivedAt: d.ReceivedAt, Headers: d.Headers, Body: d.Body}
}

// add looks at one notification; they come the newest first.
func (t *tally) add(env wechatpay.Envelope) {
	t.looked++
	if t.oldest = env.ReceivedAt; t.newest.IsZero() {
		t.newest = env.ReceivedAt
	}
	i := wechatpay.Inspect(env, t.cred)
	if i.KeyID != "" {
		note(t.keys, keyName(i.KeyID), env.ReceivedAt)
	}
	if i.Place > 0 {
		note(t.ciphers, cipher{i.Protocol, i.Place}, env.ReceivedAt)
	}
	if refused := firstOf(i.Refusal, i.Undeciphered); refused != nil {
		t.failed++
		if len(t.failures) < maxFailures {
			t.failures = append(t.failures, failureOf(env, refused))
		}
	}
	if env.Kind == pay.DeliveryNotifyV3 {
		for _, r := range t.rehearsals {
			r.try(env)
		}
	}
}

func note[K comparable](uses map[K]use, key K, at time.Time) {
	u := uses[key]
	if u.count++; u.last.IsZero() {
		u.last = at
	}
	uses[key] = u
}

func firstOf(errs ...*wechatpay.VerifyError) *wechatpay.VerifyError {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}

func failureOf(env wechatpay.Envelope, e *wechatpay.VerifyError) Failure {
	return Failure{DeliveryID: string(env.DeliveryID), ReceivedAt: env.ReceivedAt, KeyID: e.Serial, Reason: string(e.Reason), Detail: e.Detail}
}

// keyName leaves away how a shared key was used.
func keyName(id string) string {
	if name, _, shared := strings.Cut(id, "/"); shared {
		return name
	}
	return id
}

// report writes the counts down.
func (t *tally) report(r *Report) {
	r.Looked, r.OldestAt, r.NewestAt, r.Cut = t.looked, t.oldest, t.newest, t.cut
	r.Failed, r.Failures = t.failed, append([]Failure{}, t.failures...)
	r.Keys, r.Ciphers = []UsedKey{}, []Cipher{}
	for _, k := range r.Merchant.Keys {
		u := t.keys[k.ID]
		r.Keys = append(r.Keys, UsedKey{Key: k, Verified: u.count, LastVerifiedAt: u.last})
	}
	for i := range t.cred.APIv3Keys {
		r.Ciphers = append(r.Ciphers, t.cipher("api_v3_key_files", cipher{pay.ProtocolV3, i + 1}))
	}
	for i := range t.cred.APIv2Keys {
		r.Ciphers = append(r.Ciphers, t.cipher("api_v2_key_files", cipher{pay.ProtocolV2, i + 1}))
	}
	r.modes(t.rehearsals)
}

func (t *tally) cipher(setting string, c cipher) Cipher {
	u := t.ciphers[c]
	return Cipher{Setting: setting, Place: c.place, Decrypted: u.count, LastAt: u.last}
}
