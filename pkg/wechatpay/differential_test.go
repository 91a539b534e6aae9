package wechatpay

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/services/refunddomestic"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// oracle is the official SDK, set up with the same keys. It knows the clock of
// the moment only, so these tests sign with it.
type oracle struct{ handler *notify.Handler }

func newOracle(t *testing.T) oracle {
	t.Helper()
	block, _ := pem.Decode([]byte(testKey(t, "gen_platform_b").Cert))
	certificate, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	public := wechatKey(t, "gen_wechatpay_public_key")
	handler, err := notify.NewRSANotifyHandler(testAPIv3Key, verifiers.NewSHA256WithRSACombinedVerifier(
		core.NewCertificateMapWithList([]*x509.Certificate{certificate}), public.ID, *public.Key))
	require.NoError(t, err)
	return oracle{handler}
}

// accepts says what the SDK makes of an envelope. It panics on nonces that are
// not 12 bytes and on a missing resource; that is a refusal.
func (o oracle) accepts(env Envelope) (content map[string]any, ok bool) {
	defer func() {
		if recover() != nil {
			content, ok = nil, false
		}
	}()
	header := http.Header{}
	for name, value := range env.Headers {
		header.Set(name, value)
	}
	request := &http.Request{Method: http.MethodPost, Header: header, Body: io.NopCloser(strings.NewReader(string(env.Body)))}
	_, err := o.handler.ParseNotifyRequest(context.Background(), request, &content)
	return content, err == nil
}

// timelessCredentials: the SDK does not look at a certificate's validity.
func timelessCredentials(t *testing.T) *merchant.Credentials {
	t.Helper()
	cred := testCredentials(t)
	keys := cred.Keyring.All()
	for i := range keys {
		keys[i].NotBefore, keys[i].NotAfter = time.Time{}, time.Time{}
	}
	cred.Keyring.Replace(keys...)
	return cred
}

// sameVerdict compares both. We may be stricter, never more lenient, and
// stricter only about shapes that WeChat Pay does not send.
func sameVerdict(t *testing.T, o oracle, cred *merchant.Credentials, env Envelope) (stricter bool) {
	t.Helper()
	_, err := Open(env, cred)
	_, theirs := o.accepts(env)
	if err == nil {
		require.True(t, theirs, "we accept what the SDK refuses: %v %s", env.Headers, env.Body)
		return false
	}
	if !theirs {
		return false
	}
	require.Contains(t, []RejectReason{ReasonMalformed, ReasonMalformedHeader, ReasonMismatch}, ReasonOf(err), "%v %v %s", err, env.Headers, env.Body)
	return true
}

func currentForge(t *testing.T, r *rand.Rand) forge {
	t.Helper()
	f := newForge(t)
	if r.IntN(2) == 0 {
		f.signWith, f.serial = "gen_platform_b", testKey(t, "gen_platform_b").SerialNo
	}
	f.at = time.Now()
	return f
}

func (f forge) current(t *testing.T, plain string) Envelope {
	t.Helper()
	env := f.envelope(t, plain)
	env.ReceivedAt = f.at
	return env
}

