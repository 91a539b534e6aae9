package wechatpay

import (
	"crypto/aes"
	"encoding/base64"
	"encoding/xml"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

func fieldsOfPayment() fieldsV2 {
	return fieldsV2{
		"return_code": "SUCCESS", "result_code": "SUCCESS", "appid": "wx8888888888888888", "mch_id": string(testMchID),
		"nonce_str": "n", "openid": "o-1", "trade_type": "JSAPI", "bank_type": "CFT", "total_fee": "100", "cash_fee": "95",
		"transaction_id": "1004400740201409030005092168", "out_trade_no": "T20260101000001", "time_end": "20260101080000",
	}
}

// toXML writes fields as WeChat Pay does.
func toXML(tb testing.TB, root string, fields fieldsV2) string {
	tb.Helper()
	var b strings.Builder
	b.WriteString("<" + root + ">")
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		b.WriteString("<" + name + ">")
		require.NoError(tb, xml.EscapeText(&b, []byte(value)))
		b.WriteString("</" + name + ">")
	}
	b.WriteString("</" + root + ">")
	return b.String()
}

func signed(tb testing.TB, fields fieldsV2, key merchant.Secret, signType string) string {
	tb.Helper()
	fields["sign"] = signV2(fields, key, signType)
	return toXML(tb, "xml", fields)
}

func TestOpen_v2_reads_a_payment(t *testing.T) {
	t.Parallel()
	cred := testCredentials(t)
	cred.APIv2Keys = []merchant.Secret{"", "another-key-another-key-another-", testAPIv2Key}
	n, err := Open(envelopeV2(t, pay.DeliveryNotifyV2Pay, signed(t, fieldsOfPayment(), testAPIv2Key, signTypeMD5)), cred)
	require.NoError(t, err)
	require.Equal(t, "apiv2#3/MD5", n.KeyID, "each key is tried")
	require.Equal(t, pay.ProtocolV2, n.Protocol)
	obs, ok := n.Observation(pay.SourceNotification)
	require.True(t, ok)
	require.Equal(t, pay.Fen(100), obs.Amount)
	require.Equal(t, pay.Fen(95), obs.PayerTotal)
	require.Equal(t, pay.CNY, obs.Currency)
	require.Equal(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), obs.PaidAt)
}

func TestOpen_v2_refuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(fieldsV2) // before it is signed
		after  func(fieldsV2) // after
		want   RejectReason
	}{
		"no sign":                   {after: func(f fieldsV2) { delete(f, "sign") }, want: ReasonBadSignature},
		"an empty sign":             {after: func(f fieldsV2) { f["sign"] = "" }, want: ReasonBadSignature},
		"a sign of another length":  {after: func(f fieldsV2) { f["sign"] = f["sign"][:31] }, want: ReasonBadSignature},
		"a sign in lower case":      {after: func(f fieldsV2) { f["sign"] = strings.ToLower(f["sign"]) }, want: ReasonBadSignature},
		"a changed amount":          {after: func(f fieldsV2) { f["total_fee"] = "1" }, want: ReasonBadSignature},
		"an added field":            {after: func(f fieldsV2) { f["added"] = "x" }, want: ReasonBadSignature},
		"another sign type":         {change: func(f fieldsV2) { f["sign_type"] = "SHA1" }, want: ReasonMalformed},
		"another merchant":          {change: func(f fieldsV2) { f["mch_id"] = "1900000110" }, want: ReasonMismatch},
		"no merchant":               {change: func(f fieldsV2) { delete(f, "mch_id") }, want: ReasonMismatch},
		"a failed return_code":      {change: func(f fieldsV2) { f["return_code"] = "FAIL" }, want: ReasonMalformed},
		"an amount with a fraction": {change: func(f fieldsV2) { f["total_fee"] = "1.00" }, want: ReasonMalformed},
		"a negative amount":         {change: func(f fieldsV2) { f["total_fee"] = "-1" }, want: ReasonMalformed},
		"a signed amount":           {change: func(f fieldsV2) { f["total_fee"] = "+1" }, want: ReasonMalformed},
		"an endless amount":         {change: func(f fieldsV2) { f["total_fee"] = "9223372036854775808" }, want: ReasonMalformed},
		"no amount":                 {change: func(f fieldsV2) { delete(f, "total_fee") }, want: ReasonMalformed},
		"no transaction_id":         {change: func(f fieldsV2) { delete(f, "transaction_id") }, want: ReasonMalformed},
		"no time_end":               {change: func(f fieldsV2) { delete(f, "time_end") }, want: ReasonMalformed},
		"a time_end of words":       {change: func(f fieldsV2) { f["time_end"] = "today" }, want: ReasonMalformed},
		"a bad cash_fee":            {change: func(f fieldsV2) { f["cash_fee"] = "x" }, want: ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fields := fieldsOfPayment()
			if tc.change != nil {
				tc.change(fields)
			}
			_ = signed(t, fields, testAPIv2Key, signTypeMD5)
			if tc.after != nil {
				tc.after(fields)
			}
			_, err := Open(envelopeV2(t, pay.DeliveryNotifyV2Pay, toXML(t, "xml", fields)), testCredentials(t))
			requireRejected(t, err, tc.want)
		})
	}
}

