package wechatpay_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// TestClient_against_the_stand_in walks one order from certificates to the
// opened notification, over HTTP, under each kind of key.
func TestClient_against_the_stand_in(t *testing.T) {
	t.Parallel()
	for _, mode := range []simulator.KeyMode{simulator.KeyModePublicKey, simulator.KeyModePlatformCertificate} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			arrived := make(chan wechatpay.Envelope, 16)
			receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					w.WriteHeader(http.StatusBadRequest)
					return
				}
				env := wechatpay.Envelope{MchID: "1900000109", Kind: pay.DeliveryNotifyV3, ReceivedAt: time.Now(), Body: body, Headers: map[string]string{}}
				for _, name := range wechatpay.SignatureHeaders() {
					env.Headers[name] = r.Header.Get(name)
				}
				arrived <- env
				w.WriteHeader(http.StatusNoContent)
			}))
			t.Cleanup(receiver.Close)
			m, err := simulator.NewTestMerchant()
			require.NoError(t, err)
			platform, err := simulator.New(simulator.Options{Merchant: m, KeyMode: mode})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, platform.Close()) })
			server := httptest.NewServer(platform.Handler())
			t.Cleanup(server.Close)

			cred := &merchant.Credentials{
				Merchant:   merchant.Merchant{MchID: pay.MchID(m.Mchid), Serial: m.Serial},
				PrivateKey: m.PrivateKey, APIv3Keys: []merchant.Secret{merchant.Secret(m.APIv3Key)},
				Keyring: merchant.NewKeyring(),
			}
			if mode == simulator.KeyModePublicKey {
				cred.Keyring.Put(merchant.PublicKey{ID: m.PublicKeyID, Key: &m.WechatpayKey.PublicKey})
			}
			client, err := wechatpay.NewClient(cred, wechatpay.ClientOptions{BaseURL: server.URL})
			require.NoError(t, err)

			certificates, _, err := client.Certificates(t.Context())
			require.NoError(t, err)
			require.Len(t, certificates, 1)
			cred.Keyring.Put(certificates[0].Key)

			order := pay.Order{
				MchID: pay.MchID(m.Mchid), OutTradeNo: "T|20260101*1", AppID: pay.AppID(m.Appid), Client: pay.ClientJSAPI, Description: "茶",
				Amount: 100, Currency: pay.CNY, OpenID: "o-1", ExpiresAt: time.Now().Add(time.Hour),
			}
			_, err = client.QueryOrder(t.Context(), order)
			require.True(t, wechatpay.IsNotExist(err), "%v", err)
			order.PrepayRequest, err = client.PrepayBody(order, receiver.URL+"/notify/v3/1900000109")
			require.NoError(t, err)
			for range 2 { // the same bytes again are the same order
				order.Credential, _, err = client.Prepay(t.Context(), order)
				require.NoError(t, err)
			}
			_, err = wechatpay.ClientParams(order, cred, time.Now(), "")
			require.NoError(t, err)

			before, err := client.QueryOrder(t.Context(), order)
			require.NoError(t, err)
			require.Equal(t, wechatpay.TradeNotPay, before.State)
			_, err = platform.Pay(string(order.OutTradeNo), simulator.PayRequest{})
			require.NoError(t, err)
			after, err := client.QueryOrder(t.Context(), order)
			require.NoError(t, err)
			asked, _ := after.Observation(pay.SourceQuery)

			n, err := wechatpay.Open(<-arrived, cred)
			require.NoError(t, err)
			told, ok := n.Observation(pay.SourceNotification)
			require.True(t, ok)
			require.Equal(t, pay.ObservedPaid, told.Kind)
			told.Source, told.ObservedAt, told.KeyID = asked.Source, asked.ObservedAt, asked.KeyID
			require.Equal(t, asked, told, "both say the same")
		})
	}
}
