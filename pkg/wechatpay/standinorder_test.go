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

// TestClient_v2_against_the_stand_in walks one order from the first query to the
// opened notification, signed in each way, paid in each client.
func TestClient_v2_against_the_stand_in(t *testing.T) {
	t.Parallel()
	for _, signType := range []string{"", "HMAC-SHA256", "MD5"} {
		for _, kind := range pay.Clients() {
			t.Run(signType+" "+string(kind), func(t *testing.T) {
				t.Parallel()
				s := newStand(t, pay.ProtocolV2, func(_ *simulator.Options, c *merchant.Credentials) { c.Merchant.SignTypeV2 = signType })
				arrived := make(chan wechatpay.Envelope, 16)
				receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						w.WriteHeader(http.StatusBadRequest)
						return
					}
					arrived <- wechatpay.Envelope{MchID: s.cred.Merchant.MchID, Kind: pay.DeliveryNotifyV2Pay, ReceivedAt: time.Now(), Body: body}
					_, _ = w.Write(wechatpay.AckV2(true, "OK"))
				}))
				t.Cleanup(receiver.Close)

				order := s.order(t, "T|20260101*1", receiver.URL+"/notify/v2/1900000109/pay", kind)
				_, err := s.client.QueryOrder(t.Context(), order)
				require.True(t, wechatpay.IsVerifiedNotExist(err), "%v", err)
				for range 2 { // the same bytes again are the same order
					order.Credential, _, err = s.client.Prepay(t.Context(), order)
					require.NoError(t, err)
				}
				params, err := wechatpay.ClientParams(order, s.cred, time.Now(), "")
				require.NoError(t, err)
				require.Equal(t, kind == pay.ClientNative, params.CodeURL != "")

				before, err := s.client.QueryOrder(t.Context(), order)
				require.NoError(t, err)
				require.Equal(t, wechatpay.TradeNotPay, before.State)
				_, err = s.platform.Pay(string(order.OutTradeNo), simulator.PayRequest{CouponFen: 5})
				require.NoError(t, err)
				after, err := s.client.QueryOrder(t.Context(), order)
				require.NoError(t, err)
				asked, _ := after.Observation(pay.SourceQuery)
				require.Equal(t, []pay.Fen{100, 95}, []pay.Fen{asked.Amount, asked.PayerTotal})

				n, err := wechatpay.Open(<-arrived, s.cred)
				require.NoError(t, err)
				told, ok := n.Observation(pay.SourceNotification)
				require.True(t, ok)
				require.Equal(t, pay.ObservedPaid, told.Kind)
				told.Source, told.ObservedAt, told.KeyID = asked.Source, asked.ObservedAt, asked.KeyID
				require.Equal(t, asked, told, "both say the same")

				_, err = s.client.CloseOrder(t.Context(), order)
				require.Equal(t, wechatpay.ClassQueryFirst, wechatpay.ClassOf(err), "it is paid: %v", err)
				_, _, err = s.client.Prepay(t.Context(), order)
				require.Equal(t, wechatpay.ClassQueryFirst, wechatpay.ClassOf(err), "%v", err)
			})
		}
	}
}

func TestClient_closes_at_the_stand_in(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols() {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			s := newStand(t, protocol)
			order := s.order(t, "order-1", "http://127.0.0.1:1/notify", pay.ClientNative)
			_, err := s.client.CloseOrder(t.Context(), order)
			require.NoError(t, err, "a number that nobody has seen closes, too")
			_, err = s.client.QueryOrder(t.Context(), order)
			require.True(t, wechatpay.IsNotExist(err), "and so it proves nothing")

			_, _, err = s.client.Prepay(t.Context(), order)
			require.NoError(t, err)
			answer, err := s.client.CloseOrder(t.Context(), order)
			require.NoError(t, err)
			require.NotEmpty(t, answer.KeyID)
			found, err := s.client.QueryOrder(t.Context(), order)
			require.NoError(t, err)
			require.True(t, found.State.Closed())
			_, _, err = s.client.Prepay(t.Context(), order)
			require.Equal(t, wechatpay.ClassQueryFirst, wechatpay.ClassOf(err), "%v", err)
			if protocol == pay.ProtocolV2 {
				_, err = s.client.CloseOrder(t.Context(), order)
				require.Equal(t, wechatpay.ClassQueryFirst, wechatpay.ClassOf(err), "%v", err)
			}

			paid, _ := s.paid(t, "order-2")
			_, err = s.client.CloseOrder(t.Context(), paid)
			require.Equal(t, wechatpay.ClassQueryFirst, wechatpay.ClassOf(err), "%v", err)
			found, err = s.client.QueryOrder(t.Context(), paid)
			require.NoError(t, err)
			require.True(t, found.State.Paid())
		})
	}
}

// TestClient_an_order_meets_every_fault: no answer that is missing, late or not
// genuine decides anything, and the calls can be made again.
func TestClient_an_order_meets_every_fault(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols() {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			s := newStand(t, protocol)
			order := s.order(t, "order-1", "http://127.0.0.1:1/notify", pay.ClientNative)
			calls := map[string]func() error{
				"prepay": func() error { _, _, err := s.client.Prepay(t.Context(), order); return err },
				"query":  func() error { _, err := s.client.QueryOrder(t.Context(), order); return err },
				"close": func() error {
					unknown := order
					unknown.OutTradeNo = "never-made"
					_, err := s.client.CloseOrder(t.Context(), unknown)
					return err
				},
			}
			require.NoError(t, calls["prepay"]())
			for _, kind := range []simulator.FaultKind{
				simulator.FaultErrorBefore, simulator.FaultErrorAfter, simulator.FaultTimeoutAfter, simulator.FaultFrequencyLimited,
				simulator.FaultFrequencyLimitedAfter, simulator.FaultAnswerSigntest, simulator.FaultAnswerTampered,
				simulator.FaultAnswerWrongSerial, simulator.FaultPlatformDown,
			} {
				for name, call := range calls {
					_, err := s.platform.SetFault(simulator.Fault{Kind: kind, Count: 1, DelayMs: 1})
					require.NoError(t, err)
					err = call()
					require.Error(t, err, "%s %s", name, kind)
					require.Contains(t, []wechatpay.Class{wechatpay.ClassUnknown, wechatpay.ClassRetry}, wechatpay.ClassOf(err), "%s %s: %v", name, kind, err)
					require.False(t, wechatpay.IsNotExist(err))
					require.NoError(t, call(), "%s after %s", name, kind)
				}
			}
			_, err := s.platform.SetFault(simulator.Fault{Kind: simulator.FaultPlatformDown, Count: 1, Status: http.StatusBadGateway})
			require.NoError(t, err)
			require.Equal(t, wechatpay.ClassRetry, wechatpay.ClassOf(calls["query"]()))
		})
	}
}
