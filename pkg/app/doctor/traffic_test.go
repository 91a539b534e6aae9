package doctor_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/doctor"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// notified has a stand-in WeChat Pay post a notification of a payment, signed
// with the merchant's keys of then.
func (s *site) notified(mode simulator.KeyMode) wechatpay.Envelope {
	s.t.Helper()
	arrived := make(chan wechatpay.Envelope, 4)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		env := wechatpay.Envelope{MchID: mchid, Kind: pay.DeliveryNotifyV3, ReceivedAt: time.Now().UTC(), Body: body, Headers: map[string]string{}}
		for _, name := range wechatpay.SignatureHeaders() {
			env.Headers[name] = r.Header.Get(name)
		}
		arrived <- env
		w.WriteHeader(http.StatusNoContent)
	}))
	s.t.Cleanup(receiver.Close)
	platform, err := simulator.New(simulator.Options{Merchant: s.merchant, KeyMode: mode})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, platform.Close()) })
	server := httptest.NewServer(platform.Handler())
	s.t.Cleanup(server.Close)
	cred := &merchant.Credentials{
		Merchant: merchant.Merchant{MchID: mchid, Serial: s.merchant.Serial}, PrivateKey: s.merchant.PrivateKey,
		Keyring: merchant.NewKeyring(merchant.PublicKey{ID: s.merchant.PublicKeyID, Key: &s.merchant.WechatpayKey.PublicKey}),
	}
	cred.Keyring.Put(s.platformKey())
	client, err := wechatpay.NewClient(cred, wechatpay.ClientOptions{BaseURL: server.URL})
	require.NoError(s.t, err)
	o := pay.Order{MchID: mchid, OutTradeNo: "TRAFFIC-1", AppID: pay.AppID(s.merchant.Appid), Client: pay.ClientNative, Description: "tea", Amount: 100, Currency: pay.CNY, ExpiresAt: time.Now().Add(time.Hour)}
	o.PrepayRequest, err = client.PrepayBody(o, receiver.URL+"/notify/v3/"+mchid)
	require.NoError(s.t, err)
	_, _, err = client.Prepay(s.t.Context(), o)
	require.NoError(s.t, err)
	_, err = platform.Pay(string(o.OutTradeNo), simulator.PayRequest{})
	require.NoError(s.t, err)
	return <-arrived
}

func (s *site) platformKey() merchant.PublicKey {
	s.t.Helper()
	key, err := merchant.ParseCertificatePEM(s.merchant.PlatformCertificate)
	require.NoError(s.t, err)
	return key
}

// archived keeps a notification, as settling does; one that was not verified
// becomes a letter.
func (s *site) archived(env wechatpay.Envelope, keyID string, letter *pay.LetterCause) {
	s.t.Helper()
	books, err := store.Open(context.Background(), store.Config{URL: s.env["FENFLOW_POSTGRES_URL"], MaxConns: 1, Name: "doctor test"})
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, books.Close()) }()
	_, err = books.Settle(s.t.Context(), []pay.Entry{{Letter: letter, Delivery: &pay.Delivery{
		ID: pay.DeliveryID(uuid.Must(uuid.NewV7()).String()), MchID: env.MchID, Kind: env.Kind, ReceivedAt: env.ReceivedAt,
		Headers: env.Headers, Body: env.Body, KeyID: keyID, Position: pay.Position{Stream: "NOTIFY", Sequence: 1},
	}}}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(s.t, err)
}

func TestKeys_open_what_is_stored_or_it_is_told(t *testing.T) {
	t.Parallel()
	other, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	s := newSite(t).withPostgres("")
	s.books().is(doctor.Skipped, "keys.stored_traffic", mchid, "no notification of this merchant is stored yet")
	env := s.notified(simulator.KeyModePublicKey)
	for range 3 {
		s.archived(env, s.merchant.PublicKeyID, nil)
	}
	s.books().is(doctor.OK, "keys.stored_traffic", mchid, "the newest 3 are opened by the keys of now: 3 by "+s.merchant.PublicKeyID)

	apiKey := "secrets/apiv3.key"
	s.write(apiKey, other.APIv3Key)
	s.books().is(doctor.Fail, "keys.stored_traffic", mchid, "3 of the newest 3 are not opened by the keys of now (decrypt_failed)", "List the APIv3 key of then in api_v3_key_files")
	s.write("secrets/previous.key", s.merchant.APIv3Key)
	s.edit("- secrets/apiv3.key", "- secrets/apiv3.key\n        - secrets/previous.key")
	s.books().is(doctor.OK, "keys.stored_traffic", mchid)

	pem, err := merchant.PublicKey{ID: "x", Key: &other.WechatpayKey.PublicKey}.PEM()
	require.NoError(t, err)
	s.write("secrets/pub_key.pem", string(pem))
	s.books().is(doctor.Fail, "keys.stored_traffic", mchid, "(bad_signature)", "holds another key")
	s.edit(s.merchant.PublicKeyID, "PUB_KEY_ID_0000000000000000000000000000000001")
	s.books().is(doctor.Fail, "keys.stored_traffic", mchid, "(unknown_serial)", "Put the key back")
}

func TestKeys_platform_certificates_are_those_that_a_worker_fetched(t *testing.T) {
	t.Parallel()
	s := newSite(t).withPostgres("")
	env := s.notified(simulator.KeyModePlatformCertificate)
	key := s.platformKey()
	require.Equal(t, key.ID, env.Headers[wechatpay.HeaderSerial])
	s.archived(env, key.ID, nil)
	s.books().is(doctor.Fail, "keys.stored_traffic", mchid, "(unknown_serial)", "platform_certificates")
	books, err := store.Open(t.Context(), store.Config{URL: s.env["FENFLOW_POSTGRES_URL"], MaxConns: 1, Name: "doctor test"})
	require.NoError(t, err)
	defer func() { require.NoError(t, books.Close()) }()
	require.NoError(t, books.SavePlatformCertificates(t.Context(), mchid, []store.StoredCertificate{
		{Serial: key.ID, PEM: s.merchant.PlatformCertificate, EffectiveAt: key.NotBefore, ExpireAt: key.NotAfter, FetchedAt: time.Now()},
	}))
	s.books().is(doctor.OK, "keys.stored_traffic", mchid, "1 by "+key.ID)
}

func TestKeys_what_never_was_verified_is_a_matter_of_its_own(t *testing.T) {
	t.Parallel()
	s := newSite(t).withPostgres("")
	env := s.notified(simulator.KeyModePublicKey)
	s.archived(env, s.merchant.PublicKeyID, nil)
	forged := env
	forged.Body = []byte(strings.Replace(string(env.Body), "TRANSACTION", "TRANSACTI0N", 1))
	s.archived(forged, "", &pay.LetterCause{Reason: pay.LetterBadSignature, Detail: "x"})
	s.books().is(doctor.Warn, "keys.stored_traffic", mchid, "1 of the newest 2 were never verified", "fenflow dead-letter ls --reason bad_signature")
	unread := env
	unread.Body, unread.Headers = env.Body, env.Headers
	s.archived(unread, "", &pay.LetterCause{Reason: pay.LetterDecryptFailed, Detail: "x"}) // under a key that came back since
	f := s.books()
	f.is(doctor.Warn, "keys.stored_traffic", mchid, "1 of the newest 3")
}
