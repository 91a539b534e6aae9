package keycheck_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/keycheck"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

func used(r keycheck.Report, id string) keycheck.UsedKey {
	for _, k := range r.Keys {
		if k.ID == id {
			return k
		}
	}
	return keycheck.UsedKey{}
}

func TestCheck_says_which_key_verified_what(t *testing.T) {
	t.Parallel()
	s := setup(t)
	now := s.clock.Now()
	for i := range 3 {
		s.byCertificate(now.Add(-time.Duration(i+1) * 10 * time.Minute))
	}
	last := s.byPublicKey(now.Add(-time.Minute))
	r := s.check(keycheck.Question{})
	require.True(t, r.OK, r.Findings)
	require.Equal(t, 4, r.Looked)
	require.Equal(t, last.ReceivedAt, r.NewestAt)
	require.Zero(t, r.Failed)
	public, certificate := used(r, s.shop.PublicKeyID), used(r, s.shop.PlatformSerial)
	require.Equal(t, 1, public.Verified)
	require.Equal(t, last.ReceivedAt, public.LastVerifiedAt)
	require.Nil(t, public.DaysLeft, "a public key does not expire")
	require.Equal(t, 3, certificate.Verified)
	require.NotNil(t, certificate.DaysLeft)
	require.Equal(t, keycheck.StateCurrent, certificate.State)
	require.True(t, r.BothPass)
	require.Equal(t, []keycheck.Cipher{{Setting: "api_v3_key_files", Place: 1, Decrypted: 4, LastAt: last.ReceivedAt}}, r.Ciphers)
	require.Equal(t, s.shop.Serial, r.Merchant.Certificate.Serial)

	for i, mode := range []struct{ passed, failed int }{{1, 3}, {3, 1}} {
		require.Equal(t, mode.passed, r.Modes[i].Alone.Passed, "%s alone", r.Modes[i].Mode)
		require.Equal(t, mode.failed, r.Modes[i].Alone.Failed, "%s alone", r.Modes[i].Mode)
		require.Equal(t, mode.passed, r.Modes[i].Verified)
		require.True(t, r.Modes[i].Ready)
	}
	require.Equal(t, string(last.DeliveryID), r.Modes[1].Alone.LatestFailure.DeliveryID)
	require.Equal(t, 2, s.check(keycheck.Question{Count: 2}).Looked)
}

func TestCheck_believes_the_bytes_and_not_the_columns(t *testing.T) {
	t.Parallel()
	s := setup(t)
	now := s.clock.Now()
	s.byPublicKey(now.Add(-10 * time.Minute))
	forged := s.envelope(now.Add(-time.Minute), s.shop.WechatpayKey, s.shop.PublicKeyID, s.shop.APIv3Key)
	forged.Body[10] ^= 1
	s.archive(forged)
	r := s.check(keycheck.Question{})
	require.False(t, r.OK)
	require.Equal(t, 1, r.Failed)
	require.Equal(t, string(forged.DeliveryID), r.Failures[0].DeliveryID)
	require.Equal(t, string(wechatpay.ReasonBadSignature), r.Failures[0].Reason)
	require.Equal(t, 1, used(r, s.shop.PublicKeyID).Verified)
	require.Len(t, found(r, "traffic", keycheck.LevelFail), 1)
}

func TestCheck_verifies_as_of_the_receipt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	certificate, _ := s.cred.Keyring.Find(s.shop.PlatformSerial)
	s.byCertificate(s.clock.Now().Add(-10 * time.Minute))
	s.byPublicKey(s.clock.Now().Add(-10 * time.Minute))
	s.clock.Advance(certificate.NotAfter.Sub(s.clock.Now()) + time.Hour) // it has expired since
	r := s.check(keycheck.Question{})
	require.Zero(t, r.Failed)
	require.Equal(t, keycheck.StateRetired, used(r, s.shop.PlatformSerial).State)
	require.Negative(t, *used(r, s.shop.PlatformSerial).DaysLeft)
	require.False(t, r.BothPass, "no certificate is valid now")
}

