package wechatpay_test

import (
	"crypto/x509"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// stand is the stand-in platform behind TLS, and a client of its merchant.
type stand struct {
	platform *simulator.Simulator
	merchant simulator.Merchant
	cred     *merchant.Credentials
	url      string
	roots    *x509.CertPool
	client   *wechatpay.Client
	protocol pay.Protocol
}

func newStand(t *testing.T, protocol pay.Protocol, change ...func(*simulator.Options, *merchant.Credentials)) stand {
	t.Helper()
	m, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	certificate, err := merchant.ParseClientCertificate(m.Certificate, m.PrivateKey)
	require.NoError(t, err)
	s := stand{merchant: m, protocol: protocol, roots: x509.NewCertPool()}
	require.True(t, s.roots.AppendCertsFromPEM(m.CACertificate))
	s.cred = &merchant.Credentials{
		Merchant: merchant.Merchant{MchID: pay.MchID(m.Mchid)}, ClientCertificate: certificate,
		APIv2Keys: []merchant.Secret{merchant.Secret(m.APIv2Key)}, Keyring: merchant.NewKeyring(),
	}
	if protocol == pay.ProtocolV3 {
		s.cred.Merchant.Serial, s.cred.PrivateKey = m.Serial, m.PrivateKey
		s.cred.APIv3Keys, s.cred.APIv2Keys = []merchant.Secret{merchant.Secret(m.APIv3Key)}, nil
		s.cred.Keyring.Put(merchant.PublicKey{ID: m.PublicKeyID, Key: &m.WechatpayKey.PublicKey})
	}
	options := simulator.Options{Merchant: m, Speed: 1e4}
	for _, c := range change {
		c(&options, s.cred)
	}
	s.platform, err = simulator.New(options)
	require.NoError(t, err)
	config, err := s.platform.TLSConfig()
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(s.platform.Handler())
	server.TLS, server.EnableHTTP2 = config, true
	server.StartTLS()
	s.url = server.URL
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, s.platform.Close())
	})
	s.client = s.connect(t)
	return s
}

func (s stand) connect(t *testing.T) *wechatpay.Client {
	t.Helper()
	client, err := wechatpay.NewClient(s.cred, wechatpay.ClientOptions{BaseURL: s.url, RootCAs: s.roots})
	require.NoError(t, err)
	return client
}

func (s stand) order(t *testing.T, number, notifyURL string, kind pay.Client) pay.Order {
	t.Helper()
	o := pay.Order{
		MchID: s.cred.Merchant.MchID, OutTradeNo: pay.OutTradeNo(number), AppID: pay.AppID(s.merchant.Appid), Client: kind, Protocol: s.protocol,
		Description: "茶 <b> & ]]>", Attach: "a'&\"<", Amount: 100, Currency: pay.CNY, OpenID: "o-1", ExpiresAt: time.Now().Add(time.Hour),
		Scene: pay.Scene{PayerClientIP: "203.0.113.7", Type: pay.H5iOS, AppName: "茶", BundleID: "com.example.tea"},
	}
	var err error
	o.PrepayRequest, err = s.client.PrepayBody(o, notifyURL)
	require.NoError(t, err)
	return o
}

