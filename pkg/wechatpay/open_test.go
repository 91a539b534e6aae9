package wechatpay

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

func TestOpen_reads_a_payment(t *testing.T) {
	t.Parallel()
	env := newForge(t).envelope(t, testPlain)
	n, err := Open(env, testCredentials(t))
	require.NoError(t, err)
	obs, ok := n.Observation(pay.SourceNotification)
	require.True(t, ok)
	require.Equal(t, pay.Observation{
		Kind: pay.ObservedPaid, Source: pay.SourceNotification, ObservedAt: testAt, DeliveryID: env.DeliveryID,
		KeyID: "PUB_KEY_ID_0114232134912410000000000000", MchID: testMchID, AppID: "wx8888888888888888",
		OutTradeNo: "T20260101000001", TransactionID: "4200002567202601011234567890", Amount: 100, PayerTotal: 95,
		Currency: pay.CNY, PaidAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), OpenID: "o-1", TradeType: "JSAPI", BankType: "CMB_DEBIT",
	}, obs)
	require.Equal(t, obs.OutTradeNo, n.OutTradeNo())
	require.Equal(t, obs.TransactionID, n.TransactionID())
}

func TestOpen_verifies_against_the_time_of_receipt_and_not_against_today(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.at = testAt.AddDate(-1, 0, 0)
	env := f.envelope(t, testPlain)
	_, err := Open(env, testCredentials(t))
	requireRejected(t, err, ReasonTimestamp)
	env.ReceivedAt = f.at
	_, err = Open(env, testCredentials(t))
	require.NoError(t, err)
}

func TestOpen_decrypts(t *testing.T) {
	t.Parallel()
	const previous = merchant.Secret("0123456789abcdef0123456789abcdef")
	set := func(name string, value any) func(map[string]any) { return func(r map[string]any) { r[name] = value } }
	for name, tc := range map[string]struct {
		change func(*forge)
		keys   []merchant.Secret
		want   RejectReason
	}{
		"under the current key":          {nil, nil, ""},
		"under the previous key":         {func(f *forge) { f.apiV3Key = previous.Reveal() }, []merchant.Secret{testAPIv3Key, previous}, ""},
		"not under another key":          {func(f *forge) { f.apiV3Key = previous.Reveal() }, nil, ReasonDecryptFailed},
		"not without a key":              {nil, []merchant.Secret{}, ReasonDecryptFailed},
		"not under a key of 16 bytes":    {func(f *forge) { f.apiV3Key = testAPIv3Key[:16] }, []merchant.Secret{merchant.Secret(testAPIv3Key[:16])}, ReasonDecryptFailed},
		"not under a key of 24 bytes":    {func(f *forge) { f.apiV3Key = testAPIv3Key[:24] }, []merchant.Secret{merchant.Secret(testAPIv3Key[:24])}, ReasonDecryptFailed},
		"without associated data":        {func(f *forge) { f.aad = "" }, nil, ""},
		"not with a nonce of 11 bytes":   {func(f *forge) { f.nonce = "fdasflkja48" }, nil, ReasonDecryptFailed},
		"not with a nonce of 13 bytes":   {func(f *forge) { f.nonce = "fdasflkja4844" }, nil, ReasonDecryptFailed},
		"not with a nonce of 16 bytes":   {func(f *forge) { f.nonce = "fdasflkja4844444" }, nil, ReasonDecryptFailed},
		"not without a nonce":            {func(f *forge) { f.resource = set("nonce", "") }, nil, ReasonDecryptFailed},
		"not without a ciphertext":       {func(f *forge) { f.resource = set("ciphertext", "") }, nil, ReasonDecryptFailed},
		"not a ciphertext of 15 bytes":   {func(f *forge) { f.resource = set("ciphertext", "AAAAAAAAAAAAAAAAAAAA") }, nil, ReasonDecryptFailed},
		"not a tag and nothing else":     {func(f *forge) { f.resource = set("ciphertext", "AAAAAAAAAAAAAAAAAAAAAA==") }, nil, ReasonDecryptFailed},
		"not what is no base64":          {func(f *forge) { f.resource = set("ciphertext", "%%%") }, nil, ReasonDecryptFailed},
		"not with other associated data": {func(f *forge) { f.resource = set("associated_data", "refund") }, nil, ReasonDecryptFailed},
		"not with another algorithm":     {func(f *forge) { f.resource = set("algorithm", "AEAD_SM4_GCM") }, nil, ReasonMalformed},
		"not what has another type":      {func(f *forge) { f.resource = set("nonce", 12) }, nil, ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, cred := newForge(t), testCredentials(t)
			if tc.change != nil {
				tc.change(&f)
			}
			if tc.keys != nil {
				cred.APIv3Keys = tc.keys
			}
			_, err := Open(f.envelope(t, testPlain), cred)
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			requireRejected(t, err, tc.want)
			require.NotContains(t, err.Error(), testAPIv3Key[:16])
		})
	}
}