func TestCheck_says_which_key_decrypts(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const old = "0123456789abcdef0123456789abcdef"
	at := s.clock.Now().Add(-10 * time.Minute)
	s.archive(s.envelope(at, s.shop.WechatpayKey, s.shop.PublicKeyID, old))
	r := s.check(keycheck.Question{})
	require.False(t, r.OK)
	require.Contains(t, found(r, "traffic", keycheck.LevelFail)[0], "List the previous key in api_v3_key_files")

	s.cred.APIv3Keys = append(s.cred.APIv3Keys, old, "unused-key-unused-key-unused-key")
	r = s.check(keycheck.Question{})
	require.True(t, r.OK)
	require.Equal(t, []int{0, 1, 0}, []int{r.Ciphers[0].Decrypted, r.Ciphers[1].Decrypted, r.Ciphers[2].Decrypted})
	require.Contains(t, found(r, "decryption", keycheck.LevelNote)[0], "key 2 of api_v3_key_files decrypted 1 of them")
	require.Contains(t, found(r, "decryption", keycheck.LevelNote)[1], "key 3 of api_v3_key_files decrypted none")
}

func TestCheck_rehearses_a_key_that_goes(t *testing.T) {
	t.Parallel()
	s := setup(t)
	now := s.clock.Now()
	s.byPublicKey(now.Add(-20 * time.Minute))
	r := s.check(keycheck.Question{Without: s.shop.PlatformSerial})
	require.True(t, r.OK)
	require.Contains(t, found(r, "rehearsal", keycheck.LevelOK)[0], "without "+s.shop.PlatformSerial+": all 1 would pass")

	last := s.byCertificate(now.Add(-10 * time.Minute))
	r = s.check(keycheck.Question{Without: s.shop.PlatformSerial})
	require.False(t, r.OK)
	require.Equal(t, 1, r.Rehearsal.Passed)
	require.Equal(t, 1, r.Rehearsal.Failed)
	require.Equal(t, string(last.DeliveryID), r.Rehearsal.LatestFailure.DeliveryID)
	require.False(t, s.check(keycheck.Question{Only: keycheck.KindPublicKey}).OK)
	require.False(t, s.check(keycheck.Question{Only: keycheck.KindCertificate}).OK)
	require.True(t, s.check(keycheck.Question{}).OK, "nothing was changed by rehearsing")
}

func TestCheck_rehearses_a_key_that_comes(t *testing.T) {
	t.Parallel()
	s := setup(t)
	certificate, _ := s.cred.Keyring.Find(s.shop.PlatformSerial)
	s.cred.Keyring.Replace(certificate) // before the switch
	s.byCertificate(s.clock.Now().Add(-10 * time.Minute))
	file, err := merchant.PublicKey{ID: s.shop.PublicKeyID, Key: &s.shop.WechatpayKey.PublicKey}.PEM()
	require.NoError(t, err)
	with := &keycheck.NewKey{ID: s.shop.PublicKeyID, PEM: string(file)}
	r := s.check(keycheck.Question{With: with})
	require.True(t, r.OK)
	require.Contains(t, found(r, "rehearsal", keycheck.LevelNote)[0], "nothing proves that the file belongs to the id")
	require.Contains(t, found(r, "modes", keycheck.LevelNote)[0], "answered 503")

	// The switch began, and the first notification was turned away.
	s.samples = []wechatpay.Sample{{Rejected: wechatpay.Rejected{Envelope: s.envelope(s.clock.Now(), s.shop.WechatpayKey, s.shop.PublicKeyID, s.shop.APIv3Key), Reason: "unknown_serial"}}}
	r = s.check(keycheck.Question{With: with})
	require.True(t, r.OK)
	require.Equal(t, 1, r.Rehearsal.SamplesPass)

	// Another file under the same id.
	file, err = merchant.PublicKey{ID: "x", Key: &s.shop.PrivateKey.PublicKey}.PEM()
	require.NoError(t, err)
	r = s.check(keycheck.Question{With: &keycheck.NewKey{ID: s.shop.PublicKeyID, PEM: string(file)}})
	require.False(t, r.OK)
	require.Equal(t, 1, r.Rehearsal.Samples)
	require.Zero(t, r.Rehearsal.SamplesPass)

	s.cred.Keyring.Put(merchant.PublicKey{ID: s.shop.PublicKeyID, Key: &s.shop.WechatpayKey.PublicKey})
	s.byPublicKey(s.clock.Now())
	r = s.check(keycheck.Question{With: &keycheck.NewKey{ID: s.shop.PublicKeyID, PEM: string(file)}})
	require.Equal(t, 1, r.Rehearsal.Failed, "a wrong file in the place of a right one")
	r = s.check(keycheck.Question{With: with, Without: s.shop.PlatformSerial})
	require.Equal(t, 1, r.Rehearsal.Failed, "both at once")
}