// paid places an order and pays it, and nobody is told.
func (s stand) paid(t *testing.T, number string) (pay.Order, pay.TransactionID) {
	t.Helper()
	o := s.order(t, number, "http://127.0.0.1:1/notify", pay.ClientJSAPI)
	_, _, err := s.client.Prepay(t.Context(), o)
	require.NoError(t, err)
	payment, err := s.platform.Pay(number, simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	return o, pay.TransactionID(payment.TransactionID)
}

func (s stand) refundOf(id pay.TransactionID, number string, amount pay.Fen) wechatpay.RefundRequest {
	return wechatpay.RefundRequest{
		Protocol: s.protocol, AppID: pay.AppID(s.merchant.Appid), MchID: s.cred.Merchant.MchID, TransactionID: id,
		OutRefundNo: pay.OutRefundNo(number), Amount: amount, Total: 100, Currency: pay.CNY, Reason: "缺货", Funds: pay.FundsDefault,
	}
}

func (s stand) query(t *testing.T, number string) (wechatpay.RefundAnswer, error) {
	t.Helper()
	return s.client.QueryRefund(t.Context(), wechatpay.RefundQuery{Protocol: s.protocol, AppID: pay.AppID(s.merchant.Appid), OutRefundNo: pay.OutRefundNo(number)})
}

func (s stand) until(t *testing.T, number string, want wechatpay.RefundStatus) wechatpay.RefundAnswer {
	t.Helper()
	var got wechatpay.RefundAnswer
	require.Eventually(t, func() bool {
		var err error
		got, err = s.query(t, number)
		return err == nil && got.Status == want
	}, 10*time.Second, 5*time.Millisecond)
	return got
}

func protocols() []pay.Protocol { return []pay.Protocol{pay.ProtocolV3, pay.ProtocolV2} }

func TestClient_refunds_at_the_stand_in(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols() {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			s := newStand(t, protocol)
			_, err := s.query(t, "R1")
			require.True(t, wechatpay.IsNotExist(err), "%v", err)
			require.True(t, wechatpay.IsVerifiedNotExist(err), "%v", err)
			_, err = s.platform.SetFault(simulator.Fault{Kind: simulator.FaultRefusalUnsigned, Count: 1})
			require.NoError(t, err)
			_, err = s.query(t, "R1")
			require.True(t, wechatpay.IsNotExist(err), "%v", err)
			require.Equal(t, protocol == pay.ProtocolV2, wechatpay.IsVerifiedNotExist(err), "v2 signs all that it says")

			order, id := s.paid(t, "order-1")
			body, err := s.client.RefundBody(s.refundOf(id, "R1", 40))
			require.NoError(t, err)
			first, err := s.client.SubmitRefund(t.Context(), protocol, body)
			require.NoError(t, err)
			require.Equal(t, wechatpay.RefundAccepted, wechatpay.RefundVerdictOf(err))
			require.Equal(t, []any{wechatpay.RefundProcessing, pay.OutRefundNo("R1"), id, order.OutTradeNo, pay.Fen(40), pay.Fen(100)},
				[]any{first.Status, first.OutRefundNo, first.TransactionID, first.OutTradeNo, first.Amount, first.Total})
			again, err := s.client.SubmitRefund(t.Context(), protocol, body)
			require.NoError(t, err)
			require.Equal(t, first.RefundID, again.RefundID, "the same bytes are the same refund")
			done := s.until(t, "R1", wechatpay.RefundSuccess)
			require.Equal(t, first.RefundID, done.RefundID)
			require.WithinDuration(t, time.Now(), done.SucceededAt, time.Minute)
			require.NotEmpty(t, done.ReceivedAccount)
			require.Equal(t, []any{pay.Fen(40), pay.Fen(100), id}, []any{done.Amount, done.Total, done.TransactionID})
			found, err := s.client.QueryOrder(t.Context(), order)
			require.NoError(t, err)
			require.Equal(t, wechatpay.TradeRefund, found.State)

			other, err := s.client.RefundBody(s.refundOf(id, "R1", 41))
			require.NoError(t, err)
			_, err = s.client.SubmitRefund(t.Context(), protocol, other)
			require.Equal(t, wechatpay.RefundRejected, wechatpay.RefundVerdictOf(err), "the number is taken by another amount: %v", err)
			tooMuch, err := s.client.RefundBody(s.refundOf(id, "R2", 61))
			require.NoError(t, err)
			_, err = s.client.SubmitRefund(t.Context(), protocol, tooMuch)
			want := wechatpay.RefundRejected
			if protocol == pay.ProtocolV2 {
				want = wechatpay.RefundBlocked // v2 says ERROR for all that the business refuses
			}
			require.Equal(t, want, wechatpay.RefundVerdictOf(err), "%v", err)
			require.Len(t, s.platform.Ledger().Refunds, 1)
		})
	}
}