func TestOpen_v2_infers_the_sign_type_from_the_sign(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ declared, used string }{
		"nothing declared, MD5":  {"", signTypeMD5},
		"nothing declared, HMAC": {"", signTypeHMAC},
		"HMAC declared and used": {signTypeHMAC, signTypeHMAC},
		"HMAC declared, MD5":     {signTypeHMAC, signTypeMD5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fields := fieldsOfPayment()
			fields["sign_type"] = tc.declared
			n, err := Open(envelopeV2(t, pay.DeliveryNotifyV2Pay, signed(t, fields, testAPIv2Key, tc.used)), testCredentials(t))
			require.NoError(t, err)
			require.Equal(t, "apiv2#1/"+tc.used, n.KeyID)
		})
	}
}

func TestOpen_v2_a_failed_payment_leaves_the_order_open(t *testing.T) {
	t.Parallel()
	fields := fieldsOfPayment()
	fields["result_code"] = "FAIL"
	n, err := Open(envelopeV2(t, pay.DeliveryNotifyV2Pay, signed(t, fields, testAPIv2Key, signTypeMD5)), testCredentials(t))
	require.NoError(t, err)
	obs, ok := n.Observation(pay.SourceNotification)
	require.True(t, ok)
	require.Equal(t, pay.ObservedOpen, obs.Kind)
}

func TestOpen_v2_without_keys_says_what_to_set(t *testing.T) {
	t.Parallel()
	cred := testCredentials(t)
	cred.APIv2Keys = nil
	_, err := Open(envelopeV2(t, pay.DeliveryNotifyV2Pay, signed(t, fieldsOfPayment(), testAPIv2Key, signTypeMD5)), cred)
	requireRejected(t, err, ReasonBadSignature)
	require.ErrorContains(t, err, "api_v2_key_files")
}

