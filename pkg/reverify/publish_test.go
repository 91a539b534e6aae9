package reverify_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/reverify"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

func TestPublish_lets_in_what_passes_as_it_was_received(t *testing.T) {
	t.Parallel()
	s := setup(t)
	env := s.genuine("TEA-1")
	n := s.reject(env, "unknown_serial")
	again := s.publish(n, n)
	for _, v := range again {
		require.True(t, v.Passes, v.Detail)
		require.True(t, v.Published)
		require.Equal(t, s.shop.PublicKeyID, v.KeyID)
		require.Equal(t, "TEA-1", v.OutTradeNo)
		require.Equal(t, string(env.DeliveryID), v.DeliveryID)
	}
	require.Equal(t, []wechatpay.Envelope{env, env}, s.replayed(), "byte for byte, under its own delivery id, however often")

	entries, err := s.books.Audit(t.Context(), pay.AuditFilter{Limit: 9})
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.Equal(t, "token:ada", entries[0].Actor)
	require.Equal(t, "rejected.publish", entries[0].Action)
	require.Equal(t, string(env.DeliveryID), entries[0].Subject)
	require.Equal(t, pay.MchID(s.shop.Mchid), entries[0].MchID)
	require.Equal(t, map[string]any{"reason": "the key is configured now", "sequence": 1.0, "key_id": s.shop.PublicKeyID, "rejected_for": "unknown_serial"}, entries[0].Detail)
}

func TestReverify_changes_nothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	n := s.reject(s.genuine("TEA-1"), "unknown_serial")
	found, err := s.service.Reverify(t.Context(), []uint64{n})
	require.NoError(t, err)
	require.True(t, found[0].Passes)
	require.False(t, found[0].Published)
	require.Empty(t, s.replayed())
	require.Zero(t, s.audits())
}

// Whatever an operator says, what does not verify stays outside.
func TestPublish_never_lets_in_a_forgery(t *testing.T) {
	t.Parallel()
	s := setup(t)
	v2 := func(kind pay.DeliveryKind, body string) func(wechatpay.Envelope) wechatpay.Envelope {
		return func(env wechatpay.Envelope) wechatpay.Envelope {
			env.Kind, env.Body, env.Headers = kind, []byte(body), nil
			return env
		}
	}
	header := func(name, value string) func(wechatpay.Envelope) wechatpay.Envelope {
		return func(env wechatpay.Envelope) wechatpay.Envelope {
			env.Headers[name] = value
			return env
		}
	}
	want := map[string]wechatpay.RejectReason{}
	numbers := map[uint64]string{}
	var sequences []uint64
	for name, tc := range map[string]struct {
		forge func(wechatpay.Envelope) wechatpay.Envelope
		why   wechatpay.RejectReason
	}{
		"a body changed by one byte": {func(env wechatpay.Envelope) wechatpay.Envelope {
			env.Body = []byte(strings.Replace(string(env.Body), "EV-", "EW-", 1))
			return env
		}, wechatpay.ReasonBadSignature},
		"another merchant's path, whose key does not decrypt it": {func(env wechatpay.Envelope) wechatpay.Envelope { env.MchID = other; return env }, wechatpay.ReasonDecryptFailed},
		"a merchant that is not configured":                      {func(env wechatpay.Envelope) wechatpay.Envelope { env.MchID = "1900000199"; return env }, wechatpay.ReasonUnknownMerchant},
		"a time that was off when it was received": {func(env wechatpay.Envelope) wechatpay.Envelope {
			env.ReceivedAt = env.ReceivedAt.Add(301 * time.Second)
			return env
		}, wechatpay.ReasonTimestamp},
		"a time ahead of its receipt": {func(env wechatpay.Envelope) wechatpay.Envelope {
			env.ReceivedAt = env.ReceivedAt.Add(-300 * time.Second)
			return env
		}, wechatpay.ReasonTimestamp},
		"signed by the merchant's own key": {func(env wechatpay.Envelope) wechatpay.Envelope {
			return s.sign(env, s.shop.PrivateKey, s.shop.PublicKeyID)
		}, wechatpay.ReasonBadSignature},
		"signed by a key that nobody knows": {func(env wechatpay.Envelope) wechatpay.Envelope {
			return s.sign(env, s.shop.PrivateKey, "PUB_KEY_ID_42")
		}, wechatpay.ReasonUnknownSerial},
		"a platform certificate of nobody": {func(env wechatpay.Envelope) wechatpay.Envelope {
			return s.sign(env, s.shop.PlatformKey, s.shop.PlatformSerial)
		}, wechatpay.ReasonUnknownSerial},
		"a probe":       {header(wechatpay.HeaderSignature, "WECHATPAY/SIGNTEST/AAAA"), wechatpay.ReasonBadSignature},
		"no signature":  {header(wechatpay.HeaderSignature, ""), wechatpay.ReasonMissingHeader},
		"another nonce": {header(wechatpay.HeaderNonce, "twice"), wechatpay.ReasonBadSignature},
		"genuine, and nothing inside": {func(env wechatpay.Envelope) wechatpay.Envelope {
			env.Body = []byte("{}")
			return s.sign(env, s.shop.WechatpayKey, s.shop.PublicKeyID)
		}, wechatpay.ReasonMalformed},
		"an answer":                     {func(env wechatpay.Envelope) wechatpay.Envelope { env.Kind = pay.DeliveryAnswer; return env }, wechatpay.ReasonMalformed},
		"no kind":                       {func(env wechatpay.Envelope) wechatpay.Envelope { env.Kind = ""; return env }, wechatpay.ReasonMalformed},
		"v2 that nobody signed":         {v2(pay.DeliveryNotifyV2Pay, "<xml><return_code>SUCCESS</return_code><mch_id>"+s.shop.Mchid+"</mch_id></xml>"), wechatpay.ReasonBadSignature},
		"v2 signed by a guess":          {v2(pay.DeliveryNotifyV2Pay, "<xml><return_code>SUCCESS</return_code><sign>"+strings.Repeat("0", 32)+"</sign></xml>"), wechatpay.ReasonBadSignature},
		"a v2 refund under another key": {v2(pay.DeliveryNotifyV2Refund, "<xml><return_code>SUCCESS</return_code><mch_id>"+s.shop.Mchid+"</mch_id><req_info>AAAAAAAAAAAAAAAAAAAAAA==</req_info></xml>"), wechatpay.ReasonDecryptFailed},
		"v3 that claims to be of v2":    {func(env wechatpay.Envelope) wechatpay.Envelope { env.Kind = pay.DeliveryNotifyV2Pay; return env }, wechatpay.ReasonMalformed},
	} {
		n := s.reject(tc.forge(s.genuine("FORGED")), "bad_signature")
		want[name], numbers[n] = tc.why, name
		sequences = append(sequences, n)
	}
	honest := s.genuine("HONEST")
	sequences = append(sequences, s.reject(honest, "bad_signature"))
	for _, v := range s.publish(sequences...) {
		name, forged := numbers[v.Sequence]
		require.Equal(t, !forged, v.Passes, name)
		require.Equal(t, !forged, v.Published, name)
		require.Equal(t, string(want[name]), v.Reason, "%s: %s", name, v.Detail)
		require.NotContains(t, v.Detail, "openid")
	}
	require.Equal(t, []wechatpay.Envelope{honest}, s.replayed(), "only the honest one among them")
	require.Equal(t, 1, s.audits())
}

