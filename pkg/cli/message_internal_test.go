package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestParseMessage_reads_what_people_copy(t *testing.T) {
	t.Parallel()
	const head = "Host: pay.example.com\nContent-Type: application/json\nwechatpay-serial: PUB_KEY_ID_1\nWechatpay-Nonce:  once \n"
	for name, tc := range map[string]struct {
		text  string
		mchid pay.MchID
		kind  pay.DeliveryKind
		body  string
	}{
		"as on the wire":          {"POST /notify/v3/1900000109 HTTP/1.1\r\n" + strings.ReplaceAll(head, "\n", "\r\n") + "\r\n{\"a\":1}", "1900000109", pay.DeliveryNotifyV3, `{"a":1}`},
		"without carriage return": {"POST /notify/v3/1900000109 HTTP/1.1\n" + head + "\n{\"a\":1}\n\nx", "1900000109", pay.DeliveryNotifyV3, "{\"a\":1}\n\nx"},
		"without a request line":  {head + "\n{}", "", pay.DeliveryNotifyV3, "{}"},
		"behind a proxy's prefix": {"POST https://pay.example.com/fen/notify/v3/1900000109/ HTTP/2\n" + head + "\n{}", "1900000109", pay.DeliveryNotifyV3, "{}"},
		"another path":            {"POST /hooks/wechat HTTP/1.1\n" + head + "\n{}", "", pay.DeliveryNotifyV3, "{}"},
		"v2, a payment":           {"POST /notify/v2/1900000109/pay HTTP/1.1\nHost: x\n\n<xml></xml>", "1900000109", pay.DeliveryNotifyV2Pay, "<xml></xml>"},
		"v2, a refund":            {"POST /notify/v2/1900000109/refund HTTP/1.1\nHost: x\n\n<xml></xml>", "1900000109", pay.DeliveryNotifyV2Refund, "<xml></xml>"},
		"v2, the body alone":      {"<xml><sign>1</sign></xml>", "", pay.DeliveryNotifyV2Pay, "<xml><sign>1</sign></xml>"},
		"v2, a refund alone":      {"<xml><req_info>1</req_info></xml>", "", pay.DeliveryNotifyV2Refund, "<xml><req_info>1</req_info></xml>"},
		"longer than it says":     {"Content-Length: 2\n" + head + "\n{}\n", "", pay.DeliveryNotifyV3, "{}"},
		"the console's own JSON":  {`{"mchid":"1900000109","kind":"notify_v3","headers":{"Wechatpay-Nonce":"once","Wechatpay-Serial":"PUB_KEY_ID_1"},"body_base64":"e30="}`, "1900000109", pay.DeliveryNotifyV3, "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := parseMessage([]byte(tc.text))
			require.NoError(t, err)
			require.Equal(t, tc.mchid, m.env.MchID)
			require.Equal(t, tc.kind, m.env.Kind)
			require.Equal(t, tc.body, string(m.env.Body))
			if strings.Contains(tc.text, "once") {
				require.Equal(t, map[string]string{"Wechatpay-Nonce": "once", "Wechatpay-Serial": "PUB_KEY_ID_1"}, m.env.Headers)
			}
		})
	}
}

func TestParseMessage_says_what_it_cannot_read(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		"":                       "empty",
		" \n":                    "empty",
		"{":                      "cannot be read",
		`{"id":"EV-1"}`:          "a body alone has no signature",
		`{"error":{"code":"x"}}`: "a body alone has no signature",
		"hello":                  "no empty line",
		"hello there\n\n{}":      "line 1 is no header",
		"A: 1\nWechatpay-Nonce: a\nwechatpay-nonce: b\n\n{}":  "more than once",
		"POST / HTTP/1.1\nA: 1\nPOST / HTTP/1.1\n\n{}":        "line 3 is no header",
		`{"headers":{},"body_base64":"not base64"}`:           "cannot be read",
		`{"headers":{},"body_base64":"","received_at":"now"}`: "cannot be read",
	} {
		_, err := parseMessage([]byte(text))
		require.ErrorContains(t, err, why, "%q", text)
	}
}

// Whoever copies a message may copy anything.
func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{
		"POST /notify/v3/1900000109 HTTP/1.1\r\nWechatpay-Nonce: a\r\n\r\n{}", "<xml/>", `{"headers":{},"body_base64":"e30="}`, "Content-Length: -1\n\n", "Content-Length: 99999999999999999999\n\nx", ":\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseMessage(raw)
		if err == nil && len(m.env.Body) > len(raw) {
			t.Fatalf("a body of %d bytes out of %d", len(m.env.Body), len(raw))
		}
	})
}