func TestParseXML_refuses_hostile_documents(t *testing.T) {
	t.Parallel()
	var bomb strings.Builder
	bomb.WriteString(`<!DOCTYPE lolz [<!ENTITY a "lol">`)
	for i := range 9 {
		bomb.WriteString(`<!ENTITY ` + string(rune('b'+i)) + ` "` + strings.Repeat("&"+string(rune('a'+i))+";", 10) + `">`)
	}
	bomb.WriteString(`]><xml><a>&j;</a></xml>`)
	for name, text := range map[string]string{
		"nothing":                   "",
		"white space":               "  \n",
		"text":                      "hello",
		"a DOCTYPE":                 `<!DOCTYPE xml><xml><a>1</a></xml>`,
		"an external entity":        `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><a>&e;</a></xml>`,
		"a billion laughs":          bomb.String(),
		"a DOCTYPE inside":          `<xml><!DOCTYPE x><a>1</a></xml>`,
		"an entity of its own":      `<xml><a>&e;</a></xml>`,
		"an HTML entity":            `<xml><a>&nbsp;</a></xml>`,
		"a comment":                 `<xml><a>1<!-- 0 -->0</a></xml>`,
		"a comment between":         `<xml><!-- x --><a>1</a></xml>`,
		"a processing instruction":  `<xml><?php x ?><a>1</a></xml>`,
		"a second XML declaration":  `<xml><?xml version="1.0"?><a>1</a></xml>`,
		"another encoding":          `<?xml version="1.0" encoding="GBK"?><xml><a>1</a></xml>`,
		"an attribute":              `<xml a="1"><a>1</a></xml>`,
		"an attribute of a field":   `<xml><a b="1">1</a></xml>`,
		"a name space":              `<x:xml><a>1</a></x:xml>`,
		"a name space of a field":   `<xml><x:a>1</x:a></xml>`,
		"depth":                     `<xml><a><b>1</b></a></xml>`,
		"great depth":               strings.Repeat("<xml>", 5000),
		"a field twice":             `<xml><a>1</a><a>1</a></xml>`,
		"another root":              `<root><a>1</a></root>`,
		"two roots":                 `<xml><a>1</a></xml><xml><b>1</b></xml>`,
		"text after the root":       `<xml><a>1</a></xml>x`,
		"text before the root":      `x<xml><a>1</a></xml>`,
		"text between the fields":   `<xml>x<a>1</a></xml>`,
		"an end that is missing":    `<xml><a>1</a>`,
		"an end in the middle":      `<xml><a>1</a></xm`,
		"ends that cross":           `<xml><a>1</xml></a>`,
		"an end of its own":         `</xml>`,
		"a wrong end":               `<xml><a>1</b></xml>`,
		"a field name with a dot":   `<xml><a.b>1</a.b></xml>`,
		"a field name in Chinese":   `<xml><金>1</金></xml>`,
		"a long field name":         `<xml><` + strings.Repeat("a", maxXMLName+1) + `>1</` + strings.Repeat("a", maxXMLName+1) + `></xml>`,
		"bytes that are no UTF-8":   "<xml><a>\xff</a></xml>",
		"a NUL":                     "<xml><a>\x00</a></xml>",
		"a NUL by number":           "<xml><a>&#0;</a></xml>",
		"more elements than needed": "<xml>" + manyFields(maxXMLElements+1) + "</xml>",
		"a JSON document":           `{"a":1}`,
		"an open CDATA section":     `<xml><a><![CDATA[1</a></xml>`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, rejected := parseXML([]byte(text), "xml")
			require.NotNil(t, rejected)
			require.Equal(t, ReasonMalformed, rejected.Reason)
			_, err := Open(envelopeV2(t, pay.DeliveryNotifyV2Pay, text), testCredentials(t))
			requireRejected(t, err, ReasonMalformed)
			_, err = Open(envelopeV2(t, pay.DeliveryNotifyV2Refund, text), testCredentials(t))
			requireRejected(t, err, ReasonMalformed)
		})
	}
	_, rejected := parseXML([]byte("<xml><a>"+strings.Repeat("1", maxXMLBytes)+"</a></xml>"), "xml")
	require.Equal(t, ReasonBodyTooLarge, rejected.Reason)
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("<f" + strconv.Itoa(i) + "/>")
	}
	return b.String()
}

func TestParseXML_reads_what_WeChat_writes(t *testing.T) {
	t.Parallel()
	got, rejected := parseXML([]byte("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xml>\n <a><![CDATA[x & <y> ]]></a>\n<b>1 &amp; &#20803;</b><c/><d></d>\n</xml>\n"), "xml")
	require.Nil(t, rejected)
	require.Equal(t, fieldsV2{"a": "x & <y> ", "b": "1 & 元", "c": "", "d": ""}, got)
}

func TestParseXML_reads_back_what_was_written(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		fields := fieldsV2(rapid.MapOfN(rapid.StringMatching(`[a-z_0-9A-Z]{1,20}`), rapid.StringMatching(`[ -~一-十]{0,30}`), 0, 20).Draw(rt, "fields"))
		delete(fields, "")
		for name := range fields {
			if name[0] >= '0' && name[0] <= '9' { // no XML name begins so
				delete(fields, name)
			}
		}
		got, rejected := parseXML([]byte(toXML(t, "xml", fields)), "xml")
		if rejected != nil {
			rt.Fatalf("refused: %v", rejected)
		}
		require.Equal(rt, fields, got)
	})
}

