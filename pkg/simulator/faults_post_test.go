package simulator_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments"
	"github.com/wechatpay-apiv3/wechatpay-go/services/refunddomestic"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// hurried makes retries follow at once; refunds take a few microseconds.
func hurried(o *simulator.Options) { o.Speed = 1e6 }

func (b bench) fault(t *testing.T, f simulator.Fault) simulator.Fault {
	t.Helper()
	set, err := b.simulator.SetFault(f)
	require.NoError(t, err)
	return set
}

func (b bench) pay(t *testing.T, number string) simulator.Payment {
	t.Helper()
	payment, err := b.simulator.Pay(number, simulator.PayRequest{})
	require.NoError(t, err)
	return payment
}

// TestSpoiltNotices: an attempt that a fault spoils does not verify with the
// official SDK, and the retry of the very same notice does.
func TestSpoiltNotices(t *testing.T) {
	t.Parallel()
	kinds := map[simulator.FaultKind]struct {
		forgery simulator.Forgery
		spoilt  func(t *testing.T, first, second received)
	}{
		simulator.FaultNoticeSigntest: {simulator.ForgedSigntest, func(t *testing.T, first, _ received) {
			t.Helper()
			require.True(t, strings.HasPrefix(first.header.Get("Wechatpay-Signature"), "WECHATPAY/SIGNTEST/"))
		}},
		simulator.FaultNoticeTampered: {simulator.ForgedTamperedBody, func(t *testing.T, first, second received) {
			t.Helper()
			require.NotEqual(t, first.body, second.body)
		}},
		simulator.FaultNoticeWrongSerial: {simulator.ForgedUnknownSerial, func(t *testing.T, first, second received) {
			t.Helper()
			require.NotEqual(t, first.header.Get("Wechatpay-Serial"), second.header.Get("Wechatpay-Serial"))
		}},
		simulator.FaultNoticeClockBehind: {simulator.ForgedClockBehind, func(t *testing.T, first, _ received) {
			t.Helper()
			require.InDelta(t, -360, first.ahead(t), 60)
		}},
		simulator.FaultNoticeClockAhead: {simulator.ForgedClockAhead, func(t *testing.T, first, _ received) {
			t.Helper()
			require.InDelta(t, 360, first.ahead(t), 60)
		}},
	}
	for kind, want := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, hurried, func(o *simulator.Options) { o.KeyMode = simulator.KeyModePublicKey })
			var calls atomic.Int32
			shop := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(map[bool]int{true: http.StatusUnauthorized, false: http.StatusNoContent}[calls.Add(1) == 1])
			})
			b.place(t, "spoilt-1", b.notifyURL(shop))
			b.fault(t, simulator.Fault{Kind: kind, Count: 1, OutTradeNo: "spoilt-1"})
			payment := b.pay(t, "spoilt-1")
			b.settled(t)

			got := shop.all()
			require.Len(t, got, 2)
			require.Error(t, b.parseInto(t, got[0], &payments.Transaction{}))
			require.Equal(t, payment.TransactionID, *b.parse(t, got[1]).TransactionId)
			want.spoilt(t, got[0], got[1])
			attempts := b.simulator.Deliveries("spoilt-1")
			require.Equal(t, []simulator.NoticeKind{simulator.Forged, simulator.Genuine}, kindsOf(attempts))
			require.Equal(t, want.forgery, attempts[0].Forgery)
			require.Equal(t, kind, attempts[0].Fault)
			require.Empty(t, attempts[1].Fault)
		})
	}
}

// ahead is how many seconds the timestamp is before the receiver's clock.
func (r received) ahead(t *testing.T) float64 {
	t.Helper()
	seconds, err := strconv.ParseInt(r.header.Get("Wechatpay-Timestamp"), 10, 64)
	require.NoError(t, err)
	return float64(seconds - time.Now().Unix())
}

func kindsOf(attempts []simulator.Attempt) []simulator.NoticeKind {
	kinds := make([]simulator.NoticeKind, 0, len(attempts))
	for _, a := range attempts {
		kinds = append(kinds, a.Kind)
	}
	return kinds
}