// Two merchants of one owner may share an APIv3 key: the content names its own.
func TestPublish_never_lets_in_what_is_about_another_merchant(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.all[other].APIv3Keys = s.all[pay.MchID(s.shop.Mchid)].APIv3Keys
	env := s.genuine("TEA-1")
	env.MchID = other
	v := s.publish(s.reject(env, "bad_signature"))[0]
	require.False(t, v.Passes)
	require.Equal(t, string(wechatpay.ReasonMismatch), v.Reason)
	require.Empty(t, s.replayed())
}

func TestReverify_judges_the_time_as_of_the_receipt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	yesterday := time.Now().UTC().Truncate(time.Second).Add(-20 * time.Hour)
	old := s.reject(s.genuineAt("OLD", yesterday), "unknown_serial")
	late := s.genuineAt("LATE", yesterday)
	late.ReceivedAt = late.ReceivedAt.Add(300 * time.Second)
	found, err := s.service.Reverify(t.Context(), []uint64{old, s.reject(late, "timestamp")})
	require.NoError(t, err)
	require.True(t, found[0].Passes, "its age says nothing against it: %s", found[0].Detail)
	require.False(t, found[1].Passes)
	require.Contains(t, found[1].Detail, "the time of receipt counts, and not today's")
}

func TestReverify_reads_the_keys_anew_for_one_that_is_not_known(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ring := s.all[pay.MchID(s.shop.Mchid)].Keyring
	ring.Replace()
	a, b := s.reject(s.genuine("A"), "unknown_serial"), s.reject(s.genuine("B"), "unknown_serial")
	found, err := s.service.Reverify(t.Context(), []uint64{a, b})
	require.NoError(t, err)
	require.False(t, found[0].Passes)
	require.Equal(t, string(wechatpay.ReasonUnknownSerial), found[0].Reason)
	require.Equal(t, 1, s.fresh, "once for a merchant, however many samples name it")
	s.learned = func() { ring.Put(merchant.PublicKey{ID: s.shop.PublicKeyID, Key: &s.shop.WechatpayKey.PublicKey}) }
	for _, v := range s.publish(a, b) {
		require.True(t, v.Published, v.Detail)
	}
	require.Len(t, s.replayed(), 2)
}

