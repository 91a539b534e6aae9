package simulator_test

import (
	"crypto/aes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// openReqInfo decrypts req_info word by word as the documentation says.
func openReqInfo(t *testing.T, key, secret string) string {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(secret)
	require.NoError(t, err)
	sum := md5.Sum([]byte(key))
	block, err := aes.NewCipher([]byte(hex.EncodeToString(sum[:])))
	require.NoError(t, err)
	require.Zero(t, len(text)%aes.BlockSize)
	for at := 0; at < len(text); at += aes.BlockSize {
		block.Decrypt(text[at:], text[at:])
	}
	padding := int(text[len(text)-1])
	require.LessOrEqual(t, padding, aes.BlockSize)
	return string(text[:len(text)-padding])
}

func TestV2RefundNotices(t *testing.T) {
	t.Parallel()
	b := newBench(t, held)
	shop := newReceiver(t, ackV2)
	payment := b.paid(t, "order-1", b.notifyURL(shop), 5)
	for outcome, word := range map[string]string{"SUCCESS": "SUCCESS", "ABNORMAL": "CHANGE", "CLOSED": "REFUNDCLOSE"} {
		r, err := b.simulator.RefundByConsole("order-1", simulator.ConsoleRefund{AmountFen: 20})
		require.NoError(t, err)
		status, answer := b.post(t, "/control/refunds/"+r.OutRefundNo, `{"status":"`+outcome+`","notify":"v2"}`)
		require.Equal(t, http.StatusOK, status, answer)
		b.settled(t)
		got := shop.all()[len(shop.all())-1]
		require.Equal(t, "/notify/v2/"+b.merchant.Mchid+"/refund", got.path)
		fields := v2Elements(t, got.body)
		require.NotContains(t, fields, "sign", "v2 refund notices are not signed")
		require.Equal(t, []string{"SUCCESS", b.merchant.Appid, b.merchant.Mchid}, []string{fields["return_code"], fields["appid"], fields["mch_id"]})

		text := openReqInfo(t, b.merchant.APIv2Key, fields["req_info"])
		require.Regexp(t, `^<root>.*</root>$`, text)
		inner := v2Elements(t, text)
		require.Equal(t, []string{word, r.OutRefundNo, r.RefundID, payment.TransactionID, "100", "20", "19", "VENDOR_PLATFORM"},
			[]string{inner["refund_status"], inner["out_refund_no"], inner["refund_id"], inner["transaction_id"],
				inner["total_fee"], inner["refund_fee"], inner["cash_refund_fee"], inner["refund_request_source"]})
		if outcome == "SUCCESS" {
			require.Regexp(t, `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`, inner["success_time"])
		}
	}
}

func TestRefundNoticesKeepTheRetrySchedule(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *simulator.Options) { o.Speed = 1e6 })
	shop := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	b.paid(t, "order-1", b.notifyURL(shop), 0)
	_, err := b.simulator.RefundByConsole("order-1", simulator.ConsoleRefund{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return b.simulator.Summary().Abandoned == 1 }, soon, tick)
	got := shop.all()
	require.Len(t, got, 16)
	for _, r := range got {
		require.Equal(t, got[0].body, r.body)
		b.parseRefund(t, r)
	}
}

func TestDuplicateAndSilentRefundNotices(t *testing.T) {
	t.Parallel()
	b := newBench(t, held)
	shop := newReceiver(t, noContent)
	b.paid(t, "order-1", "http://127.0.0.1:1/elsewhere", 0)
	for notice, deliveries := range map[string]int{`"notify":"none"`: 0, `"duplicates":2,"notify_url":"` + shop.url + `/r"`: 3} {
		r, err := b.simulator.RefundByConsole("order-1", simulator.ConsoleRefund{AmountFen: 10})
		require.NoError(t, err)
		status, answer := b.post(t, "/control/refunds/"+r.OutRefundNo, `{"status":"SUCCESS",`+notice+`}`)
		require.Equal(t, http.StatusOK, status, answer)
		b.settled(t)
		count := 0
		for _, got := range shop.all() {
			if _, told := b.parseRefund(t, got); told.OutRefundNo == r.OutRefundNo {
				count++
			}
		}
		require.Equal(t, deliveries, count)
	}
}