// encryptECB is WeChat Pay's side of req_info.
func encryptECB(tb testing.TB, key, plain []byte) string {
	tb.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(tb, err)
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	for range padding {
		plain = append(plain, byte(padding))
	}
	for i := 0; i < len(plain); i += aes.BlockSize {
		block.Encrypt(plain[i:], plain[i:])
	}
	return base64.StdEncoding.EncodeToString(plain)
}

func TestOpen_v2_refund_refuses(t *testing.T) {
	t.Parallel()
	const inner = `<root><out_refund_no>R1</out_refund_no><out_trade_no>T1</out_trade_no><refund_id>5</refund_id>` +
		`<refund_status>SUCCESS</refund_status><transaction_id>4</transaction_id><refund_fee>1</refund_fee><total_fee>2</total_fee></root>`
	seal := func(plain string) string { return encryptECB(t, reqInfoKey(testAPIv2Key), []byte(plain)) }
	good := seal(inner)
	for name, tc := range map[string]struct {
		reqInfo string
		mchID   pay.MchID
		want    RejectReason
	}{
		"nothing":                 {good, testMchID, ""},
		"no req_info":             {"", testMchID, ReasonDecryptFailed},
		"what is no base64":       {"%", testMchID, ReasonDecryptFailed},
		"half a block":            {"AAAAAAAAAAA=", testMchID, ReasonDecryptFailed},
		"a block less":            {good[:len(good)-24], testMchID, ReasonDecryptFailed},
		"another key":             {encryptECB(t, reqInfoKey("other"), []byte(inner)), testMchID, ReasonDecryptFailed},
		"another merchant":        {good, "1900000110", ReasonMismatch},
		"an entity inside":        {seal(`<!DOCTYPE x><root/>`), testMchID, ReasonDecryptFailed},
		"no numbers inside":       {seal(`<root/>`), testMchID, ReasonMalformed},
		"a bad amount inside":     {seal(strings.Replace(inner, ">1<", ">1.0<", 1)), testMchID, ReasonMalformed},
		"a bad time inside":       {seal(strings.Replace(inner, "</root>", "<success_time>x</success_time></root>", 1)), testMchID, ReasonMalformed},
		"a NUL in a number":       {seal(strings.Replace(inner, ">R1<", "><![CDATA[R\n1]]><", 1)), testMchID, ReasonMalformed},
		"a bad cash_refund_fee":   {seal(strings.Replace(inner, "</root>", "<cash_refund_fee>x</cash_refund_fee></root>", 1)), testMchID, ReasonMalformed},
		"a bad total_fee, inside": {seal(strings.Replace(inner, ">2<", ">x<", 1)), testMchID, ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := toXML(t, "xml", fieldsV2{"return_code": "SUCCESS", "mch_id": string(tc.mchID), "appid": "wx", "req_info": tc.reqInfo})
			n, err := Open(envelopeV2(t, pay.DeliveryNotifyV2Refund, body), testCredentials(t))
			if tc.want == "" {
				require.NoError(t, err)
				require.Equal(t, pay.OutTradeNo("T1"), n.OutTradeNo())
				_, ok := n.Observation(pay.SourceNotification)
				require.False(t, ok)
				return
			}
			requireRejected(t, err, tc.want)
		})
	}
}

func TestAckV2_is_compact_and_cannot_be_broken_out_of(t *testing.T) {
	t.Parallel()
	require.Equal(t, "<xml><return_code><![CDATA[FAIL]]></return_code><return_msg><![CDATA[a  >b]]></return_msg></xml>", string(AckV2(false, "a]]>b")))
	rapid.Check(t, func(t *rapid.T) {
		fields, rejected := parseXML(AckV2(true, rapid.String().Draw(t, "msg")), "xml")
		require.Nil(t, rejected)
		require.Equal(t, "SUCCESS", fields["return_code"])
	})
}