func TestTamperedV2Notice(t *testing.T) {
	t.Parallel()
	b := newBench(t, hurried)
	shop := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<xml><return_code><![CDATA[SUCCESS]]></return_code></xml>"))
	})
	b.place(t, "v2-tampered", b.notifyURL(shop))
	b.fault(t, simulator.Fault{Kind: simulator.FaultNoticeTampered})
	_, err := b.simulator.Pay("v2-tampered", simulator.PayRequest{Notify: simulator.ProtocolV2})
	require.NoError(t, err)
	b.settled(t)
	require.Contains(t, shop.all()[0].body, "<total_fee><![CDATA[1100]]>", "the sign was made for 100")
	require.Equal(t, simulator.FaultNoticeTampered, b.simulator.Deliveries("")[0].Fault)
}

func TestLostNotices(t *testing.T) {
	t.Parallel()
	for _, kind := range []simulator.FaultKind{simulator.FaultNoticeDrop, simulator.FaultPlatformDown} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, hurried)
			shop := newReceiver(t, noContent)
			b.place(t, "lost-1", b.notifyURL(shop))
			b.fault(t, simulator.Fault{Kind: kind, Count: 2})
			b.pay(t, "lost-1")
			b.settled(t)
			require.Len(t, shop.all(), 1)
			attempts := b.simulator.Deliveries("lost-1")
			require.Len(t, attempts, 3)
			for _, lost := range attempts[:2] {
				require.Equal(t, kind, lost.Fault)
				require.Zero(t, lost.Status)
				require.Contains(t, lost.Error, "lost")
				require.WithinDuration(t, time.Now(), lost.SentAt, time.Minute)
			}
			require.True(t, attempts[2].Acknowledged)
		})
	}
}

func TestLateNotice(t *testing.T) {
	t.Parallel()
	b := newBench(t, hurried)
	shop := newReceiver(t, noContent)
	b.place(t, "late-1", b.notifyURL(shop))
	b.fault(t, simulator.Fault{Kind: simulator.FaultNoticeDelay, OutTradeNo: "late-1", DelayMs: 80})
	payment := b.pay(t, "late-1")
	b.settled(t)
	require.GreaterOrEqual(t, b.simulator.Deliveries("late-1")[0].SentAt.Sub(payment.PaidAt), 80*time.Millisecond)

	t.Run("clearing the fault lets it go at once", func(t *testing.T) {
		t.Parallel()
		b.place(t, "late-2", b.notifyURL(shop))
		b.fault(t, simulator.Fault{Kind: simulator.FaultNoticeDelay, OutTradeNo: "late-2", DelayMs: 3_600_000})
		b.pay(t, "late-2")
		require.Eventually(t, func() bool { return b.fired("late-2") == 1 }, soon, tick)
		require.Equal(t, 2, b.simulator.ClearFaults(simulator.FaultNoticeDelay))
		b.settled(t)
		require.True(t, b.simulator.Deliveries("late-2")[0].Acknowledged)
	})
}

// fired counts how often the faults of one order happened.
func (b bench) fired(number string) int {
	sum := 0
	for _, f := range b.simulator.Faults() {
		if f.OutTradeNo == number {
			sum += f.Fired
		}
	}
	return sum
}

func TestReorderedNotices(t *testing.T) {
	t.Parallel()
	b := newBench(t, hurried)
	shop := newReceiver(t, noContent)
	b.place(t, "order-a", b.notifyURL(shop))
	b.place(t, "order-b", b.notifyURL(shop))
	b.fault(t, simulator.Fault{Kind: simulator.FaultNoticeReorder, DelayMs: 3_600_000})
	b.pay(t, "order-a")
	require.Eventually(t, func() bool { return b.fired("") == 1 }, soon, tick)
	require.Empty(t, shop.all())
	b.pay(t, "order-b")
	b.settled(t)
	got := shop.all()
	require.Equal(t, []string{"order-b", "order-a"}, []string{*b.parse(t, got[0]).OutTradeNo, *b.parse(t, got[1]).OutTradeNo})
}

func TestRefundNoticeFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t, hurried)
	shop := newReceiver(t, noContent)
	b.place(t, "first-1", b.notifyURL(shop))
	b.fault(t, simulator.Fault{Kind: simulator.FaultRefundNoticeFirst, OutTradeNo: "first-1"})
	b.pay(t, "first-1")
	require.Eventually(t, func() bool { return b.fired("first-1") == 1 }, soon, tick)
	service := b.refunds(t)
	_, _, err := service.Create(t.Context(), refundOf("first-1", "first-1-r", 40))
	require.NoError(t, err)
	b.ended(t, "first-1-r", simulator.RefundSuccess)
	b.settled(t)
	got := shop.all()
	require.Len(t, got, 2)
	notice, refund := b.parseRefund(t, got[0])
	require.Equal(t, "REFUND.SUCCESS", notice.EventType)
	require.Equal(t, "first-1", refund.OutTradeNo)
	require.Equal(t, "SUCCESS", *b.parse(t, got[1]).TradeState)
}