func TestCheck_refuses_what_cannot_be_rehearsed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for name, tc := range map[string]struct {
		q     keycheck.Question
		field string
	}{
		"no such key":      {keycheck.Question{Without: "PUB_KEY_ID_9"}, "without"},
		"no such kind":     {keycheck.Question{Only: "both"}, "only"},
		"none to look at":  {keycheck.Question{Count: -1}, "count"},
		"too many":         {keycheck.Question{Count: keycheck.MaxCount + 1}, "count"},
		"an id of no kind": {keycheck.Question{With: &keycheck.NewKey{ID: "5157F09EFDC096DE", PEM: "x"}}, "with.key_id"},
		"no key":           {keycheck.Question{With: &keycheck.NewKey{ID: "PUB_KEY_ID_9", PEM: "x"}}, "with.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := s.asked(tc.q)
			var told *problem.Error
			require.ErrorAs(t, err, &told)
			require.Equal(t, problem.Invalid, told.Kind)
			require.Equal(t, tc.field, told.Fields[0].Field)
		})
	}
	_, err := s.asked(keycheck.Question{MchID: "1900000199"})
	require.Equal(t, problem.UnknownMerchant, problem.KindOf(err))
}

func TestCheck_warns_before_a_certificate_expires(t *testing.T) {
	t.Parallel()
	s := setup(t)
	certificate, _ := s.cred.Keyring.Find(s.shop.PlatformSerial)
	expires := func(in time.Duration) []string {
		certificate.NotAfter = s.clock.Now().Add(in)
		s.cred.Keyring.Put(certificate)
		return found(s.check(keycheck.Question{}), "expiry", keycheck.LevelFail)
	}
	require.Empty(t, expires(10*24*time.Hour+time.Minute))
	require.Contains(t, expires(10*24*time.Hour - time.Minute)[0], "expires in 9 days")
	require.Equal(t, certificate.ID, s.check(keycheck.Question{}).Merchant.Expires.ID)
	next := certificate
	next.ID, next.NotAfter = "AB", s.clock.Now().Add(5*365*24*time.Hour)
	s.cred.Keyring.Put(next)
	require.Empty(t, found(s.check(keycheck.Question{}), "expiry", keycheck.LevelFail), "it has a successor")

	left := s.cred.ClientCertificate.Leaf.NotAfter.Sub(s.clock.Now())
	s.clock.Advance(left - 30*24*time.Hour + time.Minute)
	require.Contains(t, found(s.check(keycheck.Question{}), "expiry", keycheck.LevelFail)[0], "own certificate")
	s.clock.Advance(30 * 24 * time.Hour)
	require.Contains(t, found(s.check(keycheck.Question{}), "expiry", keycheck.LevelFail)[0], "has expired")
}

func TestCheck_says_what_a_merchant_lacks(t *testing.T) {
	t.Parallel()
	s := setup(t)
	require.Empty(t, s.service.Keys(t.Context())[0].Missing)
	s.cred.Keyring.Replace()
	s.cred.APIv3Keys = nil
	r := s.check(keycheck.Question{})
	require.False(t, r.OK)
	require.Len(t, r.Merchant.Missing, 2)
	require.Contains(t, r.Merchant.Missing[0], "answered 503")
	s.cred.Merchant.Protocol = pay.ProtocolV2
	require.Len(t, s.check(keycheck.Question{}).Merchant.Missing, 1, "no APIv2 key")
	s.cred.APIv2Keys = []merchant.Secret{merchant.Secret(s.shop.APIv2Key)}
	m := s.service.Keys(t.Context())[0]
	require.Empty(t, m.Missing)
	require.Equal(t, []keycheck.Key{{ID: "apiv2#1", Kind: keycheck.KindAPIv2, State: keycheck.StateCurrent}}, m.Keys)
}