func TestOpen_refuses_a_genuine_message_that_cannot_be_booked(t *testing.T) {
	t.Parallel()
	with := func(old, changed string) string { return strings.Replace(testPlain, old, changed, 1) }
	for name, tc := range map[string]struct {
		plain string
		want  RejectReason
	}{
		"not JSON":                   {"hello", ReasonMalformed},
		"an array":                   {"[]", ReasonMalformed},
		"null":                       {"null", ReasonMalformed},
		"empty":                      {"", ReasonMalformed},
		"another merchant":           {with(`"1900000109"`, `"1900000110"`), ReasonMismatch},
		"a float for an amount":      {with(`"total":100`, `"total":100.5`), ReasonMalformed},
		"a string for an amount":     {with(`"total":100`, `"total":"100"`), ReasonMalformed},
		"a negative amount":          {with(`"total":100`, `"total":-100`), ReasonMalformed},
		"a huge amount":              {with(`"total":100`, `"total":9223372036854775808`), ReasonMalformed},
		"no amount":                  {with(`"total":100,`, ``), ReasonMalformed},
		"no transaction_id":          {with(`"transaction_id":"4200002567202601011234567890",`, ``), ReasonMalformed},
		"no out_trade_no":            {with(`"out_trade_no":"T20260101000001",`, ``), ReasonMalformed},
		"a NUL in out_trade_no":      {with(`T20260101000001`, `T2026\u0000`), ReasonMalformed},
		"a NUL in openid":            {with(`o-1`, `o\u0000`), ReasonMalformed},
		"a long transaction_id":      {with(`4200002567`, strings.Repeat("4", 60)), ReasonMalformed},
		"no success_time":            {with(`"success_time":"2026-01-01T08:00:00+08:00",`, ``), ReasonMalformed},
		"a success_time of words":    {with(`2026-01-01T08:00:00+08:00`, `today`), ReasonMalformed},
		"no appid":                   {with(`"appid":"wx8888888888888888",`, ``), ReasonMalformed},
		"an unlikely deep structure": {strings.Repeat("[", 20000), ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(newForge(t).envelope(t, tc.plain), testCredentials(t))
			requireRejected(t, err, tc.want)
			require.NotContains(t, err.Error(), "o-1", "no content in errors")
		})
	}
}

func TestOpen_lets_wrong_money_through_because_it_is_money(t *testing.T) {
	t.Parallel()
	plain := strings.Replace(testPlain, `"total":100,"payer_total":95`, `"total":1`, 1)
	n, err := Open(newForge(t).envelope(t, plain), testCredentials(t))
	require.NoError(t, err)
	require.Equal(t, pay.Fen(1), n.Transaction.Total)
	require.Equal(t, pay.Fen(1), n.Transaction.PayerTotal)
}

func TestOpen_reads_times_with_fractions_and_defaults_the_currency(t *testing.T) {
	t.Parallel()
	plain := strings.NewReplacer("08:00:00+08:00", "08:00:00.120+08:00", `,"currency":"CNY"`, "").Replace(testPlain)
	n, err := Open(newForge(t).envelope(t, plain), testCredentials(t))
	require.NoError(t, err)
	require.Equal(t, pay.CNY, n.Transaction.Currency)
	require.Equal(t, 120*time.Millisecond, time.Duration(n.Transaction.PaidAt.Nanosecond()))
}