// TestClient_a_refund_meets_every_fault_and_happens_once: after whatever went
// wrong, the same bytes again lead to one refund.
func TestClient_a_refund_meets_every_fault_and_happens_once(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols() {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			for kind, tc := range map[simulator.FaultKind]struct {
				verdict wechatpay.RefundVerdict
				done    bool
				limited bool
			}{
				simulator.FaultErrorBefore:           {wechatpay.RefundUnknown, false, false},
				simulator.FaultErrorAfter:            {wechatpay.RefundUnknown, true, false},
				simulator.FaultTimeoutAfter:          {wechatpay.RefundUnknown, true, false},
				simulator.FaultFrequencyLimited:      {wechatpay.RefundUnknown, false, true},
				simulator.FaultFrequencyLimitedAfter: {wechatpay.RefundUnknown, true, true},
				simulator.FaultAnswerSigntest:        {wechatpay.RefundUnknown, true, false},
				simulator.FaultAnswerTampered:        {wechatpay.RefundUnknown, true, false},
				simulator.FaultAnswerWrongSerial:     {wechatpay.RefundUnknown, true, false},
				simulator.FaultPlatformDown:          {wechatpay.RefundUnknown, false, false},
				simulator.FaultNotEnough:             {wechatpay.RefundNotEnough, false, false},
			} {
				t.Run(string(kind), func(t *testing.T) {
					t.Parallel()
					s := newStand(t, protocol)
					_, id := s.paid(t, "order-1")
					body, err := s.client.RefundBody(s.refundOf(id, "R1", 100))
					require.NoError(t, err)
					_, err = s.platform.SetFault(simulator.Fault{Kind: kind, Count: 1, DelayMs: 1})
					require.NoError(t, err)
					_, err = s.client.SubmitRefund(t.Context(), protocol, body)
					require.Equal(t, tc.verdict, wechatpay.RefundVerdictOf(err), "%v", err)
					require.Equal(t, tc.limited, wechatpay.IsFrequencyLimited(err))
					_, err = s.query(t, "R1")
					require.Equal(t, tc.done, err == nil, "%v", err)
					require.Equal(t, !tc.done, wechatpay.IsNotExist(err))

					_, err = s.client.SubmitRefund(t.Context(), protocol, body)
					require.NoError(t, err)
					s.until(t, "R1", wechatpay.RefundSuccess)
					require.Len(t, s.platform.Ledger().Refunds, 1)
				})
			}
		})
	}
}

func TestClient_a_refund_query_that_goes_wrong_says_nothing(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols() {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			s := newStand(t, protocol)
			_, id := s.paid(t, "order-1")
			body, err := s.client.RefundBody(s.refundOf(id, "R1", 100))
			require.NoError(t, err)
			_, err = s.client.SubmitRefund(t.Context(), protocol, body)
			require.NoError(t, err)
			for _, kind := range []simulator.FaultKind{
				simulator.FaultErrorBefore, simulator.FaultErrorAfter, simulator.FaultTimeoutAfter, simulator.FaultFrequencyLimited,
				simulator.FaultAnswerSigntest, simulator.FaultAnswerTampered, simulator.FaultAnswerWrongSerial, simulator.FaultPlatformDown,
			} {
				_, err := s.platform.SetFault(simulator.Fault{Kind: kind, DelayMs: 1})
				require.NoError(t, err)
				_, err = s.query(t, "R1")
				require.Equal(t, 1, s.platform.ClearFaults(kind))
				require.Error(t, err, kind)
				require.False(t, wechatpay.IsNotExist(err), kind)
				require.Contains(t, []wechatpay.Class{wechatpay.ClassUnknown, wechatpay.ClassRetry}, wechatpay.ClassOf(err), kind)
			}
			s.until(t, "R1", wechatpay.RefundSuccess)
		})
	}
}

