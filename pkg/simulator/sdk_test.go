package simulator_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/downloader"
	"github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/jsapi"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/native"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// certificates downloads the platform certificates as the SDK does.
func (b bench) certificates(t *testing.T) *downloader.CertificateDownloader {
	t.Helper()
	client, err := core.NewClient(context.Background(),
		option.WithMerchantCredential(b.merchant.Mchid, b.merchant.Serial, b.merchant.PrivateKey),
		option.WithoutValidator(), option.WithHTTPClient(b.httpClient()))
	require.NoError(t, err)
	d, err := downloader.NewCertificateDownloaderWithClient(context.Background(), client, b.merchant.APIv3Key)
	require.NoError(t, err)
	return d
}

// certificateClient is the official client in platform certificate mode.
func (b bench) certificateClient(t *testing.T) *core.Client {
	t.Helper()
	client, err := core.NewClient(context.Background(),
		option.WithMerchantCredential(b.merchant.Mchid, b.merchant.Serial, b.merchant.PrivateKey),
		option.WithVerifier(verifiers.NewSHA256WithRSAVerifier(b.certificates(t))),
		option.WithHTTPClient(b.httpClient()))
	require.NoError(t, err)
	return client
}

func (b bench) combined(t *testing.T) auth.Verifier {
	t.Helper()
	return verifiers.NewSHA256WithRSACombinedVerifier(b.certificates(t), b.merchant.PublicKeyID, b.merchant.WechatpayKey.PublicKey)
}

func (b bench) jsapiRequest(number, notifyURL string) jsapi.PrepayRequest {
	return jsapi.PrepayRequest{
		Appid: core.String(b.merchant.Appid), Mchid: core.String(b.merchant.Mchid),
		Description: core.String("Image形象店-深圳腾大-QQ公仔"), OutTradeNo: core.String(number),
		TimeExpire: core.Time(time.Now().Add(time.Hour)), Attach: core.String("shelf <3>]]>&"),
		NotifyUrl: core.String(notifyURL),
		Amount:    &jsapi.Amount{Total: core.Int64(100), Currency: core.String("CNY")},
		Payer:     &jsapi.Payer{Openid: core.String("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o")},
	}
}

func (b bench) nativeRequest(number, notifyURL string) native.PrepayRequest {
	return native.PrepayRequest{
		Appid: core.String(b.merchant.Appid), Mchid: core.String(b.merchant.Mchid), Description: core.String("tea"),
		OutTradeNo: core.String(number), NotifyUrl: core.String(notifyURL), Amount: &native.Amount{Total: core.Int64(250)},
	}
}

// TestSDK runs the official SDK, unmodified but for the address it dials, through
// the life of an order in both key modes.
func TestSDK(t *testing.T) {
	t.Parallel()
	modes := map[string]struct {
		notices simulator.KeyMode
		client  func(bench, *testing.T) *core.Client
		serial  func(simulator.Merchant) string
	}{
		"public key": {simulator.KeyModePublicKey, bench.sdk,
			func(m simulator.Merchant) string { return m.PublicKeyID }},
		"platform certificate": {simulator.KeyModePlatformCertificate, bench.certificateClient,
			func(m simulator.Merchant) string { return m.PlatformSerial }},
	}
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *simulator.Options) { o.KeyMode = mode.notices })
			shop := newReceiver(t, noContent)
			notifyURL := shop.url + "/notify/v3/" + b.merchant.Mchid
			service := jsapi.JsapiApiService{Client: mode.client(b, t)}

			prepaid, result, err := service.Prepay(t.Context(), b.jsapiRequest("order-1*|_a", notifyURL))
			require.NoError(t, err)
			require.Regexp(t, `^wx\d{14}[0-9a-f]{20}$`, *prepaid.PrepayId)
			require.Equal(t, mode.serial(b.merchant), result.Response.Header.Get("Wechatpay-Serial"))
			unpaid := b.query(t, service, "order-1*|_a")
			require.Equal(t, "NOTPAY", *unpaid.TradeState)

			payment, err := b.simulator.Pay("order-1*|_a", simulator.PayRequest{CouponFen: 5})
			require.NoError(t, err)
			b.settled(t)
			got := shop.all()
			require.Len(t, got, 1)
			require.Equal(t, mode.serial(b.merchant), got[0].header.Get("Wechatpay-Serial"))
			notified := b.parse(t, got[0])
			require.Equal(t, payment.TransactionID, *notified.TransactionId)

			require.Equal(t, notified.String(), b.query(t, service, "order-1*|_a").String(), "query and notification agree")
			byID, _, err := service.QueryOrderById(t.Context(), jsapi.QueryOrderByIdRequest{
				TransactionId: &payment.TransactionID, Mchid: &b.merchant.Mchid})
			require.NoError(t, err)
			require.Equal(t, notified.String(), byID.String())
			require.Equal(t, []int64{100, 95}, []int64{*byID.Amount.Total, *byID.Amount.PayerTotal})
			require.Equal(t, "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", *byID.Payer.Openid)
			require.Len(t, byID.PromotionDetail, 1)
		})
	}
}

func (b bench) query(t *testing.T, service jsapi.JsapiApiService, number string) *payments.Transaction {
	t.Helper()
	transaction, _, err := service.QueryOrderByOutTradeNo(t.Context(), jsapi.QueryOrderByOutTradeNoRequest{
		OutTradeNo: &number, Mchid: &b.merchant.Mchid})
	require.NoError(t, err)
	return transaction
}

