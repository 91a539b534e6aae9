package simulator_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/services/certificates"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/app"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/h5"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/jsapi"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/native"
	"github.com/wechatpay-apiv3/wechatpay-go/services/refunddomestic"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// TestSDK_whole_life takes one unmodified client of the official SDK through
// everything that a shop does, in each key mode.
func TestSDK_whole_life(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		notices simulator.KeyMode
		client  func(bench, *testing.T) *core.Client
	}{
		{simulator.KeyModePublicKey, bench.sdk},
		{simulator.KeyModePlatformCertificate, bench.certificateClient},
	} {
		t.Run(string(mode.notices), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, held, func(o *simulator.Options) { o.KeyMode = mode.notices })
			shop := newReceiver(t, noContent)
			client, notifyURL := mode.client(b, t), b.notifyURL(shop)

			listed, _, err := (&certificates.CertificatesApiService{Client: client}).DownloadCertificates(t.Context())
			require.NoError(t, err)
			require.Equal(t, b.merchant.PlatformSerial, *listed.Data[0].SerialNo)

			forPages := jsapi.JsapiApiService{Client: client}
			_, _, err = forPages.Prepay(t.Context(), b.jsapiRequest("life-jsapi", notifyURL))
			require.NoError(t, err)
			_, _, err = (&native.NativeApiService{Client: client}).Prepay(t.Context(), b.nativeRequest("life-native", notifyURL))
			require.NoError(t, err)
			_, _, err = (&h5.H5ApiService{Client: client}).Prepay(t.Context(), b.h5Request("life-h5", notifyURL))
			require.NoError(t, err)
			_, _, err = (&app.AppApiService{Client: client}).Prepay(t.Context(), app.PrepayRequest{
				Appid: &b.merchant.Appid, Mchid: &b.merchant.Mchid, Description: core.String("tea"),
				OutTradeNo: core.String("life-app"), NotifyUrl: &notifyURL, Amount: &app.Amount{Total: core.Int64(100)}})
			require.NoError(t, err)
			for _, number := range []string{"life-jsapi", "life-native", "life-h5", "life-app"} {
				require.Equal(t, "NOTPAY", *b.query(t, forPages, number).TradeState)
			}
			_, err = forPages.CloseOrder(t.Context(), jsapi.CloseOrderRequest{OutTradeNo: core.String("life-native"), Mchid: &b.merchant.Mchid})
			require.NoError(t, err)
			require.Equal(t, "CLOSED", *b.query(t, forPages, "life-native").TradeState)

			paid, err := b.simulator.Pay("life-jsapi", simulator.PayRequest{})
			require.NoError(t, err)
			b.settled(t)
			require.Equal(t, paid.TransactionID, *b.parse(t, shop.all()[0]).TransactionId)

			refunds := refunddomestic.RefundsApiService{Client: client}
			_, _, err = refunds.Create(t.Context(), refundOf("life-jsapi", "life-refund", 100))
			require.NoError(t, err)
			_, _, err = b.simulator.SettleRefund("life-refund", simulator.RefundOutcome{Status: simulator.RefundSuccess})
			require.NoError(t, err)
			found, _, err := refunds.QueryByOutRefundNo(t.Context(), refunddomestic.QueryByOutRefundNoRequest{OutRefundNo: core.String("life-refund")})
			require.NoError(t, err)
			require.Equal(t, "SUCCESS", string(*found.Status))
			b.settled(t)
			_, told := b.parseRefund(t, shop.all()[1])
			require.Equal(t, *found.RefundId, told.RefundID)
		})
	}
}