func TestClient_reads_how_refunds_end(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols() {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			s := newStand(t, protocol)
			_, id := s.paid(t, "order-1")
			for number, status := range map[string]simulator.RefundStatus{"R-1": simulator.RefundClosed, "R-2": simulator.RefundAbnormal} {
				_, _, err := s.platform.SettleRefund(number, simulator.RefundOutcome{Status: status})
				require.NoError(t, err)
				body, err := s.client.RefundBody(s.refundOf(id, number, 10))
				require.NoError(t, err)
				_, err = s.client.SubmitRefund(t.Context(), protocol, body)
				require.NoError(t, err)
				got := s.until(t, number, wechatpay.RefundStatus(status))
				require.True(t, got.SucceededAt.IsZero())
			}
		})
	}
}

func TestClient_drives_an_abnormal_refund_on(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{wechatpay.ToUserCard, wechatpay.ToMerchantCard} {
		for _, mode := range []simulator.KeyMode{simulator.KeyModePublicKey, simulator.KeyModePlatformCertificate} {
			t.Run(kind+" "+string(mode), func(t *testing.T) {
				t.Parallel()
				s := newStand(t, pay.ProtocolV3)
				if mode == simulator.KeyModePlatformCertificate {
					certificates, _, err := s.client.Certificates(t.Context())
					require.NoError(t, err)
					s.cred.Keyring.Replace(certificates[0].Key)
				}
				_, id := s.paid(t, "order-1")
				_, _, err := s.platform.SettleRefund("R1", simulator.RefundOutcome{Status: simulator.RefundAbnormal})
				require.NoError(t, err)
				body, err := s.client.RefundBody(s.refundOf(id, "R1", 100))
				require.NoError(t, err)
				accepted, err := s.client.SubmitRefund(t.Context(), pay.ProtocolV3, body)
				require.NoError(t, err)
				s.until(t, "R1", wechatpay.RefundAbnormal)

				ask := wechatpay.AbnormalRequest{OutRefundNo: "R1", Type: kind}
				if kind == wechatpay.ToUserCard {
					ask.BankType, ask.BankAccount, ask.RealName = "ICBC_DEBIT", "6222020200112230403", "张三"
				}
				body, keyID, err := s.client.AbnormalBody(ask)
				require.NoError(t, err)
				for range 2 { // asked again, it is the same
					applied, err := s.client.ApplyAbnormal(t.Context(), accepted.RefundID, keyID, body)
					require.NoError(t, err)
					require.Contains(t, []wechatpay.RefundStatus{wechatpay.RefundProcessing, wechatpay.RefundSuccess}, applied.Status)
				}
				done := s.until(t, "R1", wechatpay.RefundSuccess)
				if kind == wechatpay.ToUserCard {
					require.Equal(t, "ICBC_DEBIT0403", done.ReceivedAccount)
				}
			})
		}
	}
}

func TestClient_v2_refunds_need_the_certificate_at_the_stand_in(t *testing.T) {
	t.Parallel()
	s := newStand(t, pay.ProtocolV2)
	_, id := s.paid(t, "order-1")
	body, err := s.client.RefundBody(s.refundOf(id, "R1", 100))
	require.NoError(t, err)
	server := httptest.NewServer(s.platform.Handler())
	t.Cleanup(server.Close)
	plain, err := wechatpay.NewClient(s.cred, wechatpay.ClientOptions{BaseURL: server.URL})
	require.NoError(t, err)
	_, err = plain.SubmitRefund(t.Context(), pay.ProtocolV2, body)
	require.Equal(t, wechatpay.RefundBlocked, wechatpay.RefundVerdictOf(err), "CERT_ERROR: without TLS nobody shows a certificate")

	s.cred.ClientCertificate = nil
	_, err = s.connect(t).SubmitRefund(t.Context(), pay.ProtocolV2, body)
	require.ErrorContains(t, err, "client_certificate_file")
	require.Empty(t, s.platform.Ledger().Refunds)
	_, err = s.client.SubmitRefund(t.Context(), pay.ProtocolV2, body)
	require.NoError(t, err)
}