func (b bench) parse(t *testing.T, r received) *payments.Transaction {
	t.Helper()
	transaction := &payments.Transaction{}
	require.NoError(t, b.parseInto(t, r, transaction))
	return transaction
}

// parseInto verifies and decrypts as the SDK's notification handler does.
func (b bench) parseInto(t *testing.T, r received, into any) error {
	t.Helper()
	handler, err := notify.NewRSANotifyHandler(b.merchant.APIv3Key, b.combined(t))
	require.NoError(t, err)
	request, err := handler.ParseNotifyRequest(t.Context(), r.request(), into)
	if err == nil {
		require.Equal(t, "TRANSACTION.SUCCESS", request.EventType)
		require.LessOrEqual(t, len(request.ID), 36)
	}
	return err
}

func TestNative(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	service := native.NativeApiService{Client: b.sdk(t)}
	answer, _, err := service.Prepay(t.Context(), b.nativeRequest("native-1", "https://shop.example/n"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(*answer.CodeUrl, "weixin://wxpay/bizpayurl?pr="))

	paid, err := b.simulator.Pay("native-1", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	require.Regexp(t, `^o[\w-]{27}$`, paid.Openid, "a Native order is paid by an invented user")
	require.Regexp(t, `^4200\d{24}$`, paid.TransactionID)
	require.Empty(t, b.simulator.Deliveries(""), "notify none posts nothing")
}

func TestClose(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	service := jsapi.JsapiApiService{Client: b.sdk(t)}
	shut := func(number string) error {
		_, err := service.CloseOrder(t.Context(), jsapi.CloseOrderRequest{OutTradeNo: &number, Mchid: &b.merchant.Mchid})
		return err
	}
	require.NoError(t, shut("never-placed"), "an unknown number closes")
	_, _, err := service.Prepay(t.Context(), b.jsapiRequest("closed-1", "https://shop.example/n"))
	require.NoError(t, err)
	require.NoError(t, shut("closed-1"))
	require.NoError(t, shut("closed-1"), "closing is repeatable")
	require.Equal(t, "CLOSED", *b.query(t, service, "closed-1").TradeState)

	_, _, err = service.Prepay(t.Context(), b.jsapiRequest("closed-1", "https://shop.example/n"))
	requireCode(t, err, http.StatusBadRequest, "ORDER_CLOSED")
	_, err = b.simulator.Pay("closed-1", simulator.PayRequest{})
	require.ErrorContains(t, err, "closed")
}

func TestReentry(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	service := jsapi.JsapiApiService{Client: b.sdk(t)}
	request := b.jsapiRequest("again-1", "https://shop.example/n")
	first, _, err := service.Prepay(t.Context(), request)
	require.NoError(t, err)
	second, _, err := service.Prepay(t.Context(), request)
	require.NoError(t, err)
	require.NotEqual(t, *first.PrepayId, *second.PrepayId, "the same parameters get a fresh credential")
	require.Len(t, b.simulator.Ledger().Orders, 1)

	other := request
	other.Amount = &jsapi.Amount{Total: core.Int64(101), Currency: core.String("CNY")}
	_, result, err := service.Prepay(t.Context(), other)
	requireCode(t, err, http.StatusBadRequest, "INVALID_REQUEST")
	require.Regexp(t, `-268498688$`, result.Response.Header.Get("Request-Id"))
	nativeService := native.NativeApiService{Client: b.sdk(t)}
	_, _, err = nativeService.Prepay(t.Context(), b.nativeRequest("again-1", "https://shop.example/n"))
	requireCode(t, err, http.StatusBadRequest, "INVALID_REQUEST")

	_, err = b.simulator.Pay("again-1", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	_, _, err = service.Prepay(t.Context(), request)
	requireCode(t, err, http.StatusBadRequest, "ORDERPAID")
	_, err = service.CloseOrder(t.Context(), jsapi.CloseOrderRequest{OutTradeNo: request.OutTradeNo, Mchid: request.Mchid})
	requireCode(t, err, http.StatusBadRequest, "ORDERPAID")
}

func requireCode(t *testing.T, err error, status int, code string) {
	t.Helper()
	var refused *core.APIError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, status, refused.StatusCode)
	require.Equal(t, code, refused.Code)
}

func TestQueryOfAnUnknownOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	service := jsapi.JsapiApiService{Client: b.sdk(t)}
	_, _, err := service.QueryOrderByOutTradeNo(t.Context(), jsapi.QueryOrderByOutTradeNoRequest{
		OutTradeNo: core.String("nothing-here"), Mchid: &b.merchant.Mchid})
	requireCode(t, err, http.StatusNotFound, "ORDER_NOT_EXIST")
	_, _, err = service.QueryOrderById(t.Context(), jsapi.QueryOrderByIdRequest{
		TransactionId: core.String("4200000000000000000000000000"), Mchid: core.String("1900000000")})
	requireCode(t, err, http.StatusBadRequest, "INVALID_REQUEST")
}

func (b bench) jsapi(t *testing.T) *jsapi.JsapiApiService {
	t.Helper()
	return &jsapi.JsapiApiService{Client: b.sdk(t)}
}
