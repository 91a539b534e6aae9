package ingest_test

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// payNoticeV2 is signed with MD5 over its fields in ASCII order.
func payNoticeV2(key string) string {
	fields := [][2]string{
		{"appid", "wx8888888888888888"}, {"cash_fee", "100"}, {"fee_type", "CNY"}, {"mch_id", mchid}, {"nonce_str", "n"}, {"openid", "o1"},
		{"out_trade_no", "order-0001"}, {"result_code", "SUCCESS"}, {"return_code", "SUCCESS"}, {"time_end", "20261121120000"},
		{"total_fee", "100"}, {"trade_type", "JSAPI"}, {"transaction_id", "4200000000000000000000000001"},
	}
	var text, xml strings.Builder
	for _, f := range fields {
		text.WriteString(f[0] + "=" + f[1] + "&")
		fmt.Fprintf(&xml, "<%s><![CDATA[%s]]></%s>", f[0], f[1], f[0])
	}
	sum := md5.Sum([]byte(text.String() + "key=" + key))
	return "<xml>" + xml.String() + "<sign>" + strings.ToUpper(hex.EncodeToString(sum[:])) + "</sign></xml>"
}

// verifyV2 is what a worker does: it holds the key.
func verifyV2(question []byte) ([]byte, error) {
	var q struct {
		MchID pay.MchID
		Kind  pay.DeliveryKind
		Body  []byte
	}
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, err
	}
	credentials := &merchant.Credentials{Merchant: merchant.Merchant{MchID: mchid}, APIv2Keys: []merchant.Secret{v2Key}}
	_, err := wechatpay.Open(wechatpay.Envelope{MchID: q.MchID, Kind: q.Kind, Body: q.Body, ReceivedAt: time.Now()}, credentials)
	return json.Marshal(map[string]any{"ok": err == nil, "reason": wechatpay.ReasonOf(err)})
}

func (s *stage) postV2(what, body string) (int, string) {
	return s.do(http.MethodPost, s.notify, "/notify/v2/"+mchid+"/"+what, body, "Content-Type", "text/xml")
}

func TestIngestV2_stores_what_a_worker_verified_and_nothing_else(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	status, answer := s.postV2("pay", payNoticeV2(v2Key))
	require.Equal(t, http.StatusServiceUnavailable, status, "no worker serves yet")
	require.Contains(t, answer, "FAIL")
	s.serve(bus.RequestVerifyV2, verifyV2)
	require.Eventually(t, func() bool {
		status, _ := s.postV2("pay", payNoticeV2("wrong"))
		return status == http.StatusUnauthorized
	}, soon, often)
	for name, hostile := range map[string]string{
		"tampered":       strings.Replace(payNoticeV2(v2Key), "<cash_fee><![CDATA[100]]>", "<cash_fee><![CDATA[1]]>", 1),
		"unsigned":       "<xml><mch_id>" + mchid + "</mch_id></xml>",
		"entities":       `<!DOCTYPE x [<!ENTITY e "e">]>` + payNoticeV2(v2Key),
		"utf-16 DOCTYPE": "\xff\xfe<\x00!\x00D\x00O\x00C\x00T\x00Y\x00P\x00E\x00",
		"deep":           strings.Repeat("<a>", 10000) + strings.Repeat("</a>", 10000),
		"empty":          "",
		"field twice":    strings.Replace(payNoticeV2(v2Key), "<total_fee>", "<total_fee>1</total_fee><total_fee>", 1),
	} {
		status, answer := s.postV2("pay", hostile)
		require.GreaterOrEqual(t, status, 400, name)
		require.Less(t, status, 500, name)
		require.Contains(t, answer, "<return_code><![CDATA[FAIL]]></return_code>", name)
		status, _ = s.postV2("refund", hostile)
		require.GreaterOrEqual(t, status, 400, name)
	}
	require.Zero(t, s.messages(bus.StreamNotify))
	genuine := payNoticeV2(v2Key)
	status, answer = s.postV2("pay", genuine)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, `<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>`, answer)
	arrival := <-s.stored()
	require.Equal(t, genuine, string(arrival.Envelope.Body))
	require.Equal(t, pay.DeliveryNotifyV2Pay, arrival.Envelope.Kind)
}