func TestCheck_asks_WeChat_Pay_whether_it_takes_the_merchants_key(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.check(keycheck.Question{Live: true})
	require.False(t, r.Live.Accepted)
	require.Contains(t, r.Live.Detail, "no key to call WeChat Pay with")
	platform, wechat := s.platform()
	r = s.check(keycheck.Question{Live: true})
	require.True(t, r.Live.Accepted, r.Live.Detail)
	require.True(t, r.Live.Verified)
	require.Equal(t, s.shop.PublicKeyID, r.Live.AnsweredWith)
	require.Empty(t, platform.Ledger().Orders, "nothing came to be")
	require.Nil(t, s.check(keycheck.Question{}).Live, "only where it is asked for")

	wechat.Close()
	r = s.check(keycheck.Question{Live: true})
	require.False(t, r.Live.Accepted)
	require.Contains(t, found(r, "live", keycheck.LevelNote)[0], "WeChat Pay did not answer: ", "which says nothing about the keys")
}

func TestCheck_tells_a_key_that_WeChat_Pay_does_not_take(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.cred.PrivateKey = s.shop.PlatformKey // not what belongs to the serial
	s.platform()
	r := s.check(keycheck.Question{Live: true})
	require.False(t, r.Live.Accepted)
	require.Contains(t, r.Live.Detail, "401 SIGN_ERROR")
	require.Contains(t, found(r, "live", keycheck.LevelFail)[0], "merchant_serial")
}

func TestCheck_asks_only_within_the_budget(t *testing.T) {
	t.Parallel()
	spent := &purse{}
	s := setup(t, func(o *keycheck.Options) { o.Budgets = spent })
	platform, _ := s.platform()
	r := s.check(keycheck.Question{Live: true})
	require.False(t, r.OK)
	require.Contains(t, r.Live.Detail, "budget of questions is used up")
	require.Equal(t, pay.Budget{API: pay.APIOrderQuery, PerSecond: 10}, spent.asked)
	require.Empty(t, platform.Calls(), "nothing was asked")
}

// purse has no tokens left.
type purse struct{ asked pay.Budget }

func (p *purse) TakeToken(_ context.Context, _ pay.MchID, b pay.Budget) (bool, error) {
	p.asked = b
	return false, nil
}

func TestCheck_says_that_the_archive_is_away(t *testing.T) {
	t.Parallel()
	s := setup(t, func(o *keycheck.Options) { o.Archive, o.Retryable = away{}, func(error) bool { return true } })
	_, err := s.asked(keycheck.Question{})
	require.Equal(t, problem.DatabaseUnavailable, problem.KindOf(err))
}

func TestCheck_finds_nothing_in_an_empty_archive(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.check(keycheck.Question{Without: s.shop.PublicKeyID})
	require.True(t, r.OK)
	require.Contains(t, found(r, "traffic", keycheck.LevelNote)[0], "no notification of this merchant is stored")
	require.Contains(t, found(r, "rehearsal", keycheck.LevelNote)[0], "no traffic to rehearse with")
}

func TestAnswers_hold_no_secret(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.platform()
	s.cred.APIv2Keys = []merchant.Secret{merchant.Secret(s.shop.APIv2Key)}
	s.byPublicKey(s.clock.Now())
	s.archive(s.envelope(s.clock.Now(), s.shop.WechatpayKey, s.shop.PublicKeyID, "0123456789abcdef0123456789abcdef"))
	question, err := json.Marshal(keycheck.Question{MchID: s.mchid, Count: 10, Live: true, Without: s.shop.PublicKeyID})
	require.NoError(t, err)
	report, err := s.service.AnswerCheck(t.Context(), question)
	require.NoError(t, err)
	keys, err := s.service.AnswerKeys(t.Context(), []byte("{}"))
	require.NoError(t, err)
	said := string(report) + string(keys)
	for _, secret := range []string{s.shop.APIv3Key, s.shop.APIv2Key, "0123456789abcdef", "o-buyer", "PRIVATE KEY", "ciphertext"} {
		require.NotContains(t, said, secret)
	}
	require.Contains(t, said, s.shop.PublicKeyID)
}