func TestRepeatedNotices(t *testing.T) {
	t.Parallel()
	b := newBench(t, hurried)
	shop := newReceiver(t, noContent)
	b.place(t, "twice-1", b.notifyURL(shop))
	b.place(t, "newid-1", b.notifyURL(shop))
	b.fault(t, simulator.Fault{Kind: simulator.FaultNoticeDuplicate, OutTradeNo: "twice-1"})
	b.fault(t, simulator.Fault{Kind: simulator.FaultNoticeNewID, OutTradeNo: "newid-1"})
	b.pay(t, "twice-1")
	b.pay(t, "newid-1")
	b.settled(t)

	twice := b.simulator.Deliveries("twice-1")
	require.Equal(t, []simulator.NoticeKind{simulator.Genuine, simulator.Duplicate}, kindsOf(twice))
	require.Equal(t, twice[0].NoticeID, twice[1].NoticeID)
	again := b.simulator.Deliveries("newid-1")
	require.Equal(t, []simulator.NoticeKind{simulator.Genuine, simulator.Genuine}, kindsOf(again))
	require.NotEqual(t, again[0].NoticeID, again[1].NoticeID)
	transactions := map[string]int{}
	for _, r := range shop.all() {
		transactions[*b.parse(t, r).TransactionId]++
	}
	require.Len(t, transactions, 2, "each order has one payment")
	for _, n := range transactions {
		require.Equal(t, 2, n)
	}
	require.Len(t, b.simulator.Ledger().Payments, 2)
}

// TestRefundFaults: how a refund can end badly, and how it goes on.
func TestRefundFaults(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, f simulator.Fault, change ...func(*simulator.Options)) (bench, refunddomestic.RefundsApiService, error) {
		t.Helper()
		b := newBench(t, append([]func(*simulator.Options){hurried}, change...)...)
		shop := newReceiver(t, noContent)
		b.paid(t, "bad-01", b.notifyURL(shop), 0)
		b.fault(t, f)
		service := b.refunds(t)
		_, _, err := service.Create(t.Context(), refundOf("bad-01", "bad-01-r", 100))
		return b, service, err
	}
	t.Run("stuck, then abnormal", func(t *testing.T) {
		t.Parallel()
		b, service, err := start(t, simulator.Fault{Kind: simulator.FaultRefundStuck, DelayMs: 50})
		require.NoError(t, err)
		refund, _, err := service.QueryByOutRefundNo(t.Context(), refunddomestic.QueryByOutRefundNoRequest{OutRefundNo: core.String("bad-01-r")})
		require.NoError(t, err)
		require.Equal(t, refunddomestic.STATUS_PROCESSING, *refund.Status)
		b.ended(t, "bad-01-r", simulator.RefundAbnormal)
	})
	t.Run("stuck for good", func(t *testing.T) {
		t.Parallel()
		b, _, err := start(t, simulator.Fault{Kind: simulator.FaultRefundStuck})
		require.NoError(t, err)
		refund, _ := b.simulator.Refund("bad-01-r")
		require.Equal(t, simulator.RefundProcessing, refund.Status)
		require.Empty(t, refund.Next)
	})
	for kind, status := range map[simulator.FaultKind]simulator.RefundStatus{
		simulator.FaultRefundAbnormal: simulator.RefundAbnormal, simulator.FaultRefundClosed: simulator.RefundClosed} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b, _, err := start(t, simulator.Fault{Kind: kind})
			require.NoError(t, err)
			b.ended(t, "bad-01-r", status)
		})
	}
	t.Run("not enough, until topped up", func(t *testing.T) {
		t.Parallel()
		b, service, err := start(t, simulator.Fault{Kind: simulator.FaultNotEnough})
		requireCode(t, err, http.StatusForbidden, "NOT_ENOUGH")
		require.Empty(t, b.simulator.Ledger().Refunds)
		require.NoError(t, b.simulator.TopUp(1000))
		_, _, err = service.Create(context.Background(), refundOf("bad-01", "bad-01-r", 100))
		require.NoError(t, err)
		b.ended(t, "bad-01-r", simulator.RefundSuccess)
	})
}
