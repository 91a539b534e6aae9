package wechatpay

import (
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fenflow/fenflow/pkg/merchant"
)

func TestVerifySignature_refuses_bad_headers_and_says_which(t *testing.T) {
	t.Parallel()
	good := newForge(t).envelope(t, testPlain)
	for name, tc := range map[string]struct {
		header, value string
		want          RejectReason
	}{
		"no timestamp":                {HeaderTimestamp, "", ReasonMissingHeader},
		"no nonce":                    {HeaderNonce, "", ReasonMissingHeader},
		"no serial":                   {HeaderSerial, "", ReasonMissingHeader},
		"no signature":                {HeaderSignature, "", ReasonMissingHeader},
		"long timestamp":              {HeaderTimestamp, strings.Repeat("1", 13), ReasonMalformedHeader},
		"signed timestamp":            {HeaderTimestamp, "+1767225660", ReasonMalformedHeader},
		"padded timestamp":            {HeaderTimestamp, "01767225660", ReasonMalformedHeader},
		"timestamp of words":          {HeaderTimestamp, "now", ReasonMalformedHeader},
		"huge timestamp":              {HeaderTimestamp, "999999999999", ReasonTimestamp},
		"negative timestamp":          {HeaderTimestamp, "-99999999999", ReasonTimestamp},
		"long nonce":                  {HeaderNonce, strings.Repeat("n", maxNonceBytes+1), ReasonMalformedHeader},
		"nonce with a line feed":      {HeaderNonce, "a\nb", ReasonMalformedHeader},
		"other nonce":                 {HeaderNonce, "nonce-2", ReasonBadSignature},
		"long serial":                 {HeaderSerial, strings.Repeat("A", maxSerialBytes+1), ReasonMalformedHeader},
		"serial with a NUL":           {HeaderSerial, "A\x00", ReasonMalformedHeader},
		"unknown public key":          {HeaderSerial, "PUB_KEY_ID_1", ReasonUnknownSerial},
		"unknown certificate":         {HeaderSerial, "50062CE505775F070CAB06E697F1BBD1AD4F4D88", ReasonUnknownSerial},
		"another known key":           {HeaderSerial, "50062CE505775F070CAB06E697F1BBD1AD4F4D87", ReasonBadSignature},
		"SM2":                         {HeaderSignatureType, "WECHATPAY2-SM2-WITH-SM3", ReasonMalformedHeader},
		"long signature":              {HeaderSignature, strings.Repeat("A", maxSignatureBytes+1), ReasonMalformedHeader},
		"signature without base64":    {HeaderSignature, "!!!", ReasonBadSignature},
		"short signature":             {HeaderSignature, "QUJD", ReasonBadSignature},
		"probe":                       {HeaderSignature, "WECHATPAY/SIGNTEST/" + good.Headers[HeaderSignature][19:], ReasonBadSignature},
		"probe that is no base64":     {HeaderSignature, "WECHATPAY/SIGNTEST/x", ReasonBadSignature},
		"probe of another length":     {HeaderSignature, "WECHATPAY/SIGNTEST/" + good.Headers[HeaderSignature], ReasonBadSignature},
		"signature of line feeds":     {HeaderSignature, "\r\n\r\n", ReasonMalformedHeader},
		"signature type in lowercase": {HeaderSignatureType, "wechatpay2-sha256-rsa2048", ReasonMalformedHeader},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := good
			env.Headers = maps.Clone(good.Headers)
			env.Headers[tc.header] = tc.value
			_, err := VerifySignature(env, testKeyring(t), testAt)
			requireRejected(t, err, tc.want)
			require.NotContains(t, err.Error(), "ciphertext", "no body in errors")
			require.Less(t, len(err.Error()), 400)
		})
	}
}

func TestVerifySignature_takes_a_missing_signature_type_for_RSA(t *testing.T) {
	t.Parallel()
	env := newForge(t).envelope(t, testPlain)
	delete(env.Headers, HeaderSignatureType)
	id, err := VerifySignature(env, testKeyring(t), testAt)
	require.NoError(t, err)
	require.Equal(t, env.Headers[HeaderSerial], id)
}

