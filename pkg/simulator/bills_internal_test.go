package simulator

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTradeBill_is_byte_for_byte the known file: two payments and a refund.
func TestTradeBill_is_byte_for_byte(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		when, err := time.ParseInLocation(time.DateTime, "2025-12-31 "+text, beijing())
		require.NoError(t, err)
		return when.UTC()
	}
	order := func(number, trade, what, attach string) *Order {
		return &Order{Appid: "wxd678efh567hg6787", Mchid: "1900000109", OutTradeNo: number, TradeType: trade, Description: what, Attach: attach}
	}
	b, err := openBooks("")
	require.NoError(t, err)
	const openid = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
	first := Payment{TransactionID: "4200002567202512311234567890", OutTradeNo: "T20251231000001", AmountFen: 10000, CouponFen: 500, Openid: openid, PaidAt: at("13:51:31")}
	second := Payment{TransactionID: "4200002567202512311234567891", OutTradeNo: "T20251231000002", AmountFen: 1, Openid: openid, PaidAt: at("14:00:00")}
	refund := Refund{OutRefundNo: "R20251231000001", RefundID: "50302807982025123112345678901", TransactionID: first.TransactionID, OutTradeNo: first.OutTradeNo,
		AmountFen: 4000, TotalFen: 10000, PayerFen: 4000, Status: RefundProcessing, Channel: "ORIGINAL", CreatedAt: at("15:00:00")}
	// The bank that the known file names is the one thing that this platform has not.
	known := strings.ReplaceAll(vectorOf(t, "gen-bill-all").CSV, "CMB_DEBIT", bankType)
	for _, e := range []entry{
		{Order: order("T20251231000001", "JSAPI", "测试商品", "自定义数据")}, {Order: order("T20251231000002", "NATIVE", "测试商品B", "")},
		{Payment: &first}, {Payment: &second}, {Refund: &refund},
		{Bill: &billEntry{BillClose: BillClose{BillDate: "2025-12-31"}}},
		{RefundTurn: &refundTurn{OutRefundNo: refund.OutRefundNo, Status: RefundSuccess, At: at("16:00:00")}},
	} {
		require.NoError(t, b.apply(e))
	}
	day, found := b.billDay("2025-12-31")
	require.True(t, found)
	text, rows := day.tradeBill(billAll)
	require.Equal(t, known, string(text), "what a refund becomes later does not change its row")
	require.Equal(t, 3, rows)

	empty, rows := (&billDay{}).tradeBill(billAll)
	require.Zero(t, rows)
	sum := sha1.Sum(empty)
	require.Equal(t, vectorOf(t, "gen-bill-empty").SHA1, hex.EncodeToString(sum[:]))
	require.Len(t, strings.Split(vectorOf(t, "bill-row-cloudrun").Row, ",`"), len(billHeader()))
}

func TestFeeAndYuan(t *testing.T) {
	t.Parallel()
	for fen, fee := range map[int64]string{10000: "0.60000", 4000: "0.24000", 1: "0.00000", 83: "0.00000", 84: "0.01000", 250: "0.02000"} {
		require.Equal(t, fee, feeText(feeOf(fen)))
	}
	require.Equal(t, "-0.24000", feeText(-24))
	require.Equal(t, []string{"0.00", "-1.05", "12345678901.23"}, []string{yuan(0), yuan(-105), yuan(1234567890123)})
}