// No byte of a genuine sample can be changed without its being refused.
func TestReverify_passes_nothing_that_was_changed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	genuine := s.genuine("TEA-1")
	service := func(env wechatpay.Envelope) *reverify.Service {
		return reverify.New(reverify.Options{Samples: one{env}, Merchants: s, Keys: s, Log: slog.New(slog.DiscardHandler)})
	}
	found, err := service(genuine).Reverify(t.Context(), []uint64{1})
	require.NoError(t, err)
	require.True(t, found[0].Passes)
	rapid.Check(t, func(r *rapid.T) {
		env := genuine
		env.Headers = map[string]string{}
		for name, value := range genuine.Headers {
			env.Headers[name] = value
		}
		flip := func(text []byte) []byte {
			changed := append([]byte(nil), text...)
			changed[rapid.IntRange(0, len(changed)-1).Draw(r, "at")] ^= byte(rapid.IntRange(1, 255).Draw(r, "bits"))
			return changed
		}
		switch where := rapid.SampledFrom(append(wechatpay.SignatureHeaders(), "body", "longer", "shorter")).Draw(r, "where"); where {
		case "body":
			env.Body = flip(env.Body)
		case "longer":
			env.Body = append(append([]byte(nil), env.Body...), rapid.SliceOfN(rapid.Byte(), 1, 4).Draw(r, "more")...)
		case "shorter":
			env.Body = env.Body[:rapid.IntRange(0, len(env.Body)-1).Draw(r, "length")]
		default:
			env.Headers[where] = string(flip([]byte(env.Headers[where])))
		}
		if bytes.Equal(signature(env), signature(genuine)) && env.Headers[wechatpay.HeaderSignature] != genuine.Headers[wechatpay.HeaderSignature] {
			return // base64 has bits to spare: it is the same signature, written otherwise
		}
		found, err := service(env).Reverify(t.Context(), []uint64{1})
		if err != nil || found[0].Passes {
			r.Fatalf("passes: %v %v", found, err)
		}
	})
}

func signature(env wechatpay.Envelope) []byte {
	raw, _ := base64.StdEncoding.DecodeString(env.Headers[wechatpay.HeaderSignature])
	return raw
}

// one is a stream with one sample.
type one struct{ env wechatpay.Envelope }

func (o one) Sample(_ context.Context, sequence uint64) (wechatpay.Sample, bool, error) {
	return wechatpay.Sample{Rejected: wechatpay.Rejected{Envelope: o.env}, Sequence: sequence}, true, nil
}

func (one) WalkSamples(context.Context, uint64, func(wechatpay.Sample) bool) error { return nil }

func TestPublish_does_nothing_that_is_not_written_down(t *testing.T) {
	t.Parallel()
	s := setup(t, func(o *reverify.Options) { o.Audit = noAudit{} })
	v := s.publish(s.reject(s.genuine("TEA-1"), "unknown_serial"))[0]
	require.True(t, v.Passes)
	require.False(t, v.Published)
	require.NotEmpty(t, v.Unpublished)
	require.Empty(t, s.replayed())
}

type noAudit struct{}

func (noAudit) WriteAudit(context.Context, pay.AuditEntry) error { return errors.New("no disk") }

func TestPublish_tells_which_were_not_published(t *testing.T) {
	t.Parallel()
	lane := &fullAfter{}
	s := setup(t, func(o *reverify.Options) { lane.lane, o.Lane = o.Lane, lane })
	v := s.publish(s.reject(s.genuine("A"), "x"), s.reject(s.genuine("B"), "x"), s.reject(s.genuine("C"), "x"))
	require.True(t, v[0].Published)
	require.False(t, v[1].Published)
	require.Equal(t, problem.BrokerUnavailable.Entry().Title, v[1].Unpublished)
	require.False(t, v[2].Published)
	require.Contains(t, v[2].Unpublished, "not tried")
	require.Equal(t, 2, lane.asked)
	require.Len(t, s.replayed(), 1)
}

// fullAfter is a lane that is full after one.
type fullAfter struct {
	lane  reverify.Lane
	asked int
}

func (f *fullAfter) PublishReplay(ctx context.Context, env wechatpay.Envelope) error {
	if f.asked++; f.asked > 1 {
		return errors.New("full")
	}
	return f.lane.PublishReplay(ctx, env)
}

func TestPublish_gives_an_id_to_a_sample_that_has_none(t *testing.T) {
	t.Parallel()
	s := setup(t)
	env := s.genuine("TEA-1")
	env.DeliveryID = "no id"
	v := s.publish(s.reject(env, "x"))[0]
	require.True(t, v.Published)
	got := s.replayed()
	require.Len(t, got, 1)
	id, err := uuid.Parse(string(got[0].DeliveryID))
	require.NoError(t, err)
	require.EqualValues(t, 7, id.Version())
	require.Equal(t, v.DeliveryID, id.String())
	require.Equal(t, env.Body, got[0].Body)
}

func TestPublish_does_nothing_where_a_sample_is_not_there(t *testing.T) {
	t.Parallel()
	s := setup(t)
	n := s.reject(s.genuine("TEA-1"), "x")
	_, err := s.service.Publish(t.Context(), []uint64{n, n + 1}, "token:ada", "why")
	require.Equal(t, problem.UnknownSample, problem.KindOf(err))
	require.Empty(t, s.replayed())
	require.Zero(t, s.audits())
}