func TestOpen_states_mean(t *testing.T) {
	t.Parallel()
	for state, want := range map[TradeState]pay.ObservationKind{
		TradeSuccess: pay.ObservedPaid, TradeRefund: pay.ObservedPaid, TradeClosed: pay.ObservedClosed, TradeRevoked: pay.ObservedClosed,
		TradeNotPay: pay.ObservedOpen, TradeUserPaying: pay.ObservedOpen, TradePayError: pay.ObservedOpen, TradeAccept: pay.ObservedOpen, "NEW": pay.ObservedOpen,
	} {
		n, err := Open(newForge(t).envelope(t, strings.Replace(testPlain, `"SUCCESS"`, `"`+string(state)+`"`, 1)), testCredentials(t))
		require.NoError(t, err)
		obs, ok := n.Observation(pay.SourceNotification)
		require.True(t, ok)
		require.Equal(t, want, obs.Kind, state)
		require.Equal(t, want == pay.ObservedPaid, obs.Amount > 0)
	}
}

func TestOpen_refuses_what_is_not_an_envelope_of_this_merchant(t *testing.T) {
	t.Parallel()
	good := newForge(t).envelope(t, testPlain)
	alter := func(f func(*Envelope)) Envelope {
		env := good
		f(&env)
		return env
	}
	for name, tc := range map[string]struct {
		env  Envelope
		cred *merchant.Credentials
		want RejectReason
	}{
		"nothing":               {Envelope{}, testCredentials(t), ReasonUnknownMerchant},
		"no credentials":        {good, nil, ReasonUnknownMerchant},
		"empty credentials":     {alter(func(e *Envelope) { e.MchID = "" }), &merchant.Credentials{}, ReasonUnknownSerial},
		"another merchant":      {alter(func(e *Envelope) { e.MchID = "1900000110" }), testCredentials(t), ReasonUnknownMerchant},
		"another kind":          {alter(func(e *Envelope) { e.Kind = pay.DeliveryAnswer }), testCredentials(t), ReasonMalformed},
		"no kind":               {alter(func(e *Envelope) { e.Kind = "" }), testCredentials(t), ReasonMalformed},
		"too much":              {alter(func(e *Envelope) { e.Body = bytes.Repeat([]byte(" "), MaxBodyBytes+1) }), testCredentials(t), ReasonBodyTooLarge},
		"as much as is allowed": {alter(func(e *Envelope) { e.Body = bytes.Repeat([]byte(" "), MaxBodyBytes) }), testCredentials(t), ReasonBadSignature},
		"v2 bytes as v3":        {alter(func(e *Envelope) { e.Kind = pay.DeliveryNotifyV2Pay }), testCredentials(t), ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, err := Open(tc.env, tc.cred)
			requireRejected(t, err, tc.want)
			require.Zero(t, n)
		})
	}
}

func TestOpen_refuses_signed_bodies_that_are_no_notification(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"", "null", "{}", "[]", "1", `"x"`, `{"id":"1","event_type":"E"}`, `{"id":"1","event_type":"E","resource":null}`,
		`{"id":"1","event_type":"E","resource":[]}`, `{"id":1}`, `{"id":"","event_type":"E","resource":{}}`,
		`{"id":"` + strings.Repeat("1", 65) + `","event_type":"E","resource":{}}`, strings.Repeat(`{"a":`, 20000),
		`{"id":"1","event_type":"E","create_time":"today","resource":{}}`,
	} {
		_, err := Open(newForge(t).sign(t, []byte(body)), testCredentials(t))
		requireRejected(t, err, ReasonMalformed)
	}
}

func TestLetterCauseOf_knows_every_reason(t *testing.T) {
	t.Parallel()
	for _, reason := range RejectReasons() {
		cause := LetterCauseOf(reject(reason, "why"))
		require.NotEqual(t, pay.LetterInternal, cause.Reason, reason)
		require.Equal(t, string(reason)+": why", cause.Detail)
	}
	require.Equal(t, pay.LetterInternal, LetterCauseOf(errors.New("disk")).Reason)
	require.Empty(t, ReasonOf(errors.New("disk")))
}