func TestVerifySignature_accepts_less_than_five_minutes_either_way(t *testing.T) {
	t.Parallel()
	env, keys := newForge(t).envelope(t, testPlain), testKeyring(t)
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.OneOf(rapid.Int64Range(-302, 302), rapid.SampledFrom([]int64{-300, -299, 299, 300}), rapid.Int64Range(-1e9, 1e9)).Draw(t, "off")
		_, err := VerifySignature(env, keys, testAt.Add(time.Duration(off)*time.Second))
		if -300 < off && off < 300 {
			require.NoError(t, err)
			return
		}
		require.Equal(t, ReasonTimestamp, ReasonOf(err))
	})
}

func TestVerifySignature_looks_at_the_clock_before_keys_and_cryptography(t *testing.T) {
	t.Parallel()
	env := newForge(t).envelope(t, testPlain)
	_, err := VerifySignature(env, nil, testAt.Add(time.Hour))
	requireRejected(t, err, ReasonTimestamp)
	require.ErrorContains(t, err, "NTP")
	_, err = VerifySignature(env, nil, testAt)
	requireRejected(t, err, ReasonUnknownSerial)
}

func TestVerifySignature_uses_a_certificate_only_while_it_is_valid(t *testing.T) {
	t.Parallel()
	old := testKey(t, "gen_platform_a")
	for name, tc := range map[string]struct {
		at   time.Time
		want RejectReason
	}{
		"before":       {old.NotBefore.Add(-time.Second), ReasonUnknownSerial},
		"first second": {old.NotBefore, ""},
		"last second":  {old.NotAfter, ""},
		"after":        {old.NotAfter.Add(time.Second), ReasonUnknownSerial},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForge(t)
			f.signWith, f.serial, f.at = "gen_platform_a", old.SerialNo, tc.at
			_, err := VerifySignature(f.envelope(t, testPlain), testKeyring(t), tc.at)
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			requireRejected(t, err, tc.want)
		})
	}
}

func TestVerifySignature_takes_keys_that_come_later(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.signWith, f.serial = "gen_platform_b", testKey(t, "gen_platform_b").SerialNo
	env, keys := f.envelope(t, testPlain), merchant.NewKeyring(wechatKey(t, "gen_wechatpay_public_key"))
	_, err := VerifySignature(env, keys, testAt)
	requireRejected(t, err, ReasonUnknownSerial)
	keys.Put(wechatKey(t, "gen_platform_b"))
	_, err = VerifySignature(env, keys, testAt)
	require.NoError(t, err)
}

func TestVerifySignature_believes_no_changed_byte(t *testing.T) {
	t.Parallel()
	env, keys := newForge(t).envelope(t, testPlain), testKeyring(t)
	rapid.Check(t, func(t *rapid.T) {
		changed := env
		changed.Body = append([]byte(nil), env.Body...)
		i := rapid.IntRange(0, len(env.Body)-1).Draw(t, "at")
		changed.Body[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		_, err := VerifySignature(changed, keys, testAt)
		require.Equal(t, ReasonBadSignature, ReasonOf(err))
	})
}

func TestVerifySignature_reads_headers_in_any_case(t *testing.T) {
	t.Parallel()
	env := newForge(t).envelope(t, testPlain)
	lower := map[string]string{}
	for k, v := range env.Headers {
		lower[strings.ToLower(k)] = v
	}
	env.Headers = lower
	_, err := VerifySignature(env, testKeyring(t), testAt)
	require.NoError(t, err)
}

func TestVerifySignature_binds_the_timestamp(t *testing.T) {
	t.Parallel()
	env := newForge(t).envelope(t, testPlain)
	env.Headers[HeaderTimestamp] = strconv.FormatInt(testAt.Unix()+1, 10)
	_, err := VerifySignature(env, testKeyring(t), testAt)
	requireRejected(t, err, ReasonBadSignature)
}