func newSource(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// mutate changes a text in one of the ways in which bytes go wrong.
func mutate(r *rand.Rand, text string) string {
	if text == "" {
		return "x"
	}
	i := r.IntN(len(text))
	switch r.IntN(6) {
	case 0:
		return text[:i] + string(rune('!'+r.IntN(94))) + text[i+1:]
	case 1:
		return text[:i] + text[i+1:]
	case 2:
		return text[:i] + string(rune('!'+r.IntN(94))) + text[i:]
	case 3:
		return text[:i]
	case 4:
		return text[i:] + text[:i]
	default:
		return text + text[:i]
	}
}

func TestDifferential_changed_after_signing(t *testing.T) {
	t.Parallel()
	r, o, cred := newSource(t), newOracle(t), timelessCredentials(t)
	var good Envelope
	for i := range 4000 {
		if i%1000 == 0 { // a fresh clock: the SDK compares with the moment
			good = currentForge(t, r).current(t, testPlain)
			require.False(t, sameVerdict(t, o, cred, good))
			_, ok := o.accepts(good)
			require.True(t, ok)
		}
		env := good
		env.Headers = maps.Clone(good.Headers)
		switch name := SignatureHeaders()[r.IntN(5)]; r.IntN(4) {
		case 0:
			env.Body = []byte(mutate(r, string(good.Body)))
		case 1:
			delete(env.Headers, name)
		case 2:
			env.Headers[name] = env.Headers[SignatureHeaders()[r.IntN(5)]]
		default:
			env.Headers[name] = mutate(r, env.Headers[name])
		}
		sameVerdict(t, o, cred, env)
	}
}

func TestDifferential_changed_before_signing(t *testing.T) {
	t.Parallel()
	r, o, cred := newSource(t), newOracle(t), timelessCredentials(t)
	stricter := 0
	values := []any{nil, "", 0, 1.5, true, []any{}, map[string]any{}, "AEAD_AES_256_GCM", "x", strings.Repeat("y", 12), "AAAAAAAAAAAAAAAAAAAAAA=="}
	const rounds = 800
	for range rounds {
		f := currentForge(t, r)
		env := f.current(t, testPlain)
		var notice map[string]any
		require.NoError(t, json.Unmarshal(env.Body, &notice))
		target := notice
		if resource, ok := notice["resource"].(map[string]any); ok && r.IntN(2) == 0 {
			target = resource
		}
		names := make([]string, 0, len(target))
		for name := range target {
			names = append(names, name)
		}
		name := names[r.IntN(len(names))]
		if r.IntN(3) == 0 {
			delete(target, name)
		} else {
			target[name] = values[r.IntN(len(values))]
		}
		body, err := json.Marshal(notice)
		require.NoError(t, err)
		if r.IntN(3) == 0 {
			body = []byte(mutate(r, string(body)))
		}
		again := f.sign(t, body)
		again.ReceivedAt = f.at
		if sameVerdict(t, o, cred, again) {
			stricter++
		}
	}
	t.Logf("stricter in %d of %d", stricter, rounds)
	require.Less(t, stricter, rounds/4)
}

func TestDifferential_changed_before_encrypting(t *testing.T) {
	t.Parallel()
	r, o, cred := newSource(t), newOracle(t), timelessCredentials(t)
	for range 800 {
		f := currentForge(t, r)
		plain := testPlain
		if r.IntN(8) != 0 {
			plain = mutate(r, plain)
		}
		if r.IntN(4) == 0 {
			f.nonce = mutate(r, f.nonce)
		}
		if len(f.nonce) == 0 || len(f.nonce) > 24 {
			continue
		}
		env := f.current(t, plain)
		sameVerdict(t, o, cred, env)
		n, err := Open(env, cred)
		content, _ := o.accepts(env)
		if err != nil {
			continue
		}
		amount, ok := folded(content, "amount").(map[string]any)
		require.True(t, ok)
		require.InDelta(t, folded(amount, "total"), int64(n.Transaction.Total), 0)
		for name, ours := range map[string]string{
			"out_trade_no": string(n.Transaction.OutTradeNo), "transaction_id": string(n.Transaction.TransactionID),
			"appid": string(n.Transaction.AppID), "trade_state": string(n.Transaction.State), "mchid": string(n.Transaction.MchID),
		} {
			require.Equal(t, fmt.Sprint(folded(content, name)), ours)
		}
	}
}

// folded finds a field as encoding/json does for a struct, whatever its case:
// the SDK's own models read a mutated "trade_sTate" as we do, a map does not.
func folded(content map[string]any, name string) any {
	for key, value := range content {
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return nil
}

func TestDifferential_where_we_are_stricter_on_purpose(t *testing.T) {
	t.Parallel()
	r, o, cred := newSource(t), newOracle(t), timelessCredentials(t)
	for _, prefix := range []string{"+", "0"} {
		env := currentForge(t, r).current(t, testPlain)
		env.Headers[HeaderTimestamp] = prefix + env.Headers[HeaderTimestamp]
		require.True(t, sameVerdict(t, o, cred, env), "a timestamp that does not read back as written")
	}
	env := currentForge(t, r).current(t, strings.Replace(testPlain, `"1900000109"`, `"1900000110"`, 1))
	require.True(t, sameVerdict(t, o, cred, env), "another merchant's payment")
}

// TestDifferential_refunds_as_the_SDK_models_them: what we send is what its
// request model would send, and we read what its answer model reads.
func TestDifferential_refunds_as_the_SDK_models_them(t *testing.T) {
	t.Parallel()
	r, c := newSource(t), newClient(t, ClientOptions{})
	for range 200 {
		ask := testRefund(pay.ProtocolV3)
		ask.Total = pay.Fen(1 + r.IntN(1_000_000))
		ask.Amount = 1 + pay.Fen(r.Int64N(int64(ask.Total)))
		ask.Reason = []string{"", "茶 <b> & more", strings.Repeat("茶", 80)}[r.IntN(3)]
		ask.Funds = []string{pay.FundsDefault, pay.FundsAvailable}[r.IntN(2)]
		ask.NotifyURL = []string{"", "https://pay.example.com/notify/v3/1900000109"}[r.IntN(2)]
		if r.IntN(2) == 0 {
			ask.TransactionID = ""
		}
		body, err := c.RefundBody(ask)
		require.NoError(t, err)
		var model refunddomestic.CreateRequest
		decoder := json.NewDecoder(strings.NewReader(string(body)))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(&model))
		again, err := json.Marshal(model)
		require.NoError(t, err)
		require.JSONEq(t, string(again), string(body))
		require.Equal(t, int64(ask.Amount), *model.Amount.Refund)
		require.Equal(t, int64(ask.Total), *model.Amount.Total)
		require.Equal(t, string(ask.OutRefundNo), *model.OutRefundNo)
	}
	var theirs refunddomestic.Refund
	require.NoError(t, json.Unmarshal([]byte(testRefundAnswer), &theirs))
	ours, rejected := parseRefund([]byte(testRefundAnswer))
	require.Nil(t, rejected)
	require.Equal(t, []any{*theirs.RefundId, *theirs.OutRefundNo, *theirs.TransactionId, *theirs.OutTradeNo, string(*theirs.Status), *theirs.UserReceivedAccount, *theirs.Amount.Refund, *theirs.Amount.Total},
		[]any{ours.RefundID, string(ours.OutRefundNo), string(ours.TransactionID), string(ours.OutTradeNo), string(ours.Status), ours.ReceivedAccount, int64(ours.Amount), int64(ours.Total)})
	require.True(t, theirs.SuccessTime.Equal(ours.SucceededAt))
}
